"""Attempts: the timeline of a run, and those of a task with inputs, outputs and tracebacks."""

from __future__ import annotations

import time
from typing import Annotated

import msgspec

from headrace.model.records import AttemptRecord, RunRecord, TaskId
from headrace.model.states import AttemptState
from headrace.server.call import Call
from headrace.server.cursors import read_cursor, write_cursor
from headrace.server.read.paths import RUN, Cursor, Fields, RunPath, run_of
from headrace.server.read.tasks import TASK, TaskPath, task_of
from headrace.server.routes import Page, get
from headrace.services.describe import ArtifactView
from headrace.services.live_counts import LOST
from headrace.services.names import task_name
from headrace.services.run_rows import driver_of
from headrace.services.tasks import AttemptView, InputView, describe_task

_Key = tuple[str, int, int]


class AttemptsQuery(RunPath, frozen=True, kw_only=True):
    """Which attempts of a run."""

    fields: Fields | None = None
    cursor: Cursor | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1_000


class TimelineItem(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt as a bar of a timeline. ``finished`` and ``duration`` are null while it runs.

    ``worker`` names the process that ran it: attempts of one worker do not overlap.
    """

    task: str
    step: str
    attempt: int
    state: str
    started: float
    finished: float | None
    duration: float | None
    place: str
    worker: str
    cpu_seconds: float
    peak_memory: int
    failure: str


class TracebackView(msgspec.Struct, frozen=True, kw_only=True):
    """How the last attempt of a task failed: the frames of the user alone, and all of them."""

    attempt: int
    error: str
    traceback: str
    whole: str


def _timeline(call: Call[AttemptsQuery, None]) -> Page[TimelineItem]:
    scope, run = run_of(call)
    want = call.params
    query = ("attempts", run.id)
    after = read_cursor(want.cursor, _Key, query)
    found = scope.metadata.attempts(run.id, after=after, limit=want.limit + 1)
    page = found[: want.limit]
    gone, now = driver_of(scope.metadata, run) == "gone", time.time()
    last = page[-1] if len(found) > want.limit else None
    following = None if last is None else write_cursor((last.step, last.number, last.attempt), query)
    return Page(items=[_bar(run, one, gone, now) for one in page if one.step], next=following)


def _bar(run: RunRecord, one: AttemptRecord, gone: bool, now: float) -> TimelineItem:
    lost = gone and one.state is AttemptState.RUNNING
    return TimelineItem(
        task=task_name(run, TaskId(one.step, one.number)),
        step=one.step,
        attempt=one.attempt,
        state=LOST if lost else str(one.state),
        started=one.started,
        finished=one.finished,
        duration=None if one.finished is None else max(0.0, one.finished - one.started),
        place=one.place,
        worker=f"{one.host}:{one.pid}" if one.pid else "",
        cpu_seconds=one.cpu_seconds,
        peak_memory=one.peak_memory,
        failure=one.failure,
    )


def _attempts(call: Call[TaskPath, None]) -> Page[AttemptView]:
    scope, run, task = task_of(call)
    gone = driver_of(scope.metadata, run) == "gone"
    return Page(items=describe_task(scope.metadata, scope.artifacts, run, task, gone=gone).attempts)


def _inputs(call: Call[TaskPath, None]) -> Page[InputView]:
    scope, run, task = task_of(call)
    return Page(items=describe_task(scope.metadata, scope.artifacts, run, task).inputs)


def _outputs(call: Call[TaskPath, None]) -> Page[ArtifactView]:
    scope, run, task = task_of(call)
    return Page(items=describe_task(scope.metadata, scope.artifacts, run, task).outputs)


def _traceback(call: Call[TaskPath, None]) -> TracebackView:
    scope, run, task = task_of(call)
    found = scope.metadata.attempts(run.id, task.id)
    views = describe_task(scope.metadata, scope.artifacts, run, task).attempts
    if not found:
        return TracebackView(attempt=0, error=task.error, traceback="", whole="")
    last = found[-1]
    return TracebackView(attempt=last.attempt, error=last.error, traceback=views[-1].traceback, whole=last.traceback)


ROUTES = (
    get(
        RUN + "/attempts",
        _timeline,
        "Attempts of a run, for a timeline",
        params=AttemptsQuery,
        result=Page[TimelineItem],
        fields=True,
        tag="tasks",
    ),
    get(TASK + "/attempts", _attempts, "Attempts of a task", params=TaskPath, result=Page[AttemptView], tag="tasks"),
    get(TASK + "/inputs", _inputs, "Arguments of a task", params=TaskPath, result=Page[InputView], tag="tasks"),
    get(TASK + "/outputs", _outputs, "Outputs of a task", params=TaskPath, result=Page[ArtifactView], tag="tasks"),
    get(TASK + "/traceback", _traceback, "How a task failed", params=TaskPath, result=TracebackView, tag="tasks"),
)
