"""Steps and tasks of a run."""

from __future__ import annotations

import time
from typing import Annotated, Any

import msgspec

from headrace.model.errors import NotFoundError
from headrace.model.records import RunRecord, TaskRecord
from headrace.model.states import TaskState
from headrace.server.call import Call
from headrace.server.cursors import read_cursor, write_cursor
from headrace.server.problems import Problem
from headrace.server.read.paths import RUN, Cursor, Fields, Limit, RunPath, run_of
from headrace.server.routes import Page, get
from headrace.services.describe import StepView, steps_of
from headrace.services.names import Name, find_task, read_task
from headrace.services.run_rows import driver_of
from headrace.services.tasks import TaskRow, TaskView, describe_task, task_rows
from headrace.wiring import Scope


class TasksQuery(RunPath, frozen=True, kw_only=True):
    """Which tasks of a run."""

    step: str | None = None
    state: Annotated[tuple[TaskState, ...], msgspec.Meta(description="Tasks recorded in one of these states")] = ()
    fields: Fields | None = None
    start: Annotated[int, msgspec.Meta(ge=0, le=2**53, description="With `step`: its tasks from this number on")] = 0
    cursor: Cursor | None = None
    limit: Limit = 100


class TaskPath(RunPath, frozen=True, kw_only=True):
    """A task of a run; ``task`` is its number, or ``2_node_1`` of a node of a gang."""

    step: str
    task: str


def task_of(call: Call[Any, Any]) -> tuple[Scope, RunRecord, TaskRecord]:
    """The project, run and task that the path names.

    Raises:
        NotFoundError: there is no such task.
    """
    scope, run = run_of(call)
    number = read_task(call.params.task)
    if number is None:
        raise NotFoundError(f"{call.params.task!r} is not the number of a task")
    return scope, run, find_task(scope.metadata, run, Name(run.flow, run.number, call.params.step, number))


def _steps(call: Call[RunPath, None]) -> Page[StepView]:
    scope, run = run_of(call)
    return Page(items=steps_of(scope.metadata, run, time.time()))


def _tasks(call: Call[TasksQuery, None]) -> Page[TaskRow]:
    scope, run = run_of(call)
    want = call.params
    if want.start and want.step is None:
        raise Problem(400, "bad-query", "start is the number of a task of a step; name the step too")
    query = ("tasks", run.id, want.step, want.state)
    after = read_cursor(want.cursor, tuple[str, int], query)
    if after is None and want.start and want.step is not None:
        after = (want.step, want.start - 1)
    if want.step is not None:
        steps = [want.step] if want.step else []
    else:
        steps = [one for one in dict.fromkeys(count.step for count in scope.metadata.step_counts(run.id)) if one]
    if after is not None:
        steps = steps[steps.index(after[0]) :] if after[0] in steps else []
    found: list[TaskRecord] = []
    for step in steps:
        start = after[1] if after is not None and after[0] == step else 0
        left = want.limit + 1 - len(found)
        found += scope.metadata.tasks(run.id, step, states=want.state, after=start, limit=left)
        if len(found) > want.limit:
            break
    page = found[: want.limit]
    following = write_cursor((page[-1].step, page[-1].number), query) if len(found) > want.limit else None
    return Page(items=task_rows(run, page, gone=driver_of(scope.metadata, run) == "gone"), next=following)


def _task(call: Call[TaskPath, None]) -> TaskView:
    scope, run, task = task_of(call)
    return describe_task(scope.metadata, scope.artifacts, run, task, gone=driver_of(scope.metadata, run) == "gone")


TASK = RUN + "/tasks/{step}/{task}"
ROUTES = (
    get(RUN + "/steps", _steps, "Steps with counts by state", params=RunPath, result=Page[StepView], tag="tasks"),
    get(RUN + "/tasks", _tasks, "Tasks", params=TasksQuery, result=Page[TaskRow], fields=True, tag="tasks"),
    get(TASK, _task, "A task", params=TaskPath, result=TaskView, tag="tasks"),
)
