"""How many tasks of each step wait and run, as rows for readers in other processes.

The rows are written with commits that are made anyway, and otherwise once a second at most, only where counts changed.
A step whose tasks begin and end between two looks never gets a row: a chain of short tasks writes none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from headrace.engine.state import EngineState
from headrace.model.records import QueueCount
from headrace.model.states import TaskState
from headrace.stores.metadata.protocol import DropQueue

#: Seconds between two looks at the counts, with a commit that is made anyway.
WITH_COMMIT = 0.2
#: Seconds between two commits that are made for such rows alone.
ALONE = 1.0

_OPEN = (TaskState.WAITING, TaskState.READY, TaskState.DELAYED, TaskState.RUNNING)


class QueueCounts:
    """What was written of the counts in ``state``. ``where`` is that of ``rows.running_records``."""

    def __init__(self, state: EngineState, where: Callable[[int], object | None]) -> None:
        self._state = state
        self._where = where
        self._written: set[str] = set()
        #: Before this time (monotonic) no commit that is made anyway needs to ask.
        self.due_at = float("-inf")
        self._written_at = float("-inf")
        self._ended = False

    def take(self, clock: float, now: float, *, alone: bool = False) -> list[QueueCount]:
        """Rows to write with the next commit at ``clock`` (monotonic); ``alone``: it would be made for these only."""
        due_at = self._written_at + ALONE if alone else self.due_at
        if clock < due_at or self._ended or not self._state.moved:
            return []
        in_hand = self.not_begun()
        rows = [row for step in self._state.moved if (row := self._row(step, in_hand[step], now)) is not None]
        self._state.moved.clear()
        self.due_at = clock + WITH_COMMIT
        if rows:
            self._written_at = clock
        return rows

    def forget_workers(self) -> None:
        """The run is over, and all workers are gone: drop the reference to what knows them."""
        self._where = lambda token: None

    def not_begun(self) -> Counter[str]:
        """Attempts by step that hold room and have not begun: they were sent ahead, or their worker is not up."""
        placement, where = self._state.placement, self._where
        unrecorded = placement.unrecorded
        return Counter(
            [
                slot.task.step.name
                for token, slot in placement.slots.items()
                if slot.ahead or (token in unrecorded and where(token) is None)
            ]
        )

    def shown(self) -> dict[str, dict[str, int]]:
        """Numbers of tasks by step and state as they are shown: one whose attempt has not begun is ready."""
        found = {step: {str(k): n for k, n in counts.items() if n} for step, counts in self._state.counts.items()}
        for step, count in self.not_begun().items():
            counts = found[step]
            counts[TaskState.READY] = counts.get(TaskState.READY, 0) + count
            counts[TaskState.RUNNING] -= count
            if not counts[TaskState.RUNNING]:
                del counts[TaskState.RUNNING]
        return found

    def _row(self, step: str, in_hand: int, now: float) -> QueueCount | None:
        """The row of ``step``, of whose attempts so many are ``in_hand`` and have not begun."""
        counts = self._state.counts[step]
        waiting, ready, delayed, running = [counts.get(state, 0) for state in _OPEN]
        if step not in self._written:
            if not (waiting or ready or delayed or running):
                return None
            self._written.add(step)
        total = sum(counts.values()) + self._state.left.get(step, 0)
        return QueueCount(
            self._state.options.run_id, step, waiting, ready + in_hand, delayed, running - in_hand, total, now
        )

    def end(self) -> list[DropQueue]:
        """The run is over: from here on there are no rows, and those that were written go."""
        self._ended = True
        return [DropQueue(self._state.options.run_id)] if self._written else []
