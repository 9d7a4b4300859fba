"""Where data came from and went: the graph of a run, the lineage of a task, runs that results were taken from."""

from __future__ import annotations

import time
from typing import Annotated

import msgspec

from headrace.server.call import Call
from headrace.server.cursors import read_cursor, write_cursor
from headrace.server.read.paths import PROJECT, RUN, Cursor, Limit, Number, ProjectPath, RunPath, run_of
from headrace.server.read.tasks import TASK, TaskPath, task_of
from headrace.server.routes import Page, get
from headrace.services.describe import StepView, details_of, steps_of
from headrace.services.run_graph import Lineage, Origin, StepEdge, lineage_of, origins_of, step_edges
from headrace.services.value_lineage import ValueUse, uses_in
from headrace.stores.metadata.protocol import RunFilter

#: Later runs of the flow that are looked at for those that took results of this one.
_LATER = 50
#: Seconds after which a search through runs answers with what it has.
_SEARCH_SECONDS = 2.0


class GraphView(msgspec.Struct, frozen=True, kw_only=True):
    """The steps of a run, and the data between them."""

    steps: list[StepView]
    edges: list[StepEdge]


class LineageQuery(TaskPath, frozen=True, kw_only=True):
    """A task, and how far to look."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=2_000, description="Tasks up, and as many down")] = 200


class RunLineage(msgspec.Struct, frozen=True, kw_only=True):
    """Runs that this one took results from, those that took results of this one (of the newest 50 of its flow), and the
    run that it ran again."""

    sources: list[Origin]
    users: list[Origin]
    reproduces: str


class ValueQuery(ProjectPath, frozen=True, kw_only=True):
    """A value by its digest, as artifacts and inputs have it."""

    digest: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    flow: str | None = None
    cursor: Cursor | None = None
    limit: Limit = 100


def _value(call: Call[ValueQuery, None]) -> Page[ValueUse]:
    want = call.params
    scope = call.scope(want.project)
    query = ("value", want.project, want.digest, want.flow)
    before: int | None = read_cursor(want.cursor, Number, query)
    digest, stop = bytes.fromhex(want.digest), time.monotonic() + _SEARCH_SECONDS
    found: list[ValueUse] = []
    while runs := scope.metadata.runs(RunFilter(project=scope.project, flow=want.flow, before_id=before, limit=50)):
        for run in runs:
            found += uses_in(scope.metadata, run, digest)
            before = run.id
            if len(found) >= want.limit or time.monotonic() > stop:
                return Page(items=found, next=write_cursor(before, query))
    return Page(items=found)


def _graph(call: Call[RunPath, None]) -> GraphView:
    scope, run = run_of(call)
    return GraphView(steps=steps_of(scope.metadata, run, time.time()), edges=step_edges(scope.metadata, run.id))


def _task_lineage(call: Call[LineageQuery, None]) -> Lineage:
    scope, run, task = task_of(call)
    return lineage_of(scope.metadata, run, task.id, call.params.limit)


def _run_lineage(call: Call[RunPath, None]) -> RunLineage:
    scope, run = run_of(call)
    later = scope.metadata.runs(RunFilter(project=scope.project, flow=run.flow, limit=_LATER))
    users = []
    for other in later:
        if other.id > run.id:
            taken = [one.tasks for one in origins_of(scope.metadata, other, 5_000) if one.run == run.name]
            users += [Origin(run=other.name, tasks=count) for count in taken]
    return RunLineage(sources=origins_of(scope.metadata, run), users=users, reproduces=details_of(run).reproduces)


ROUTES = (
    get(RUN + "/graph", _graph, "Steps and the data between them", params=RunPath, result=GraphView, tag="lineage"),
    get(RUN + "/lineage", _run_lineage, "Runs by results taken over", params=RunPath, result=RunLineage, tag="lineage"),
    get(
        PROJECT + "/values/{digest}",
        _value,
        "Where a value was made and used, in all runs",
        slow=True,
        params=ValueQuery,
        result=Page[ValueUse],
        tag="lineage",
    ),
    get(TASK + "/lineage", _task_lineage, "Data up and down", params=LineageQuery, result=Lineage, tag="lineage"),
)
