"""What the metadata store in memory does with its records: pages, exports, conditions."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from headrace.model.errors import UsageError
from headrace.model.records import (
    ArtifactRecord,
    AttemptRecord,
    Edge,
    LogChunk,
    LogSegment,
    Param,
    RunFlags,
    RunRecord,
    Tag,
    TaskId,
)
from headrace.stores.metadata import _rows
from headrace.stores.metadata._sql import Row
from headrace.stores.metadata.protocol import AnyOf, RunFilter, SortKey, Where, Write
from headrace.stores.metadata.sorting import parse_sort

_R = TypeVar("_R", AttemptRecord, ArtifactRecord)

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


#: From a row of an export, after the new run's id, to what ``_put`` takes; summaries come from the chunks.
MAKERS: dict[str, Callable[[Row], Write]] = {
    "attempts": _rows.attempt_of,
    "artifacts": _rows.artifact_of,
    "edges": lambda row: Edge(row[0], row[3], row[4], row[1], row[2]),
    "logs": _rows.log_of,
    "metrics": _rows.metric_of,
    "tags": lambda row: Tag(row[0], row[1], row[2]),
    "params": lambda row: Param(row[0], row[1], row[5], bool(row[2])),
    "waits": _rows.wait_of,
}


_T = TypeVar("_T")


def page(found: list[_T], key: Callable[[_T], Any], after: Any, limit: int) -> list[_T]:
    """A page of ``found``, which is in the order of ``key``."""
    beyond = found if after is None else [one for one in found if key(one) > after]
    return beyond[:limit] if limit else beyond


def edge_key(edge: Edge) -> tuple[str, int, str, int]:
    """What edges are ordered by."""
    return (edge.child_step, edge.child_number, edge.parent_step, edge.parent_number)


def log_row(one: LogChunk | LogSegment) -> Row:
    """A row of an export."""
    return _rows.segment_row(one) if isinstance(one, LogSegment) else _rows.log_row(one)


def of_task(items: Iterable[tuple[tuple[Any, ...], _R]], run_id: int, task: TaskId | None) -> list[_R]:
    """Records of one task, or of a whole run, by key."""
    chosen: tuple[Any, ...] = (run_id,) if task is None else (run_id, task.step, task.number)
    return [record for key, record in sorted(items, key=lambda item: item[0]) if key[: len(chosen)] == chosen]


def is_marked(flags: RunFlags, mark: str) -> bool:
    """Whether a run with ``flags`` has a mark of ``RunFilter.marks``."""
    name = mark.removeprefix("!")
    if name not in ("pinned", "archived", "deleted"):
        raise UsageError(f"{mark!r} is not a mark of runs")
    value = getattr(flags, name)
    return (value is not None and value is not False) is (mark == name)


def check_where(where: Sequence[Where]) -> None:
    """Refuse conditions that cannot be asked for."""
    for one in where:
        if isinstance(one, AnyOf):
            for alternative in one.alternatives:
                check_where(alternative)
        else:
            _check_one(*one)


def _check_one(subject: str, sign: str, operand: float | str) -> None:
    group, _, name = subject.partition(".")
    plain = subject in ("state", "flow", "id", "number", "created", "duration")
    if sign not in OPERATORS or not (plain or (group in ("metrics", "params", "tags") and name)):
        raise UsageError(f"unknown filter field {subject!r} with {sign!r}")
    numeric = group == "metrics" or subject in ("id", "number", "created", "duration")
    if numeric and isinstance(operand, str) and _rows.number_of(operand) is None:
        raise UsageError(f"{subject} is a number, so it cannot be compared with {operand!r}")


def sorted_runs(runs: Sequence[RunRecord], keys: Mapping[int, SortKey], want: RunFilter) -> list[RunRecord]:
    """The runs in the order of ``want``, those after its cursor; ``keys`` are theirs, by the runs' ids."""
    _, descending = parse_sort(want.sort)

    def compare(left: SortKey, right: SortKey) -> int:
        if left.rank != right.rank:
            return left.rank - right.rank
        if (left.number, left.text) != (right.number, right.text):
            return 1 if ((left.number, left.text) > (right.number, right.text)) != descending else -1
        return right.run_id - left.run_id

    found = sorted(runs, key=lambda run: functools.cmp_to_key(compare)(keys[run.id]))
    return found if want.after is None else [run for run in found if compare(keys[run.id], want.after) > 0]


def compares(value: float | str, sign: str, operand: float | str, *, as_text: bool) -> bool:
    """Whether a value of a run compares so with an operand: as numbers where both are, unless ``as_text``."""
    if as_text:
        return OPERATORS[sign](str(value), str(operand))
    left = _rows.number_of(value) if isinstance(value, str) else value
    right = _rows.number_of(operand) if isinstance(operand, str) else operand
    if left is not None and right is not None:
        return not math.isnan(left) and OPERATORS[sign](left, right)
    word = operand if isinstance(operand, str) else f"{operand:g}"
    return OPERATORS[sign](str(value), word)
