"""Records to rows and back. A row's values stand in the order of the columns in ``schema.sql`` and ``queries.sql``."""

from __future__ import annotations

import functools
import math
import operator
import sys
from array import array
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec
from msgspec.structs import astuple, replace

from headrace.model.errors import StoreDamagedError
from headrace.model.records import (
    ArtifactRecord,
    AttemptRecord,
    Edge,
    Input,
    Lease,
    LogChunk,
    LogPiece,
    LogSegment,
    MetricChunk,
    MetricSummary,
    Param,
    QueueCount,
    RunFlags,
    RunRecord,
    Signal,
    Success,
    Tag,
    TaskId,
    TaskRecord,
    Wait,
)
from headrace.model.states import AttemptState, RunState, TaskState
from headrace.model.values import Blob, Packed, Preview
from headrace.stores.metadata._sql import Row
from headrace.stores.metadata.protocol import CacheEntry

P = ParamSpec("P")
R = TypeVar("R")

encode = msgspec.msgpack.Encoder().encode
decode_inputs = msgspec.msgpack.Decoder(tuple[Input, ...]).decode
_decode_shared = msgspec.msgpack.Decoder(tuple[tuple[Input, bytes], ...]).decode
decode_packed = msgspec.msgpack.Decoder(Packed).decode
decode_preview = msgspec.msgpack.Decoder(Preview).decode
decode_segment = msgspec.msgpack.Decoder(tuple[Blob, tuple[LogPiece, ...]]).decode
decode_success = msgspec.msgpack.Decoder(Success).decode
decode_tags = msgspec.msgpack.Decoder(tuple[str, ...]).decode

#: Begins the inputs of a row that names shared values (see ``_shared``). MessagePack does not use this byte.
SHARED = b"\xc1"

# Looking a member up in a dict is several times faster than calling the enum.
_RUN_STATES = {state.value: state for state in RunState}
_TASK_STATES = {state.value: state for state in TaskState}
_ATTEMPT_STATES = {state.value: state for state in AttemptState}


def pack_tuple(values: tuple[object, ...]) -> bytes:
    """A tuple of records or strings as bytes; no bytes at all for the empty one, which is the usual one."""
    return encode(values) if values else b""


