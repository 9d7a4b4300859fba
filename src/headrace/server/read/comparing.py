"""Why tasks ran, what differs between two runs, and many runs side by side."""

from __future__ import annotations

import time
from typing import Annotated, Any

import msgspec
from blake3 import blake3
from starlette.responses import Response

from headrace.model.records import FLOW_TASK, UNLISTED, RunRecord
from headrace.server.call import Call
from headrace.server.ranges import BytesResponse
from headrace.server.read.paths import PROJECT, RUN, ProjectPath, RunPath, run_of
from headrace.server.read.tasks import TASK, TaskPath, task_of
from headrace.server.routes import Media, get
from headrace.services.describe import ArtifactView, view_artifact
from headrace.services.explain import Explanation, explain_task
from headrace.services.names import find_run, find_task, parse_name
from headrace.services.run_diff import RunDiff, compare_runs, source_diff
from headrace.services.run_explanation import RunExplanation, explain_run
from headrace.services.run_rows import RunRow, rows_of
from headrace.wiring import Scope


class ExplainQuery(TaskPath, frozen=True, kw_only=True):
    """A task, and another to compare it with."""

    other: Annotated[str, msgspec.Meta(description="A task of the project, such as `train/41/fit/3`")] = msgspec.field(
        default="", name="with"
    )


class DiffQuery(RunPath, frozen=True, kw_only=True):
    """Two runs: the one of the path is the later one."""

    other: Annotated[str, msgspec.Meta(description="A run of the project, such as `train/41`")] = msgspec.field(
        name="with"
    )


class CompareQuery(ProjectPath, frozen=True, kw_only=True):
    """The runs to compare."""

    run: Annotated[tuple[str, ...], msgspec.Meta(min_length=2, max_length=50, description="Such as `train/42`")]


class ComparedValues(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter or metric, with its value in each run; null where a run has none."""

    name: str
    values: list[Any]


class ComparedArtifacts(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact of the flow in each run; null where a run has none. ``same``: all have the same content."""

    name: str
    artifacts: list[ArtifactView | None]
    same: bool


class RunsCompared(msgspec.Struct, frozen=True, kw_only=True):
    """Runs side by side, in the order that they were asked for: parameters that differ, metrics, results."""

    runs: list[RunRow]
    params: list[ComparedValues]
    metrics: list[ComparedValues]
    artifacts: list[ComparedArtifacts]


def _explain_run(call: Call[RunPath, None]) -> RunExplanation:
    scope, run = run_of(call)
    return explain_run(scope.metadata, scope.artifacts, run)


def _explain(call: Call[ExplainQuery, None]) -> Explanation:
    scope, run, task = task_of(call)
    other = None
    if call.params.other:
        beside = find_run(scope.metadata, scope.project, call.params.other)
        other = (beside, find_task(scope.metadata, beside, parse_name(call.params.other)))
    return explain_task(scope.metadata, scope.artifacts, run, task, other)


def _two(call: Call[DiffQuery, None]) -> tuple[Scope, RunRecord, RunRecord]:
    scope, run = run_of(call)
    return scope, find_run(scope.metadata, scope.project, call.params.other), run


def _diff(call: Call[DiffQuery, None]) -> RunDiff:
    scope, left, right = _two(call)
    return compare_runs(scope.metadata, scope.artifacts, left, right)


def _source_diff(call: Call[DiffQuery, None]) -> Response:
    scope, left, right = _two(call)
    data = source_diff(scope.artifacts, left, right).encode("utf-8", "replace")
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    return BytesResponse(call.request, [data], blake3(data).hexdigest(16), headers)


def _compare(call: Call[CompareQuery, None]) -> RunsCompared:
    scope = call.scope(call.params.project)
    runs = [find_run(scope.metadata, scope.project, name) for name in call.params.run]
    rows = rows_of(scope.metadata, runs, time.time())
    params = _values([row.params for row in rows])
    made = [_results(scope, run) for run in runs]
    artifacts = []
    for name in dict.fromkeys(name for side in made for name in side):
        views = [side.get(name) for side in made]
        same = len({None if view is None else view.digest for view in views}) == 1
        artifacts.append(ComparedArtifacts(name=name, artifacts=views, same=same))
    return RunsCompared(
        runs=rows,
        params=[one for one in params if any(value != one.values[0] for value in one.values[1:])],
        metrics=_values([row.metrics for row in rows]),
        artifacts=artifacts,
    )


def _results(scope: Scope, run: RunRecord) -> dict[str, ArtifactView]:
    found = scope.metadata.artifacts(run.id, FLOW_TASK)
    return {one.name: view_artifact(run, one) for one in found if one.kind not in UNLISTED}


def _values(sides: list[dict[str, Any]] | list[dict[str, float]]) -> list[ComparedValues]:
    names = dict.fromkeys(name for side in sides for name in side)
    return [ComparedValues(name=name, values=[side.get(name) for side in sides]) for name in names]


_TEXT = Media(types=("text/plain",), ranges=True, about="A unified diff")
ROUTES = (
    get(
        RUN + "/explain", _explain_run, "Why tasks ran", slow=True, params=RunPath, result=RunExplanation, tag="compare"
    ),
    get(TASK + "/explain", _explain, "Why a task ran", params=ExplainQuery, result=Explanation, tag="compare"),
    get(RUN + "/diff", _diff, "What differs from another run", params=DiffQuery, result=RunDiff, tag="compare"),
    get(
        RUN + "/diff/source",
        _source_diff,
        "What source files differ in",
        params=DiffQuery,
        result=_TEXT,
        problems=(416,),
        tag="compare",
    ),
    get(PROJECT + "/compare", _compare, "Runs side by side", params=CompareQuery, result=RunsCompared, tag="compare"),
)
