"""Frames of this package, which readers of a traceback do not need: which they are, and taking them out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from types import TracebackType

from headrace._base.backports import BaseExceptionGroup

#: The folder of this package.
OWN = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep  # noqa: PTH100, PTH120 - strings, see usercode
#: Beside ``os`` in the standard library.
_ASYNCIO = os.path.join(os.path.dirname(os.__file__), "asyncio") + os.sep  # noqa: PTH118, PTH120


def is_ours(path: str) -> bool:
    """Whether ``path`` is a file of this package."""
    return path.startswith(OWN)


def is_asyncio(path: str) -> bool:
    """Whether ``path`` is a file of the standard library's event loop."""
    return path.startswith(_ASYNCIO)


def prune(error: BaseException, deliberate: Callable[[BaseException], bool]) -> None:
    """Take our frames out of the tracebacks of ``error`` and all that it is chained to.

    An error that is neither ``deliberate`` nor came from code outside this package is a defect of Headrace, and
    keeps its frames. What caused a deliberate error goes with them, when it happened in our code alone: the error
    says it in its own words.
    """
    seen: set[int] = set()
    stack = [error]
    while stack:
        one = stack.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        meant = deliberate(one)
        if meant or not is_ours(_innermost(one.__traceback__)):
            one.__traceback__ = _without_ours(one.__traceback__)
        if meant and one.__cause__ is not None and not one.__cause__.__cause__ and _only_ours(one.__cause__):
            one.__cause__ = None
            one.__suppress_context__ = True
        stack += _chained(one)


def _chained(error: BaseException) -> Iterable[BaseException]:
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return [one for one in (error.__cause__, error.__context__, *inner) if one is not None]


def _innermost(trace: TracebackType | None) -> str:
    path = ""
    while trace is not None:
        path, trace = trace.tb_frame.f_code.co_filename, trace.tb_next
    return path


def _only_ours(error: BaseException) -> bool:
    trace = error.__traceback__
    if trace is None:
        return False
    while trace is not None:
        if not is_ours(trace.tb_frame.f_code.co_filename):
            return False
        trace = trace.tb_next
    return True


def _without_ours(trace: TracebackType | None) -> TracebackType | None:
    kept: list[TracebackType] = []
    while trace is not None:
        path = trace.tb_frame.f_code.co_filename
        # Frames of asyncio above the first one of the user's: an event loop of Headrace drove the coroutine.
        if not is_ours(path) and (kept or not is_asyncio(path)):
            kept.append(trace)
        trace = trace.tb_next
    following = None
    for one in reversed(kept):
        if one.tb_next is not following:  # setting it walks the rest, to find loops: quadratic
            one.tb_next = following
        following = one
    return following
