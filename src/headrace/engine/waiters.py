"""Who waits for a task in the flow's threads, and waking them."""

from __future__ import annotations

from headrace.engine.tasks import Task
from headrace.model.states import FINAL_TASK_STATES


def unneeded(task: Task) -> list[Task]:
    """What is not needed any more once one waiter of ``task`` has given up.

    That is the task, unless others wait for it or a task that is not over takes its output; and those of its inputs
    that are calls without a future, for which no other code can ask.
    """
    found: list[Task] = []
    left = [task]
    while left:
        one = left.pop()
        if one.done or one.locks or one.callbacks or one.threads or one in found:
            continue
        if any(other.state not in FINAL_TASK_STATES and other not in found for other in one.dependents):
            continue
        found.append(one)
        sources = {source.task for given in one.pending for source in given.sources}
        left += [source for source in sources if isinstance(source, Task) and source.unheld]
    return found


def wake(task: Task, *, done: bool = True) -> None:
    """Wake who waits for ``task``; ``done``: because it is over."""
    task.done = task.done or done
    if task.locks:
        locks, task.locks = task.locks, []
        for lock in locks:
            lock.release()
    if task.callbacks:
        callbacks, task.callbacks = task.callbacks, []
        for callback in callbacks:
            callback()
