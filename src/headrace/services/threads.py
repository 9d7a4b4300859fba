"""Threads belong to the run of the code that started them, also where nobody gave them its context.

Python's threads start with an empty context (``contextvars``). While any run is live here, ``threading.Thread.start``
remembers the context of who starts a thread; ``inherited`` looks a variable up there.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

T = TypeVar("T")

_KEPT = "_headrace_context"
_original = threading.Thread.start
_runs = 0


def _start(self: threading.Thread) -> None:
    """Start the thread; see ``threading.Thread.start``."""
    if _runs:
        setattr(self, _KEPT, copy_context())
    _original(self)


@contextlib.contextmanager
def followed() -> Iterator[None]:
    """Remember, meanwhile, which code starts which thread."""
    global _runs, _original
    _runs += 1
    if threading.Thread.start is not _start:
        _original = threading.Thread.start
        threading.Thread.start = _start  # type: ignore[method-assign]
    try:
        yield
    finally:
        _runs -= 1
        _put_back()


def _put_back() -> None:
    if not _runs and threading.Thread.start is _start:  # else somebody else's comes first, and calls ours
        threading.Thread.start = _original  # type: ignore[method-assign]


def inherited(variable: ContextVar[T]) -> T | None:
    """The value that ``variable`` had in the code that started this thread."""
    kept = _context()
    return None if kept is None else kept.get(variable)


def is_known() -> bool:
    """Whether it is known which code started this thread."""
    return _context() is not None


def _context() -> Context | None:
    found: Any = vars(threading.current_thread()).get(_KEPT)
    return found if isinstance(found, Context) else None


def _forget() -> None:
    """In a forked child, which drives no run."""
    global _runs
    _runs = 0
    _put_back()


os.register_at_fork(after_in_child=_forget)