def number_of(text: str) -> float | None:
    """``text`` as a number, when it is one as JSON would write it (also ``1.`` and ``+1``), else None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in text else None


def _checked(read: Callable[Concatenate[Row, P], R]) -> Callable[Concatenate[Row, P], R]:
    """Let ``read`` say of a row that it is damaged, whatever it stumbles over."""

    @functools.wraps(read)
    def checked(row: Row, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return read(row, *args, **kwargs)
        except (msgspec.MsgspecError, ValueError, TypeError, KeyError) as error:
            kind = read.__name__.removesuffix("_of")
            raise StoreDamagedError(
                f"a row of the metadata store is damaged: {kind} {row[:3]} cannot be read "
                f"({type(error).__name__}: {error}). Restore the database from a backup, or remove that run"
            ) from error

    return checked


def _named(names: tuple[str, ...], values: Iterable[Any]) -> dict[str, Any]:
    return dict(zip(names, values, strict=True))


# Fields of records, in the order of their columns.
_RUN = (
    *("id", "project", "flow", "number", "state", "dialect", "entry", "created", "started", "finished", "session"),
    *("user", "host", "pid", "git_commit", "git_dirty", "failed_task", "error", "traceback"),
)
_OF_TASK = ("run_id", "step", "number")
_TASK = (
    *(*_OF_TASK, "state", "attempts", "session", "occurrence", "created", "started", "finished", "key", "code"),
    *("environment", "cache_key", "reused_from", "error", "tags", "inputs", "success"),
)
#: Where the inputs stand in a row of a task.
INPUTS_AT = _TASK.index("inputs")
_ATTEMPT = (
    *(*_OF_TASK, "attempt", "state", "started", "finished", "host", "pid", "cpu_seconds", "peak_memory", "failure"),
    *("exit_code", "error", "traceback", "exception", "session", "place", "token"),
)
_ARTIFACT = (*_OF_TASK, "name", "kind", "created")
_log_columns = operator.attrgetter(*_OF_TASK, "attempt", "seq", "stream", "time", "data")
_WAIT = ("run_id", "key", "kind", "name", "prompt", "created", "until", "done", "value")


# --- runs -------------------------------------------------------------------------------------------------------


@_checked
def run_of(row: Row, inputs: bytes = b"", details: bytes = b"") -> RunRecord:
    """A row of ``run_columns``, with the large columns of ``run_details`` when they were asked for."""
    values = _named(_RUN, row)
    values["state"] = _RUN_STATES[values["state"]]
    values["git_dirty"] = bool(values["git_dirty"])
    return RunRecord(**values, inputs=decode_inputs(inputs) if inputs else (), details=details)


def run_row(run: RunRecord) -> Row:
    """The row that ``run_of`` reads, without what is in ``run_details``."""
    values = {name: getattr(run, name) for name in _RUN}
    return tuple({**values, "state": run.state.value, "git_dirty": int(run.git_dirty)}.values())


# --- tasks, attempts, artifacts: the hot path -------------------------------------------------------------------


def task_row(task: TaskRecord) -> Row:
    """Values for ``put_task``.

    ``_value_`` because ``value`` is a property that costs as much as the rest; ``bytearray`` because ``sqlite3`` looks
    for adapters of each ``bytes`` object, which takes longer than a copy.
    """
    inputs, tags = task.inputs, task.tags
    return (
        task.run_id,
        task.step,
        task.number,
        task.state._value_,
        task.attempts,
        task.session,
        task.occurrence,
        task.created,
        task.started,
        task.finished,
        bytearray(task.key),
        bytearray(task.code),
        bytearray(task.environment),
        bytearray(task.cache_key),
        task.reused_from,
        task.error,
        bytearray(encode(tags) if tags else b""),
        bytearray(encode(inputs) if inputs else b""),
        None if task.success is None else bytearray(encode(task.success)),
    )


def shared_digests(inputs: bytes) -> list[bytes]:
    """The digests of shared values that the inputs of a row name; they must be at hand to read it."""
    return [digest for _, digest in _decode_shared(inputs[1:]) if digest] if inputs[:1] == SHARED else []


def inputs_of(inputs: bytes, shared: Mapping[bytes, bytes] | None = None) -> tuple[Input, ...]:
    """Inputs as a row has them, made whole from ``shared`` values by digest.

    With None, bytes that are shared are left out; the blobs of a value are there in any case.
    """
    if inputs[:1] != SHARED:
        return decode_inputs(inputs) if inputs else ()
    return tuple(
        replace(one, value=replace(one.value, inline=shared[digest])) if digest and shared is not None else one
        for one, digest in _decode_shared(inputs[1:])
    )


@_checked
def task_of(row: Row, shared: Mapping[bytes, bytes] = MappingProxyType({})) -> TaskRecord:
    """A row of ``task_columns``, with the ``shared`` values that it names, by digest."""
    values = _named(_TASK, row)
    values["state"] = _TASK_STATES[values["state"]]
    values["tags"] = decode_tags(values["tags"]) if values["tags"] else ()
    values["success"] = None if values["success"] is None else decode_success(values["success"])
    values["inputs"] = inputs_of(values["inputs"], shared)
    return TaskRecord(**values)


@_checked
def lone_attempt_of(row: Row) -> AttemptRecord:
    """A row of ``lone_attempt_columns``."""
    run_id, step, number, attempt, success = row
    return decode_success(success).of(run_id, TaskId(step, number), attempt)


def attempt_row(attempt: AttemptRecord) -> Row:
    """Values for ``put_attempt``."""
    exception = attempt.exception
    return (
        attempt.run_id,
        attempt.step,
        attempt.number,
        attempt.attempt,
        attempt.state._value_,
        attempt.started,
        attempt.finished,
        attempt.host,
        attempt.pid,
        attempt.cpu_seconds,
        attempt.peak_memory,
        str(attempt.failure) if attempt.failure else "",
        attempt.exit_code,
        attempt.error,
        attempt.traceback,
        None if exception is None else encode(exception),
        attempt.session,
        attempt.place,
        attempt.token,
    )


@_checked
def attempt_of(row: Row) -> AttemptRecord:
    """A row of ``attempt_columns``."""
    values = _named(_ATTEMPT, row)
    values["state"] = _ATTEMPT_STATES[values["state"]]
    values["exception"] = None if values["exception"] is None else decode_packed(values["exception"])
    return AttemptRecord(**values)


def artifact_row(artifact: ArtifactRecord) -> Row:
    """Values for ``put_artifact``."""
    return (
        artifact.run_id,
        artifact.step,
        artifact.number,
        artifact.name,
        artifact.kind,
        artifact.created,
        bytearray(encode(artifact.preview)),
        bytearray(encode(artifact.value)),
    )


@_checked
def artifact_of(row: Row) -> ArtifactRecord:
    """A row of ``artifact_columns``."""
    *names, preview, value = row
    return ArtifactRecord(**_named(_ARTIFACT, names), preview=decode_preview(preview), value=decode_packed(value))


def cache_row(entry: CacheEntry) -> Row:
    """Columns of a cache entry as ``put_cache`` wants them."""
    return (entry.key, entry.created, entry.step, entry.number, entry.run_id)


def edge_row(edge: Edge) -> Row:
    """Values for ``put_edge``."""
    return (edge.run_id, edge.child_step, edge.child_number, edge.parent_step, edge.parent_number)


#: Values for ``put_queue``.
def lease_of(row: Row) -> Lease:
    """A row of the statement ``lease``."""
    return Lease(name=row[0], owner=row[1], token=row[2], left=row[3], note=bytes(row[4] or b""))


queue_row: Callable[[QueueCount], Row] = astuple


def flags_row(flags: RunFlags) -> Row:
    """Values for ``put_flags``."""
    return (flags.run_id, int(flags.pinned), int(flags.archived), flags.deleted)


def flags_of(row: Row) -> RunFlags:
    """A row of the statement ``flags_columns``."""
    return RunFlags(row[0], bool(row[1]), bool(row[2]), row[3])


# --- logs and metrics -------------------------------------------------------------------------------------------


def log_row(chunk: LogChunk) -> Row:
    """Values for ``put_log``."""
    return (*_log_columns(chunk), None)


def segment_row(segment: LogSegment) -> Row:
    """Values for ``put_log``."""
    first = segment.pieces[0]
    where = (segment.run_id, segment.step, segment.number, segment.attempt, first.seq)
    return (*where, segment.stream, first.time, b"", encode((segment.blob, segment.pieces)))


def segment_range(segment: LogSegment) -> Row:
    """Values for ``drop_pieces``."""
    where = (segment.run_id, segment.step, segment.number, segment.attempt, segment.stream)
    return (*where, segment.pieces[0].seq, segment.pieces[-1].seq)


@_checked
def log_of(row: Row) -> LogChunk | LogSegment:
    """A row of ``log_columns``; its id comes last, and is missing in an exported row."""
    run_id, step, number, attempt, seq, stream, time, data, segment, *rest = row
    arrived = rest[0] if rest else 0
    if segment is None:
        return LogChunk(
            run_id=run_id,
            step=step,
            number=number,
            attempt=attempt,
            seq=seq,
            stream=stream,
            time=time,
            data=data,
            id=arrived,
        )
    blob, pieces = decode_segment(segment)
    return LogSegment(
        run_id=run_id,
        step=step,
        number=number,
        attempt=attempt,
        stream=stream,
        blob=blob,
        pieces=pieces,
        id=arrived,
    )


def _packed(column: array[float] | array[int]) -> bytes:
    if sys.byteorder == "big":
        column.byteswap()
    return column.tobytes()


def _floats(data: bytes) -> tuple[float, ...]:
    column: array[float] = array("d", data)
    if sys.byteorder == "big":
        column.byteswap()
    return tuple(column)


def _integers(data: bytes) -> tuple[int, ...]:
    column: array[int] = array("q", data)
    if sys.byteorder == "big":
        column.byteswap()
    return tuple(column)


def metric_row(chunk: MetricChunk) -> Row:
    """Values for ``put_metric``."""
    return (
        chunk.run_id,
        chunk.step,
        chunk.number,
        chunk.name,
        _packed(array("d", chunk.values)),
        _packed(array("q", chunk.steps)),
        _packed(array("d", chunk.times)),
    )


@_checked
def metric_of(row: Row) -> MetricChunk:
    """A row of ``metric_columns``; its id comes last, and is missing in an exported row."""
    run_id, step, number, name, values, steps, times, *rest = row
    return MetricChunk(
        run_id=run_id,
        step=step,
        number=number,
        name=name,
        values=_floats(values),
        steps=_integers(steps),
        times=_floats(times),
        id=rest[0] if rest else 0,
    )


def summary_rows(chunks: Iterable[MetricChunk]) -> list[Row]:
    """Values for ``put_summary``: one row for each metric of each run in ``chunks``, which are in order of arrival."""
    found: dict[tuple[int, str], tuple[float | None, float | None, float | None, int, int]] = {}
    for chunk in chunks:
        values = chunk.values
        if not values:
            continue
        total = sum(values)  # not a number as soon as one of them is not
        known = values if total == total else [value for value in values if value == value]
        low, high = (min(known), max(known)) if known else (None, None)
        last = values[-1] if values[-1] == values[-1] else None
        points = len(values)
        before = found.get((chunk.run_id, chunk.name))
        if before is not None:
            points += before[3]
            if before[1] is not None and before[2] is not None:
                low = before[1] if low is None else min(low, before[1])
                high = before[2] if high is None else max(high, before[2])
        found[chunk.run_id, chunk.name] = (last, low, high, points, chunk.steps[-1])
    # Sorted, so that two writers of the same metrics never wait for each other.
    return [(*key, *found[key]) for key in sorted(found)]


@_checked
def summary_of(row: Row) -> MetricSummary:
    """A row of ``summary_columns``."""
    run_id, name, *values, count, step = row
    last, low, high = (math.nan if value is None else value + 0.0 for value in values)  # one zero: see ``summed_up``
    return MetricSummary(run_id=run_id, name=name, last=last, min=low, max=high, count=count, step=step)


# --- what describes a run ---------------------------------------------------------------------------------------


def tag_row(tag: Tag) -> Row:
    """Values for ``put_tag``."""
    return (tag.run_id, tag.name, tag.value, number_of(tag.value))


def param_row(param: Param) -> Row:
    """Values for ``put_param``: beside the text, what a filter compares with."""
    text = plain = param.text
    if text.startswith('"'):
        try:
            plain = msgspec.json.decode(text, type=str)
        except msgspec.DecodeError:
            plain = text
    return (param.run_id, param.name, int(param.logged), number_of(text), plain, text)


def param_of(row: Row) -> Param:
    """A row of ``param_columns``."""
    return Param(row[0], row[1], row[2], bool(row[3]))


def wait_row(wait: Wait) -> Row:
    """Values for ``put_wait``."""
    return tuple({**{name: getattr(wait, name) for name in _WAIT}, "done": int(wait.done)}.values())


@_checked
def wait_of(row: Row) -> Wait:
    """A row of ``waits``."""
    values = _named(_WAIT, row)
    return Wait(**{**values, "done": bool(values["done"])})


@_checked
def signal_of(row: Row) -> Signal:
    """A row of ``signals``."""
    return Signal(**_named(("id", "run_id", "kind", "name", "value", "sender", "created"), row))


def task_id_of(row: Row) -> TaskId:
    """A row of ``parents`` or ``children``."""
    return TaskId(row[0], row[1])
