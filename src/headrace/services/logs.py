"""What runs and tasks wrote, read whole or followed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from headrace.model.errors import BlobError
from headrace.model.records import LogChunk, LogSegment, RunRecord, TaskId
from headrace.model.states import RunState
from headrace.services.names import task_name
from headrace.services.run_rows import driver_of
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.metadata.protocol import MetadataStore

#: Rows that are read at once.
_PAGE = 1_000
#: Segments whose bytes are held while reading.
_OPEN_SEGMENTS = 8


class LogFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which output is wanted: of a task or of all, of a step, of one attempt, one stream (``out``, ``err``) or both."""

    task: TaskId | None = None
    step: str = ""
    attempt: int | None = None
    stream: str = ""

    def wants(self, one: LogChunk | LogSegment) -> bool:
        """Whether ``one`` is part of it."""
        return (not self.step or one.step == self.step) and (not self.stream or one.stream == self.stream)


#: Everything that a run wrote.
ALL = LogFilter()


def read_logs(
    metadata: MetadataStore, artifacts: ArtifactStore, run_id: int, want: LogFilter = ALL
) -> Iterator[LogChunk]:
    """The chunks of a run that ``want`` asks for, by time, those of an attempt in its order.

    Bytes of segments are read as the iteration comes to them; where they are gone, a line says so instead.
    """
    return _expanded(_wanted(metadata, run_id, want, 0), artifacts)


def _wanted(metadata: MetadataStore, run_id: int, want: LogFilter, after: int) -> list[LogChunk | LogSegment]:
    found: list[LogChunk | LogSegment] = []
    while page := metadata.logs(run_id, want.task, want.attempt, after, _PAGE):
        found += filter(want.wants, page)
        after = page[-1].id
        if len(page) < _PAGE:
            break
    return found


class _Part(NamedTuple):
    """A chunk, or the bytes of a segment from ``start`` on that were one."""

    time: float
    seq: int
    source: LogChunk | LogSegment
    start: int
    size: int


def _expanded(found: list[LogChunk | LogSegment], artifacts: ArtifactStore) -> Iterator[LogChunk]:
    opened: dict[bytes, memoryview | None] = {}
    for part in _in_order(found):
        if isinstance(part.source, LogChunk):
            same = part.source.time == part.time
            yield part.source if same else msgspec.structs.replace(part.source, time=part.time)
            continue
        digest = part.source.blob.digest
        if digest not in opened:
            if len(opened) == _OPEN_SEGMENTS:
                del opened[next(iter(opened))]
            opened[digest] = _bytes_of(part.source, artifacts)
        content = opened[digest]
        if content is not None:
            yield _chunk(part, bytes(content[part.start : part.start + part.size]))
        elif part.start == 0:
            yield _chunk(part, f"[headrace: {part.source.blob.size} bytes of output are gone]\n".encode())


def _in_order(found: list[LogChunk | LogSegment]) -> list[_Part]:
    """All parts by time, the same order whether they are in segments or not.

    A clock that was set back does not change the order within an attempt: a part is no earlier than those before.
    """
    attempts: dict[tuple[str, int, int], list[_Part]] = {}
    for one in found:
        parts = attempts.setdefault((one.step, one.number, one.attempt), [])
        if isinstance(one, LogChunk):
            parts.append(_Part(one.time, one.seq, one, 0, 0))
            continue
        start = 0
        for piece in one.pieces:
            parts.append(_Part(piece.time, piece.seq, one, start, piece.size))
            start += piece.size
    ordered: list[_Part] = []
    for parts in attempts.values():
        latest = 0.0
        for part in sorted(parts, key=lambda part: part.seq):
            latest = max(latest, part.time)
            ordered.append(part._replace(time=latest))
    ordered.sort(key=lambda part: (part.time, part.source.step, part.source.number, part.source.attempt, part.seq))
    return ordered


def _bytes_of(segment: LogSegment, artifacts: ArtifactStore) -> memoryview | None:
    try:
        return artifacts.get(segment.blob)
    except BlobError:
        return None


def _chunk(part: _Part, data: bytes) -> LogChunk:
    of = part.source
    return LogChunk(
        run_id=of.run_id,
        step=of.step,
        number=of.number,
        attempt=of.attempt,
        seq=part.seq,
        stream=of.stream,
        time=part.time,
        data=data,
        id=of.id,
    )


class LogTail:
    """Reads what was written since it was asked last; a piece comes once, also when it became part of a segment."""

    def __init__(self, run_id: int, want: LogFilter = ALL, position: int = 0) -> None:
        self._run_id = run_id
        self._want = want
        #: The position behind what was read.
        self.position = position
        self._seen: dict[tuple[str, int, int, str], int] = {}

    def skip(self, metadata: MetadataStore) -> None:
        """Count all that is there as read; no bytes of segments are looked at for it."""
        while page := metadata.logs(self._run_id, self._want.task, self._want.attempt, self.position, _PAGE):
            for one in page:
                self._note(one, one.last_seq)
            self.position = page[-1].id

    def read(self, metadata: MetadataStore, artifacts: ArtifactStore, limit: int = 0) -> list[LogChunk]:
        """What is new, in order; of at most ``limit`` rows (0: of all)."""
        if limit:
            page = metadata.logs(self._run_id, self._want.task, self._want.attempt, self.position, limit)
            position, found = page[-1].id if page else self.position, [one for one in page if self._want.wants(one)]
        else:
            found = _wanted(metadata, self._run_id, self._want, self.position)
            position = found[-1].id if found else self.position
        fresh = []
        for chunk in _expanded([one for one in found if one.last_seq > self._last(one)], artifacts):
            if chunk.seq > self._last(chunk):  # of a segment, some chunks may have been read before it was made
                self._note(chunk, chunk.seq)
                fresh.append(chunk)
        self.position = position
        return fresh

    def _last(self, one: LogChunk | LogSegment) -> int:
        return self._seen.get((one.step, one.number, one.attempt, one.stream), -1)

    def _note(self, one: LogChunk | LogSegment, seq: int) -> None:
        key = (one.step, one.number, one.attempt, one.stream)
        self._seen[key] = max(seq, self._seen.get(key, -1))


def follow_logs(
    stores: tuple[MetadataStore, ArtifactStore],
    run: RunRecord,
    want: LogFilter,
    *,
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[list[LogChunk]]:
    """What was written so far, then what is being written, until the run is over or its driver is gone."""
    metadata, artifacts = stores
    tail = LogTail(run.id, want)
    while True:
        over = is_over(metadata, run)  # before reading, so that the last words are read
        before = tail.position
        fresh = tail.read(metadata, artifacts)
        if tail.position != before:
            yield fresh
        if over:
            return
        pause(0.2)


def is_over(metadata: MetadataStore, run: RunRecord) -> bool:
    """Whether nothing more will be written by this session of ``run``."""
    current = metadata.run_by_id(run.id)
    if current is None or current.state is not RunState.RUNNING:
        return True
    return driver_of(metadata, current) == "gone"


class LogView(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of output in ``--json``; bytes that are not UTF-8 are replaced."""

    task: str
    attempt: int
    stream: str
    time: float
    text: str


def view_chunk(run: RunRecord, chunk: LogChunk) -> LogView:
    """A chunk for showing."""
    name = task_name(run, TaskId(chunk.step, chunk.number))
    text = chunk.data.decode(errors="replace")
    return LogView(task=name, attempt=chunk.attempt, stream=chunk.stream, time=chunk.time, text=text)
