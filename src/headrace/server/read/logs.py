"""What runs and tasks wrote: pages, the newest lines, a search, and all of it as a text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

import msgspec
from starlette.responses import Response

from headrace.model.records import LogChunk, RunRecord, TaskId
from headrace.server.call import Call
from headrace.server.cursors import read_cursor, write_cursor
from headrace.server.ranges import BytesResponse, attachment
from headrace.server.read.paths import RUN, Cursor, Limit, Number, RunPath, run_of
from headrace.server.read.tasks import TASK, TaskPath, task_of
from headrace.server.routes import Media, Page, get
from headrace.services.logs import LogFilter, read_logs
from headrace.services.names import read_task, task_name
from headrace.wiring import Scope

#: Time, step, number, attempt, seq, and the place of a line in what it is of.
_Key = tuple[float, str, int, int, int, int]


class LogItem(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of output as it was written; of a search, a line.

    ``seq`` orders the pieces of one attempt; a piece that comes twice has the same task, attempt, stream and seq.
    """

    task: str
    attempt: int
    stream: str
    seq: int
    time: float
    text: str


class LogsQuery(RunPath, frozen=True, kw_only=True):
    """Which output of a run."""

    step: str | None = None
    task: Annotated[str | None, msgspec.Meta(description="The number of a task; needs `step`")] = None
    attempt: Number | None = None
    stream: Literal["out", "err"] | None = None
    search: Annotated[str, msgspec.Meta(description="Lines that hold this text, in capitals or not")] = ""
    tail: Annotated[bool, msgspec.Meta(description="The last `limit` pieces instead of the first")] = False
    cursor: Cursor | None = None
    limit: Limit = 500


class TaskLogsQuery(TaskPath, frozen=True, kw_only=True):
    """Which output of a task."""

    attempt: Number | None = None
    stream: Literal["out", "err"] | None = None
    search: str = ""
    tail: bool = False
    cursor: Cursor | None = None
    limit: Limit = 500


class LogTextQuery(RunPath, frozen=True, kw_only=True):
    """Which output, as a text."""

    step: str | None = None
    task: str | None = None
    attempt: Number | None = None
    stream: Literal["out", "err"] | None = None


def _wanted(params: LogsQuery | LogTextQuery | TaskLogsQuery) -> LogFilter:
    number = None if params.task is None else read_task(params.task)
    task = TaskId(params.step or "", number) if number is not None else None
    return LogFilter(task=task, step=params.step or "", attempt=params.attempt, stream=params.stream or "")


def _logs(call: Call[LogsQuery, None]) -> Page[LogItem]:
    scope, run = run_of(call)
    return _page(scope, run, call.params)


def _task_logs(call: Call[TaskLogsQuery, None]) -> Page[LogItem]:
    scope, run, _ = task_of(call)
    return _page(scope, run, call.params)


def _page(scope: Scope, run: RunRecord, want: LogsQuery | TaskLogsQuery) -> Page[LogItem]:
    query = ("logs", run.id, want.step, want.task, want.attempt, want.stream, want.search)
    after = read_cursor(want.cursor, _Key, query)
    chunks: Iterable[LogChunk] = read_logs(scope.metadata, scope.artifacts, run.id, _wanted(want))
    pieces = _found(chunks, want.search.lower()) if want.search else ((one, one.data, 0) for one in chunks)
    kept: list[tuple[_Key, LogItem]] = []
    for chunk, data, place in pieces:
        key = (chunk.time, chunk.step, chunk.number, chunk.attempt, chunk.seq, place)
        if after is not None and key <= after:
            continue
        kept.append((key, _item(run, chunk, data)))
        if want.tail and len(kept) > want.limit:
            del kept[0]
        elif len(kept) > want.limit:
            break
    more = not want.tail and len(kept) > want.limit
    kept = kept[: want.limit]
    following = write_cursor(kept[-1][0], query) if kept and (more or want.tail) else None
    return Page(items=[item for _, item in kept], next=following)


def _item(run: RunRecord, chunk: LogChunk, data: bytes) -> LogItem:
    return LogItem(
        task=task_name(run, TaskId(chunk.step, chunk.number)),
        attempt=chunk.attempt,
        stream=chunk.stream,
        seq=chunk.seq,
        time=chunk.time,
        text=data.decode(errors="replace"),
    )


def _found(chunks: Iterable[LogChunk], text: str) -> Iterator[tuple[LogChunk, bytes, int]]:
    """Lines with ``text`` in them, each with the chunk that it ends in; lines go on from chunk to chunk."""
    begun: dict[tuple[str, int, int, str], tuple[LogChunk, bytes]] = {}
    for chunk in chunks:
        key = (chunk.step, chunk.number, chunk.attempt, chunk.stream)
        before = begun.pop(key, (chunk, b""))[1]
        *lines, rest = (before + chunk.data).split(b"\n")
        if rest:
            begun[key] = (chunk, rest)
        for place, line in enumerate(lines):
            if text in line.decode(errors="replace").lower():
                yield chunk, line, place
    for chunk, line in begun.values():
        if text in line.decode(errors="replace").lower():
            yield chunk, line, 1 << 30


def _text(call: Call[LogTextQuery, None]) -> Response:
    scope, run = run_of(call)
    parts = [one.data for one in read_logs(scope.metadata, scope.artifacts, run.id, _wanted(call.params))]
    from blake3 import blake3

    digest = blake3()
    for part in parts:
        digest.update(part)
    headers = {
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Disposition": attachment(f"{run.flow}-{run.number}.log"),
    }
    return BytesResponse(call.request, [b"".join(parts)], digest.hexdigest(16), headers)


_TEXT = Media(types=("text/plain",), ranges=True, about="The output, as it was written")
ROUTES = (
    get(RUN + "/logs", _logs, "Output, or a search in it", params=LogsQuery, result=Page[LogItem], tag="logs"),
    get(
        RUN + "/logs/text",
        _text,
        "Output as a text, of a live run as far as it is",
        params=LogTextQuery,
        result=_TEXT,
        problems=(416,),
        tag="logs",
    ),
    get(TASK + "/logs", _task_logs, "Output of a task", params=TaskLogsQuery, result=Page[LogItem], tag="logs"),
)
