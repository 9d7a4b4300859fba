"""The life of runs, tasks and attempts, as tables. Every state change anywhere goes through ``advance``."""

from __future__ import annotations

from typing import TypeVar

from headrace._base.backports import StrEnum
from headrace.model.errors import HeadraceError


class RunState(StrEnum):
    """Where a run is. ``interrupted`` means stopped on request with everything kept: ``resume`` goes on."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


class TaskState(StrEnum):
    """Where a task is. ``waiting``: for other tasks; ``ready``: for a slot; ``delayed``: for its next attempt."""

    WAITING = "waiting"
    READY = "ready"
    RUNNING = "running"
    DELAYED = "delayed"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    STALE = "stale"


class AttemptState(StrEnum):
    """Where an attempt is. ``lost``: its worker or driver vanished, so how far it came is not known."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"


class Failure(StrEnum):
    """Why an attempt failed."""

    ERROR = "error"  # the step raised
    TIMEOUT = "timeout"
    MEMORY = "out of memory"
    CRASH = "crash"  # a signal such as SIGSEGV, not sent by us
    EXIT = "exit"  # os._exit or sys.exit
    KILLED = "killed"  # SIGKILL from outside
    INPUT = "input"  # an input could not be read back from the store
    STORE = "store"  # the result could not be stored


_R, _T, _A = RunState, TaskState, AttemptState

#: state -> states that may follow. A resumed run goes back to ``running`` from anywhere.
RUN_TRANSITIONS: dict[RunState, frozenset[RunState]] = {
    _R.RUNNING: frozenset({_R.SUCCEEDED, _R.FAILED, _R.CANCELLED, _R.INTERRUPTED, _R.RUNNING}),
    _R.SUCCEEDED: frozenset({_R.RUNNING}),
    _R.FAILED: frozenset({_R.RUNNING}),
    _R.CANCELLED: frozenset({_R.RUNNING}),
    _R.INTERRUPTED: frozenset({_R.RUNNING}),
}

TASK_TRANSITIONS: dict[TaskState, frozenset[TaskState]] = {
    _T.WAITING: frozenset({_T.READY, _T.SUCCEEDED, _T.FAILED, _T.CANCELLED}),
    _T.READY: frozenset({_T.RUNNING, _T.SUCCEEDED, _T.FAILED, _T.CANCELLED}),
    _T.RUNNING: frozenset({_T.SUCCEEDED, _T.FAILED, _T.DELAYED, _T.READY, _T.WAITING, _T.CANCELLED}),
    _T.DELAYED: frozenset({_T.READY, _T.CANCELLED}),
    _T.SUCCEEDED: frozenset({_T.READY, _T.STALE}),
    _T.FAILED: frozenset({_T.READY, _T.STALE}),
    _T.CANCELLED: frozenset({_T.READY, _T.STALE}),
    _T.STALE: frozenset({_T.READY, _T.SUCCEEDED}),
}

ATTEMPT_TRANSITIONS: dict[AttemptState, frozenset[AttemptState]] = {
    _A.RUNNING: frozenset({_A.SUCCEEDED, _A.FAILED, _A.CANCELLED, _A.LOST, _A.RUNNING}),
    _A.SUCCEEDED: frozenset(),
    _A.FAILED: frozenset(),
    _A.CANCELLED: frozenset(),
    _A.LOST: frozenset(),
}

FINAL_TASK_STATES = frozenset({_T.SUCCEEDED, _T.FAILED, _T.CANCELLED, _T.STALE})

_S = TypeVar("_S", RunState, TaskState, AttemptState)


class IllegalTransitionError(HeadraceError):
    """A state change that the tables do not allow: a defect of Headrace, never of the user's code."""


def advance(table: dict[_S, frozenset[_S]], current: _S, new: _S) -> _S:
    """Return ``new`` when ``table`` lets it follow ``current``.

    Raises:
        IllegalTransitionError: it does not.
    """
    if new not in table[current]:
        raise IllegalTransitionError(f"{type(new).__name__}: {current} cannot become {new}")
    return new
