"""Tracebacks as their readers want them: the user's frames, not ours."""

from __future__ import annotations

import os

_OWN = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep  # noqa: PTH100, PTH120


def users_frames(text: str) -> str:
    """``text`` without the frames of this package, and without blank edges.

    Where all frames are ours, the lines that say which exception it was remain.
    """
    kept: list[str] = []
    skipping = False
    for line in text.splitlines():
        if line.startswith('  File "'):
            skipping = line.startswith(f'  File "{_OWN}')
        elif not line.startswith("    "):
            skipping = False
        if not skipping:
            kept.append(line)
    return "\n".join(_without_empty(kept)).strip("\n")


def _without_empty(lines: list[str]) -> list[str]:
    """Drop headers that no frame follows any more."""
    return [
        line
        for place, line in enumerate(lines)
        if not line.startswith("Traceback (most recent")
        or (place + 1 < len(lines) and lines[place + 1].startswith('  File "'))
    ]
