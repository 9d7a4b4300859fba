"""What an event means for a task, by the state that the task is in: the cells of the table in ``decide``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from headrace.engine.events import Command
from headrace.engine.state import EngineState
from headrace.engine.tasks import Task
from headrace.model.errors import HeadraceError
from headrace.model.states import TaskState


class IllegalEventError(HeadraceError):
    """An event that the table does not allow: a defect of Headrace, never the user's."""


#: ``handler(state, event, task, commands)`` changes the state and adds what is to be done.
Handler = Callable[[EngineState, Any, Task, list[Command]], None]


class Reaction(msgspec.Struct, frozen=True):
    """``text`` says it in the generated documentation."""

    text: str
    handler: Handler


def _ignore(state: EngineState, event: Any, task: Task, out: list[Command]) -> None:
    """The event comes too late to matter."""


def _refuse(state: EngineState, event: Any, task: Task, out: list[Command]) -> None:
    raise IllegalEventError(f"{type(event).__name__} for task {task.id}, which is {task.state}")


IGNORED = Reaction("ignored", _ignore)
IMPOSSIBLE = Reaction("impossible", _refuse)

#: States that a task of a running engine can have.
STATES = (
    TaskState.WAITING,
    TaskState.READY,
    TaskState.RUNNING,
    TaskState.DELAYED,
    TaskState.SUCCEEDED,
    TaskState.FAILED,
    TaskState.CANCELLED,
)
ENDED = (TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED)


def row(given: Mapping[TaskState, Reaction], *, ended: Reaction = IMPOSSIBLE) -> dict[TaskState, Reaction]:
    """The cells of an event: ``ended`` in final states, those ``given``, and impossible in all others."""
    return {state: given.get(state, ended if state in ENDED else IMPOSSIBLE) for state in STATES}
