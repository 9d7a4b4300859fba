"""Telling the exceptions that stop a flow from those that it raises on its way out."""

from __future__ import annotations

from headrace._base.backports import BaseExceptionGroup
from headrace.model.errors import TaskCancelledError, UpstreamFailedError


def is_stop(error: BaseException) -> bool:
    """Whether ``error`` says that the flow is being stopped; of a group, each member."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_stop(one) for one in error.exceptions)
    if isinstance(error, (KeyboardInterrupt, TaskCancelledError)):
        return True
    if isinstance(error, UpstreamFailedError):
        return error.__cause__ is None or is_stop(error.__cause__)
    return type(error).__name__ == "CancelledError"  # of asyncio, which may not be loaded


def raised_when_stopped(error: BaseException) -> BaseException | None:
    """What a flow that was stopped raised on its way out, where it ended with ``error``; None if it just ended."""
    return None if is_stop(error) or isinstance(error, SystemExit) else error


def left_by_stop(error: BaseException) -> bool:
    """Whether ``error`` was raised while an exception that stops the flow was on its way out."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        if is_stop(one):
            return True
        waiting += [one.__context__, one.__cause__]
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
    return False
