"""Who waits for a task in the flow's threads, and waking them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headrace.engine.tasks import Task
from headrace.model.states import FINAL_TASK_STATES


class Handle:
    """Who waits for a task. ``callbacks`` run under the driver's lock: they must be quick and not call back.

    ``threads`` has an entry for each thread in ``Loop.wait``. ``call``: nobody was given a future to keep, the call
    itself is what is waited for.
    """

    __slots__ = ("call", "callbacks", "done", "locks", "threads")

    def __init__(self) -> None:
        self.done = False
        self.call = False
        self.locks: list[Any] = []
        self.threads: list[None] = []
        self.callbacks: list[Callable[[], None]] = []


def unneeded(task: Task) -> list[Task]:
    """What nobody needs any more once one waiter of ``task`` has given up.

    That is the task, unless others wait for it or a task that is not over takes its output; and those of its inputs
    that are calls without a future, for which nobody else can ask.
    """
    found: list[Task] = []
    left = [task]
    while left:
        one = left.pop()
        handle: Handle = one.handle  # type: ignore[assignment]
        if handle.done or handle.locks or handle.callbacks or handle.threads or one in found:
            continue
        if any(other.state not in FINAL_TASK_STATES and other not in found for other in one.dependents):
            continue
        found.append(one)
        sources = {source.task for given in one.pending for source in given.sources if isinstance(source.task, Task)}
        left += [source for source in sources if getattr(source.handle, "call", False)]
    return found


def wake(task: Task, *, done: bool = True) -> None:
    """Wake who waits for ``task``; ``done``: because it is over."""
    handle: Handle = task.handle  # type: ignore[assignment]
    task.done = handle.done = handle.done or done
    locks, handle.locks = handle.locks, []
    for lock in locks:
        lock.release()
    callbacks, handle.callbacks = handle.callbacks, []
    for callback in callbacks:
        callback()
