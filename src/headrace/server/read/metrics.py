"""Metrics: what sums them up, and their points, as many as a chart can show."""

from __future__ import annotations

import math
from typing import Annotated

import msgspec

from headrace.model.errors import NotFoundError
from headrace.model.records import RunRecord, TaskId
from headrace.server.call import Call
from headrace.server.read.paths import RUN, RunPath, run_of
from headrace.server.routes import Page, get
from headrace.services.describe import MetricView
from headrace.services.downsampling import bands, lttb
from headrace.services.names import read_task, task_name
from headrace.services.paging import each_metric_chunk
from headrace.wiring import Scope

#: Series of one answer.
_SERIES = 200


class MetricQuery(RunPath, frozen=True, kw_only=True):
    """The points of a metric."""

    name: str
    points: Annotated[int, msgspec.Meta(ge=3, le=20_000, description="At most so many of each series")] = 1_000
    band: Annotated[bool, msgspec.Meta(description="The least, mean and greatest value of buckets instead")] = False
    step: Annotated[str | None, msgspec.Meta(description="Of tasks of this step")] = None
    task: Annotated[str | None, msgspec.Meta(description="The number of a task; needs `step`")] = None


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """Points of one task (or of the flow itself), by step. ``count`` is how many there are in all.

    ``steps`` and ``times`` (seconds since 1970) belong to ``values``. With ``band``, ``values`` are means of buckets,
    which begin at ``steps``; ``low`` and ``high`` are their least and greatest values. Points that are not finite
    numbers are left out, and counted in ``gaps``.
    """

    task: str
    count: int
    gaps: int
    steps: list[float]
    times: list[float]
    values: list[float]
    low: list[float] | None = None
    high: list[float] | None = None


class MetricDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A metric of a run. ``left_out`` counts the series beyond the first 200; name a step or a task to see them."""

    name: str
    series: list[Series]
    left_out: int


class _Points:
    """The points of one task."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, float, float]] = []
        self.gaps = 0

    def take(self, steps: tuple[int, ...], times: tuple[float, ...], values: tuple[float, ...]) -> None:
        for step, at, value in zip(steps, times, values, strict=True):
            if math.isfinite(value):
                self.rows.append((float(step), at, value))
            else:
                self.gaps += 1


def _metrics(call: Call[RunPath, None]) -> Page[MetricView]:
    scope, run = run_of(call)
    found = scope.metadata.metric_summaries([run.id])
    return Page(
        items=[
            MetricView(name=one.name, last=one.last, min=one.min, max=one.max, count=one.count, step=one.step)
            for one in found
        ]
    )


def _metric(call: Call[MetricQuery, None]) -> MetricDetail:
    scope, run = run_of(call)
    want = call.params
    found = _points(scope, run, want)
    if not found:
        raise NotFoundError(f"{run.name} has no metric {want.name!r} there")
    shown = sorted(found.items())[:_SERIES]
    made = [_series(task_name(run, task), points, want) for task, points in shown]
    return MetricDetail(name=want.name, series=made, left_out=len(found) - len(shown))


def _points(scope: Scope, run: RunRecord, want: MetricQuery) -> dict[TaskId, _Points]:
    number = None if want.task is None else read_task(want.task)
    found: dict[TaskId, _Points] = {}
    for chunk in each_metric_chunk(scope.metadata, run.id, want.name):
        if want.step not in (None, chunk.step) or (want.task is not None and number != chunk.number):
            continue
        found.setdefault(TaskId(chunk.step, chunk.number), _Points()).take(chunk.steps, chunk.times, chunk.values)
    return found


def _series(task: str, points: _Points, want: MetricQuery) -> Series:
    rows = sorted(points.rows, key=lambda row: row[0])
    steps, times, values = [[row[place] for row in rows] for place in range(3)]
    count = len(rows)
    if want.band and count:
        found = bands(steps, values, want.points)
        number = len(found)
        return Series(
            task=task,
            count=count,
            gaps=points.gaps,
            steps=[one.start for one in found],
            times=[times[place * count // number] for place in range(number)],
            values=[one.mean for one in found],
            low=[one.low for one in found],
            high=[one.high for one in found],
        )
    kept = lttb(steps, values, want.points)
    steps, times, values = [[column[place] for place in kept] for column in (steps, times, values)]
    return Series(task=task, count=count, gaps=points.gaps, steps=steps, times=times, values=values)


ROUTES = (
    get(RUN + "/metrics", _metrics, "Metrics, summed up", params=RunPath, result=Page[MetricView], tag="metrics"),
    get(
        RUN + "/metrics/{name:path}",
        _metric,
        "Points of a metric, as many as a chart shows",
        params=MetricQuery,
        result=MetricDetail,
        tag="metrics",
    ),
)
