"""Tracebacks as text, with the user's frames and without those of this package."""

from __future__ import annotations

from headrace._base.backports import BaseExceptionGroup
from headrace._base.error_lines import error_line
from headrace._base.frames import OWN, is_asyncio, is_ours
from headrace.model.errors import RemoteTraceback


def users_frames(text: str) -> str:
    """``text`` without the frames of this package, and without blank edges.

    Where all frames are ours, the lines that say which exception it was remain.
    """
    kept: list[str] = []
    skipping = False
    for line in text.splitlines():
        if line.startswith('  File "'):
            skipping = line.startswith(f'  File "{OWN}')
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


def describe(error: BaseException, depth: int = 0) -> tuple[str, str]:
    """The traceback of an exception without our own frames, and the error on one line; ``depth`` of it in groups."""
    import traceback

    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not is_ours(frame.filename)]
    while frames and is_asyncio(frames[0].filename):  # our event loop, which drove the flow's coroutine
        del frames[0]
    cause = ""
    if isinstance(error.__cause__, RemoteTraceback):
        cause = f"{error.__cause__}\n\n"
    elif error.__cause__ is not None:
        cause = describe(error.__cause__, depth)[0]
        cause += "\nThe above exception was the direct cause of the following exception:\n\n"
    text = "Traceback (most recent call last):\n" + "".join(traceback.format_list(frames)) if frames else ""
    last = "".join(traceback.format_exception_only(type(error), error))
    if isinstance(error, BaseExceptionGroup):
        from headrace._base.groups import members_text

        if not isinstance(error.__cause__, RemoteTraceback):  # which shows them already
            last += members_text(error, lambda one: describe(one, depth + 1)[0], depth)
    return cause + text + last, error_line(error)
