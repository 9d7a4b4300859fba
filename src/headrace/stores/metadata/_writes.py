"""From the writes of a commit to as few statements as possible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec.structs import astuple

from headrace.model.errors import NotFoundError
from headrace.model.records import (
    ArtifactRecord,
    AttemptRecord,
    Edge,
    LogChunk,
    LogSegment,
    MetricChunk,
    Param,
    QueueCount,
    Request,
    RunFlags,
    Tag,
    TaskRecord,
    Wait,
)
from headrace.model.states import RunState
from headrace.stores.metadata import _rows, _transitions
from headrace.stores.metadata._database import Transaction
from headrace.stores.metadata._shared import SharedValues
from headrace.stores.metadata._sql import Row, Statements
from headrace.stores.metadata.protocol import CacheEntry, DropLog, DropOutputs, DropQueue, RunChange, Untag, Write

#: kind of write -> (statement, its values)
_PLAIN: dict[type, tuple[str, Callable[[Any], Row]]] = {
    TaskRecord: ("put_task", _rows.task_row),
    AttemptRecord: ("put_attempt", _rows.attempt_row),
    ArtifactRecord: ("put_artifact", _rows.artifact_row),
    DropOutputs: ("drop_outputs", astuple),
    Edge: ("put_edge", _rows.edge_row),
    LogChunk: ("put_log", _rows.log_row),
    LogSegment: ("put_log", _rows.segment_row),
    DropLog: ("drop_log", astuple),
    MetricChunk: ("put_metric", _rows.metric_row),
    Tag: ("put_tag", _rows.tag_row),
    Untag: ("drop_tag", astuple),
    Param: ("put_param", _rows.param_row),
    Wait: ("put_wait", _rows.wait_row),
    CacheEntry: ("put_cache", _rows.cache_row),
    QueueCount: ("put_queue", _rows.queue_row),
    DropQueue: ("drop_queue", astuple),
    Request: ("put_request", astuple),
    RunFlags: ("put_flags", _rows.flags_row),
}

#: Kinds that touch the rows of others: the order between these must be kept.
_RIVALS: dict[type, tuple[type, ...]] = {
    ArtifactRecord: (DropOutputs,),
    CacheEntry: (DropOutputs,),
    DropOutputs: (ArtifactRecord, CacheEntry),
    LogChunk: (DropLog, LogSegment),
    LogSegment: (DropLog, LogChunk),
    DropLog: (LogChunk, LogSegment),
    Tag: (Untag,),
    Untag: (Tag,),
    QueueCount: (DropQueue,),
    DropQueue: (QueueCount,),
}

#: Kinds that need nothing but their own statement; those of every task are among them.
_ALONE = frozenset({AttemptRecord, ArtifactRecord, Edge, Tag, Param, Wait, CacheEntry, QueueCount})

#: Kinds whose rows are followed by id.
_IN_ORDER = (LogChunk, LogSegment, MetricChunk)

#: Fields of ``RunChange`` whose column has another name.
_RENAMED = {"user": "user_name"}


def grouped(writes: Sequence[Write]) -> list[tuple[type, list[Any]]]:
    """The writes by kind, in an order that has the same effect as theirs.

    Writes of one kind keep their order; different kinds write to different tables, so only those of ``_RIVALS`` must
    also keep their order among each other.
    """
    groups: list[tuple[type, list[Any]]] = []
    current: dict[type, list[Any]] = {}
    for write in writes:
        kind = type(write)
        members = current.get(kind)
        if members is None:
            members = current[kind] = []
            groups.append((kind, members))
            if kind in _RIVALS:
                for rival in _RIVALS[kind]:
                    current.pop(rival, None)
        members.append(write)
    return groups


def _fit(row: Row) -> Row:
    """``row`` with texts that every database takes: lone surrogates escaped, NUL shown as the picture of it."""
    return tuple(
        [
            value.encode("utf-8", "backslashreplace").decode().replace("\0", "\u2400")
            if isinstance(value, str)
            else value
            for value in row
        ]
    )


def find_runs(writes: Sequence[Write], transaction: Transaction, statements: Statements, *, shared: bool) -> None:
    """See to it that the runs of ``writes`` are there, and stay until the transaction has ended.

    Args:
        shared: whether others write at the same time.

    Raises:
        NotFoundError: one was deleted.
    """
    text = "SELECT 1 FROM runs WHERE id = :run_id" + (" FOR KEY SHARE" if shared else "")
    statement = statements.compile(text)
    for run_id in sorted({write.run_id for write in writes}):
        if not transaction.rows(statement.text, (run_id,)):
            raise NotFoundError(f"there is no run with the id {run_id}, or not any more. Nothing was written.")


def apply(
    writes: Sequence[Write], transaction: Transaction, statements: Statements, shared: SharedValues, *, fit: bool
) -> list[Row]:
    """Run all of ``writes`` in ``transaction``. ``fit``: mend texts the database cannot keep; it costs some time.

    Returns what ``shared`` is to be told of when the transaction has succeeded.
    """
    texts = statements.texts
    fresh: list[Row] = []
    for kind, members in grouped(writes):
        if kind is RunChange:
            for change in members:
                _change_run(change, transaction, statements, fit)
            continue
        name, row = _PLAIN[kind]
        if kind in _ALONE and not fit:
            transaction.many(texts[name], list(map(row, members)))
            continue
        if kind in _IN_ORDER:
            for run_id in sorted({member.run_id for member in members}):
                transaction.in_order(run_id)
        if kind is TaskRecord:
            rows, values = shared.task_rows(members)
            if values:
                transaction.many(texts["put_shared_value"], values)
                fresh += values
        else:
            rows = list(map(row, members))
        if fit:
            rows = [_fit(values) for values in rows]
        if kind is LogSegment:  # one by one: the last of those that are of the same chunks stays
            for member, segment in zip(members, rows, strict=True):
                transaction.change(texts["drop_pieces"], _rows.segment_range(member))
                transaction.change(texts[name], segment)
            continue
        transaction.many(texts[name], rows)
        if kind is DropOutputs:
            transaction.many(texts["drop_cached"], rows)
        if kind is MetricChunk:
            summaries = _rows.summary_rows(members)
            if summaries:
                transaction.many(texts["put_summary"], [_fit(row) for row in summaries] if fit else summaries)
    return fresh


def _set_state(change: RunChange) -> str:
    """The new state of a run, or NULL, which is refused, where it must not follow."""
    assert isinstance(change.state, RunState)
    before = ", ".join([f"'{state}'" for state in _transitions.runs_before(change.state)])
    return f"state = CASE WHEN state IN ({before}) THEN :state END"


def _change_run(change: RunChange, transaction: Transaction, statements: Statements, fit: bool) -> None:
    columns: dict[str, Any] = {}
    details: dict[str, Any] = {}
    for name in RunChange.__struct_fields__:
        value = getattr(change, name)
        if name == "run_id" or value is msgspec.UNSET:
            continue
        if name == "inputs":
            details[name] = _rows.pack_tuple(value)
        elif name == "details":
            details[name] = value
        elif name == "state":
            columns[name] = value.value
        else:
            columns[_RENAMED.get(name, name)] = int(value) if name == "git_dirty" else value
    for table, key, values in (("runs", "id", columns), ("run_details", "run_id", details)):
        if values:
            sets = ", ".join([_set_state(change) if name == "state" else f"{name} = :{name}" for name in values])
            statement = statements.compile(f"UPDATE {table} SET {sets} WHERE {key} = :run_id")
            params = statement.bind({**values, "run_id": change.run_id})
            transaction.change(statement.text, _fit(params) if fit else params)
