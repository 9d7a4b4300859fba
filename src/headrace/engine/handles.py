"""Who waits for a task in the flow's threads, and waking them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headrace.engine.tasks import Task


class Handle:
    """Who waits for a task. ``callbacks`` run under the driver's lock: they must be quick and not call back."""

    __slots__ = ("callbacks", "done", "locks")

    def __init__(self) -> None:
        self.done = False
        self.locks: list[Any] = []
        self.callbacks: list[Callable[[], None]] = []


def wake(task: Task, *, done: bool = True) -> None:
    """Wake who waits for ``task``; ``done``: because it is over."""
    handle: Handle = task.handle  # type: ignore[assignment]
    handle.done = handle.done or done
    locks, handle.locks = handle.locks, []
    for lock in locks:
        lock.release()
    callbacks, handle.callbacks = handle.callbacks, []
    for callback in callbacks:
        callback()
