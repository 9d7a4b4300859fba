"""What the attempts of a run used: by step and worker, over time, and as the spans of a timeline.

Runs have up to a million attempts. They are read once, into columns of numbers; answers from these are of bounded size.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

import msgspec

from headrace.model.records import AttemptRecord, TaskId
from headrace.model.states import AttemptState
from headrace.model.workers import LOCAL

_STATES = tuple(AttemptState)
_RUNNING = _STATES.index(AttemptState.RUNNING)
#: Attempts that came to nothing.
_WASTED = frozenset(map(_STATES.index, (AttemptState.FAILED, AttemptState.LOST, AttemptState.CANCELLED)))
#: Means of the curves over so many pieces of the time.
_POINTS = 400


class UsageSum(msgspec.Struct, frozen=True, kw_only=True):
    """All attempts of a step or on a worker. ``wasted`` ones came to nothing: failed, lost or cancelled."""

    name: str
    attempts: int
    seconds: float
    cpu_seconds: float
    peak_memory: int
    wasted: int
    wasted_seconds: float


class UsageCurves(msgspec.Struct, frozen=True, kw_only=True):
    """Means over pieces of the time that begin at ``times``, in seconds since the first start: attempts that ran,
    cores that they used, and the peaks of their memory, added, so that no more was in use."""

    times: list[float]
    running: list[float]
    cores: list[float]
    memory: list[float]


class Spans(msgspec.Struct, frozen=True, kw_only=True):
    """Bars of a timeline as columns, in order of worker and start. Each is an attempt, or several that are too short to
    be told apart, one after the other on a worker.

    ``worker`` and ``step`` are places in the lists of their names, ``start`` and ``end`` seconds since the first start
    (``end`` is null while it runs), ``attempts`` how many it holds. ``task``, ``attempt`` and ``state`` are those of
    the only attempt, or of the first one; ``wasted`` counts those that came to nothing.
    """

    worker: list[int]
    step: list[int]
    start: list[float]
    end: list[float | None]
    attempts: list[int]
    wasted: list[int]
    task: list[str]
    attempt: list[int]
    state: list[str]
    cpu_seconds: list[float]
    peak_memory: list[int]


class UsageView(msgspec.Struct, frozen=True, kw_only=True):
    """What a run used. ``start`` is when its first attempt started, ``end`` when the last ended, in seconds since the
    epoch. ``merged``: spans hold several attempts; a narrower window tells these apart."""

    attempts: int
    start: float
    end: float
    workers: list[UsageSum]
    steps: list[UsageSum]
    curves: UsageCurves
    spans: Spans
    merged: bool


class AttemptColumns:
    """The attempts of a run as columns of numbers.

    Args:
        attempts: in any order; those of the flow function are left out.
        now: seconds since the epoch, up to which running attempts count.
        gone: the driver was killed, so what is recorded as running is lost.
    """

    def __init__(self, attempts: Iterable[AttemptRecord], now: float, *, gone: bool = False) -> None:
        self.started, self.ended = array("d"), array("d")
        self.step, self.worker = array("I"), array("I")
        self.number, self.attempt = array("Q"), array("I")
        self.state = array("B")
        self.cpu, self.peak = array("d"), array("Q")
        self.steps: dict[str, int] = {}
        self.workers: dict[str, int] = {}
        for one in attempts:
            if one.step:
                self._add(one, now, gone)
        #: Places of the attempts by worker and start.
        self.order = array("I", sorted(range(len(self)), key=lambda at: (self.worker[at], self.started[at])))
        self.start = min(self.started, default=now)
        self.end = max(self.ended, default=now)

    def __len__(self) -> int:
        return len(self.started)

    @cached_property
    def by_step(self) -> list[UsageSum]:
        """What the attempts of each step used."""
        return _sums(self, self.step, self.steps)

    @cached_property
    def by_worker(self) -> list[UsageSum]:
        """What the attempts on each worker used."""
        return _sums(self, self.worker, self.workers)

    @cached_property
    def curves(self) -> UsageCurves:
        """What was used over time."""
        return _curves(self)

    def _add(self, one: AttemptRecord, now: float, gone: bool) -> None:
        state = AttemptState.LOST if gone and one.state is AttemptState.RUNNING else one.state
        place = f"{one.place} " if one.place and one.place != LOCAL else ""
        worker = f"{place}{one.host}:{one.pid}" if one.pid else f"{place}unknown"
        self.started.append(one.started)
        self.ended.append(max(one.started, now if one.finished is None else one.finished))
        self.step.append(self.steps.setdefault(one.step, len(self.steps)))
        self.worker.append(self.workers.setdefault(worker, len(self.workers)))
        self.number.append(one.number)
        self.attempt.append(one.attempt)
        self.state.append(_STATES.index(state))
        self.cpu.append(one.cpu_seconds)
        self.peak.append(one.peak_memory)


def usage_of(columns: AttemptColumns, most: int, window: tuple[float | None, float | None] = (None, None)) -> UsageView:
    """What a run used.

    Args:
        columns: its attempts.
        most: spans that are wanted, about.
        window: of the spans, in seconds since the first start; None: all of the time.
    """
    last = columns.end - columns.start if window[1] is None else window[1]
    spans, merged = _spans(columns, (window[0] or 0.0, last), most)
    return UsageView(
        attempts=len(columns),
        start=columns.start,
        end=columns.end,
        workers=columns.by_worker,
        steps=columns.by_step,
        curves=columns.curves,
        spans=spans,
        merged=merged,
    )


def _sums(columns: AttemptColumns, of: array[int], names: dict[str, int]) -> list[UsageSum]:
    count, wasted, peak = [0] * len(names), [0] * len(names), [0] * len(names)
    seconds, cpu, lost = [0.0] * len(names), [0.0] * len(names), [0.0] * len(names)
    for at, group in enumerate(of):
        took = columns.ended[at] - columns.started[at]
        count[group] += 1
        seconds[group] += took
        cpu[group] += columns.cpu[at]
        peak[group] = max(peak[group], columns.peak[at])
        if columns.state[at] in _WASTED:
            wasted[group] += 1
            lost[group] += took
    return [
        UsageSum(
            name=name,
            attempts=count[at],
            seconds=seconds[at],
            cpu_seconds=cpu[at],
            peak_memory=peak[at],
            wasted=wasted[at],
            wasted_seconds=lost[at],
        )
        for name, at in names.items()
    ]


def _curves(columns: AttemptColumns) -> UsageCurves:
    """Each attempt adds its shares of its first and last piece, and a difference for the whole pieces between."""
    width = max(1e-6, (columns.end - columns.start) / _POINTS)
    curves = [_Curve() for _ in range(3)]
    for at, begun in enumerate(columns.started):
        a, b = begun - columns.start, columns.ended[at] - columns.start
        cores = columns.cpu[at] / max(b - a, 1e-6)
        first, last = min(_POINTS - 1, int(a / width)), min(_POINTS - 1, int(b / width))
        if first == last:
            edges = [(first, (b - a) / width)]
        else:
            edges = [(first, first + 1 - a / width), (last, min(1.0, b / width - last))]
        for curve, value, whole in zip(
            curves, (1.0, cores, float(columns.peak[at])), (False, False, True), strict=True
        ):
            for piece, share in edges:
                curve.ends[piece] += value if whole and share > 0 else value * share
            curve.steps[first + 1] += value
            curve.steps[max(last, first + 1)] -= value
    running, cores_used, memory = (curve.values() for curve in curves)
    return UsageCurves(
        times=[piece * width for piece in range(_POINTS)], running=running, cores=cores_used, memory=memory
    )


class _Curve:
    """``ends``: what attempts add that begin or end in a piece; ``steps``: changes of what lasts for whole pieces."""

    def __init__(self) -> None:
        self.ends = [0.0] * _POINTS
        self.steps = [0.0] * (_POINTS + 1)

    def values(self) -> list[float]:
        level, found = 0.0, []
        for end, step in zip(self.ends, self.steps, strict=False):
            level += step
            found.append(max(0.0, level + end))
        return found


def _spans(columns: AttemptColumns, window: tuple[float, float], most: int) -> tuple[Spans, bool]:
    first, last = columns.start + window[0], columns.start + window[1]
    shown = [at for at in columns.order if columns.ended[at] >= first and columns.started[at] <= last]
    if len(shown) <= most:
        groups: Sequence[Sequence[int]] = [[at] for at in shown]
    else:
        workers = len({columns.worker[at] for at in shown})
        groups = list(_groups(columns, shown, (last - first) / max(10, most // workers)))
    return _as_spans(columns, groups), len(groups) < len(shown)


def _groups(columns: AttemptColumns, shown: Sequence[int], widest: float) -> Iterator[list[int]]:
    """Attempts on a worker that together last no longer than ``widest`` seconds, with no long pause between them."""
    started, ended, worker = columns.started, columns.ended, columns.worker
    group: list[int] = []
    for at in shown:
        if group and (
            worker[at] != worker[group[0]]
            or ended[at] - started[group[0]] > widest
            or started[at] - ended[group[-1]] > widest / 2
        ):
            yield group
            group = []
        group.append(at)
    if group:
        yield group


def _as_spans(columns: AttemptColumns, groups: Sequence[Sequence[int]]) -> Spans:
    start, ended = columns.start, columns.ended
    heads = [group[0] for group in groups]
    names = list(columns.steps)
    last = [max(group, key=ended.__getitem__) for group in groups]
    longest = [max(group, key=lambda at: ended[at] - columns.started[at]) for group in groups]
    return Spans(
        worker=[columns.worker[at] for at in heads],
        step=[columns.step[at] for at in longest],
        start=[round(columns.started[at] - start, 6) for at in heads],
        end=[None if columns.state[at] == _RUNNING else round(ended[at] - start, 6) for at in last],
        attempts=[len(group) for group in groups],
        wasted=[sum(columns.state[at] in _WASTED for at in group) for group in groups],
        task=[str(TaskId(names[columns.step[at]], columns.number[at])).rpartition("/")[2] for at in heads],
        attempt=[columns.attempt[at] for at in heads],
        state=[str(_STATES[columns.state[at]]) for at in heads],
        cpu_seconds=[round(sum(columns.cpu[at] for at in group), 6) for group in groups],
        peak_memory=[max(columns.peak[at] for at in group) for group in groups],
    )
