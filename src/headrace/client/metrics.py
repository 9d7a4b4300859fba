"""Metrics of runs and tasks, read back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, overload

from headrace.client.html import html_table, text_table
from headrace.client.source import RunReader
from headrace.client.views import missing
from headrace.model.records import MetricChunk, MetricSummary, TaskId, summed_up
from headrace.services.paging import each_metric_chunk

if TYPE_CHECKING:
    import pandas as pd

_HEADER = ("metric", "last", "min", "max", "points")


class Metric:
    """One metric of a run or a task. What sums it up is at hand; its points are loaded when they are asked for."""

    def __init__(self, run: RunReader, summary: MetricSummary, task: TaskId | None = None) -> None:
        self._run = run
        self._summary = summary
        self._task = task
        self._chunks: list[MetricChunk] | None = None
        self.name = summary.name

    @property
    def last(self) -> float:
        """The value logged last."""
        return self._summary.last

    @property
    def min(self) -> float:
        """The smallest value that is a number; NaN when none is."""
        return self._summary.min

    @property
    def max(self) -> float:
        """The greatest value that is a number; NaN when none is."""
        return self._summary.max

    @property
    def step(self) -> int:
        """The step of the value logged last."""
        return self._summary.step

    @property
    def values(self) -> list[float]:
        """All values, in the order in which they arrived."""
        return [value for chunk in self._points() for value in chunk.values]

    @property
    def steps(self) -> list[int]:
        """Their steps."""
        return [step for chunk in self._points() for step in chunk.steps]

    @property
    def times(self) -> list[float]:
        """When they were logged, in seconds since the epoch."""
        return [at for chunk in self._points() for at in chunk.times]

    def _points(self) -> list[MetricChunk]:
        if self._chunks is None:
            self._chunks = [
                chunk
                for chunk in each_metric_chunk(self._run.metadata, self._run.id, self.name)
                if self._task is None or (chunk.step, chunk.number) == self._task
            ]
        return self._chunks

    def to_pandas(self) -> pd.DataFrame:
        """A frame with columns ``step``, ``value``, ``time`` and ``task`` (empty for what the flow itself logged)."""
        import pandas as pd

        names = [(str(TaskId(one.step, one.number)) if one.step else "", len(one.values)) for one in self._points()]
        tasks = [name for name, count in names for _ in range(count)]
        times = pd.to_datetime(self.times, unit="s", utc=True)
        return pd.DataFrame({"step": self.steps, "value": self.values, "time": times, "task": tasks})

    def __len__(self) -> int:
        return self._summary.count

    def __iter__(self) -> Iterator[float]:
        return iter(self.values)

    @overload
    def __getitem__(self, place: int) -> float: ...

    @overload
    def __getitem__(self, place: slice) -> list[float]: ...

    def __getitem__(self, place: int | slice) -> float | list[float]:
        """The value at ``place``, or some of them, in the order in which they arrived."""
        return self.values[place]

    def __float__(self) -> float:
        return self.last

    def _row(self) -> tuple[str, ...]:
        return (self.name, f"{self.last:g}", f"{self.min:g}", f"{self.max:g}", str(len(self)))

    def __repr__(self) -> str:
        return f"<metric {self.name}: last {self.last:g}, min {self.min:g}, max {self.max:g}, {len(self)} points>"

    def _repr_html_(self) -> str:
        return html_table(self._run.name, _HEADER, [self._row()])


class Metrics(Mapping[str, Metric]):
    """The metrics of a run or a task by name, as they stood when they were asked for."""

    def __init__(self, run: RunReader, task: TaskId | None = None) -> None:
        self._run = run
        self._owner = run.name if task is None else f"{run.name}/{task}"
        if task is None:
            summaries = run.metadata.metric_summaries([run.id])
        else:
            chunks = run.metadata.metrics(run.id, task=task)
            summaries = summed_up(chunks)
        self._metrics = {one.name: Metric(run, one, task) for one in summaries}

    def __getitem__(self, name: str) -> Metric:
        found = self._metrics.get(name)
        if found is None:
            raise missing("metric", name, self._owner, list(self._metrics))
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._metrics

    def __iter__(self) -> Iterator[str]:
        return iter(self._metrics)

    def __len__(self) -> int:
        return len(self._metrics)

    def to_pandas(self) -> pd.DataFrame:
        """All points of all metrics: as ``Metric.to_pandas``, with a column ``metric``."""
        import pandas as pd

        frames = [metric.to_pandas().assign(metric=name) for name, metric in self._metrics.items()]
        columns = ["metric", "step", "value", "time", "task"]
        return pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)

    def __repr__(self) -> str:
        if not self:
            return f"<no metrics of {self._owner}>"
        return text_table(_HEADER, [metric._row() for metric in self._metrics.values()])

    def _repr_html_(self) -> str:
        return html_table(f"metrics of {self._owner}", _HEADER, [metric._row() for metric in self._metrics.values()])
