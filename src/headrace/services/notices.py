"""Notices of a driver to the person at the terminal."""

from __future__ import annotations

import contextlib
import sys


def print_notice(text: str) -> None:
    """Print a notice about a run to standard error, apart from what the flow prints to standard output."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # the stream is closed, or the process has none
        print(f"headrace: {text}", file=sys.stderr, flush=True)
