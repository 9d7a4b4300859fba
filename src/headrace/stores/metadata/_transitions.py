"""Which changes of recorded states a commit refuses.

SQL checks the states: where a state must not follow, the statement sets it to NULL. The column refuses that, and with
it the whole transaction. This costs nothing where a row is new. This module has the same rule in Python, to name the
row that was refused, and for the store in memory.

A task is recorded once it has run for a moment, and when it ends: its row passes over ``waiting``, ``ready`` and a
short ``running``. By way of these, any recorded state of a task may follow any other. What cannot be is that an earlier
session writes over a later one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from headrace.model.records import AttemptRecord, TaskId, TaskRecord
from headrace.model.states import (
    ATTEMPT_TRANSITIONS,
    RUN_TRANSITIONS,
    AttemptState,
    IllegalTransitionError,
    RunState,
)
from headrace.stores.metadata.protocol import MetadataStore, RunChange, Write

AttemptKey = tuple[int, str, int, int]
TaskKey = tuple[int, str, int]


class Recorded(msgspec.Struct, frozen=True):
    """How to look up what is recorded now; None where there is no row."""

    run_state: Callable[[int], RunState | None]
    attempt_state: Callable[[AttemptKey], AttemptState | None]
    task_session: Callable[[TaskKey], int | None]


def recorded_in(store: MetadataStore) -> Recorded:
    """What ``store`` has now."""

    def run_state(run_id: int) -> RunState | None:
        run = store.run_by_id(run_id)
        return None if run is None else run.state

    def attempt_state(key: AttemptKey) -> AttemptState | None:
        found = store.attempts(key[0], TaskId(key[1], key[2]))
        return next((one.state for one in found if one.attempt == key[3]), None)

    def task_session(key: TaskKey) -> int | None:
        task = store.task(key[0], TaskId(key[1], key[2]))
        return None if task is None else task.session

    return Recorded(run_state, attempt_state, task_session)


def runs_before(state: RunState) -> list[str]:
    """The states that ``state`` may follow, of a run."""
    return [str(before) for before, after in RUN_TRANSITIONS.items() if state in after]


def check(writes: Iterable[Write], recorded: Recorded) -> None:
    """Refuse ``writes``, to be made in this order, if one of them changes a state as it cannot change.

    Raises:
        IllegalTransitionError: it names the row.
    """
    runs: dict[int, RunState | None] = {}
    attempts: dict[AttemptKey, AttemptState | None] = {}
    sessions: dict[TaskKey, int | None] = {}
    for write in writes:
        if isinstance(write, AttemptRecord):
            key = (write.run_id, write.step, write.number, write.attempt)
            was = attempts[key] if key in attempts else recorded.attempt_state(key)
            if was is not None and write.state not in ATTEMPT_TRANSITIONS[was]:
                task = TaskId(write.step, write.number)
                raise _refusal(f"attempt {write.attempt} of task {task}", str(was), str(write.state))
            attempts[key] = write.state
        elif isinstance(write, TaskRecord):
            task_key = (write.run_id, write.step, write.number)
            session = sessions[task_key] if task_key in sessions else recorded.task_session(task_key)
            if session is not None and write.session < session:
                raise _refusal(f"task {write.id}", f"of session {session}", f"one of session {write.session}")
            sessions[task_key] = write.session
        elif isinstance(write, RunChange) and write.state is not msgspec.UNSET:
            state = runs[write.run_id] if write.run_id in runs else recorded.run_state(write.run_id)
            if state is not None and write.state not in RUN_TRANSITIONS[state]:
                raise _refusal("the run", str(state), str(write.state))
            runs[write.run_id] = write.state


def _refusal(what: str, was: str, to: str) -> IllegalTransitionError:
    return IllegalTransitionError(f"{what} is recorded as {was} and cannot become {to}; nothing was written")
