"""Moving what attempts print from rows of the database to segments in the artifact store, while a run goes on.

Output is recorded in rows as it comes, so that others can follow it. Once an attempt has written ``SEGMENT`` bytes to
a stream since its last segment, a thread makes one blob of these rows, and a segment takes their place. What is less
stays in rows: a blob for each short log would cost more than its rows.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from headrace.model.errors import HeadraceError
from headrace.model.records import LogChunk, LogPiece, LogSegment, TaskId
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.metadata.protocol import MetadataStore, Write

if TYPE_CHECKING:
    from queue import SimpleQueue

#: Bytes of one stream of an attempt from which on they become a segment. In a folder a blob costs what a row costs from
#: some 4 KiB on, but a segment needs both, and an object store asks for a request for each: shorter ones do not pay.
SEGMENT = 64 * 1024
#: Seconds that the end of a run waits for segments under way; what is not moved then stays in rows.
PATIENCE = 30.0

#: Seconds between two looks for rows that are about to be committed.
_PAUSE = 0.1
#: Streams whose bytes are counted; those of older attempts stay in rows.
_REMEMBERED = 10_000

#: Step, number, attempt and stream.
Stream = tuple[str, int, int, str]


class LogSegments:
    """The segments of one run. ``write`` commits under the run's lease, soon."""

    def __init__(
        self, run_id: int, metadata: MetadataStore, artifacts: ArtifactStore, write: Callable[[Write], None]
    ) -> None:
        self._run_id = run_id
        self._metadata = metadata
        self._artifacts = artifacts
        self._write = write
        self._waiting: dict[Stream, int] = {}  # bytes that are in rows
        self._jobs: SimpleQueue[tuple[Stream, int] | None] | None = None
        self._thread: threading.Thread | None = None
        #: Of streams that have segments: the last chunk in these, and how many bytes went that are in a later job.
        self._moved: dict[Stream, int] = {}
        self._ahead: dict[Stream, int] = {}

    def note(self, writes: Iterable[Write]) -> None:
        """Take note of chunks that are about to be committed."""
        for one in writes:
            if isinstance(one, LogChunk):
                stream = (one.step, one.number, one.attempt, one.stream)
                size = self._waiting.pop(stream, 0) + len(one.data)
                if size >= SEGMENT:
                    self._begin(stream, size)
                else:
                    self._waiting[stream] = size
        while len(self._waiting) > _REMEMBERED:
            del self._waiting[next(iter(self._waiting))]

    def _begin(self, stream: Stream, size: int) -> None:
        if self._jobs is None:
            from queue import SimpleQueue  # most runs print less

            self._jobs = SimpleQueue()
            self._thread = threading.Thread(target=self._main, args=(self._jobs,), name="headrace-logs", daemon=True)
            self._thread.start()
        self._jobs.put((stream, size))

    def finish(self) -> None:
        """All chunks are committed: wait until the segments of those are made, for ``PATIENCE`` seconds at most."""
        if self._jobs is not None and self._thread is not None:
            self._jobs.put(None)
            self._thread.join(PATIENCE)

    def _main(self, jobs: SimpleQueue[tuple[Stream, int] | None]) -> None:
        while (job := jobs.get()) is not None:
            with contextlib.suppress(HeadraceError):  # the rows stay, and say the same
                self._move(*job)

    def _move(self, stream: Stream, size: int) -> None:
        size -= self._ahead.pop(stream, 0)
        chunks = self._committed(stream, size) if size > 0 else []
        if chunks:
            self._write(make_segment(chunks, self._artifacts))
            self._moved[stream] = chunks[-1].seq
            size -= sum([len(one.data) for one in chunks])
        if size < 0:
            self._ahead[stream] = -size

    def _committed(self, stream: Stream, size: int) -> list[LogChunk]:
        """The chunks of ``stream`` in rows, once they have ``size`` bytes; what there is, if that takes too long."""
        until = time.monotonic() + PATIENCE
        while True:
            last = self._moved.get(stream, -1)  # its segment may not be committed yet
            chunks = [one for one in chunks_of(self._metadata, self._run_id, stream) if one.seq > last]
            if sum([len(one.data) for one in chunks]) >= size or time.monotonic() > until:
                return chunks
            time.sleep(_PAUSE)


def chunks_of(metadata: MetadataStore, run_id: int, stream: Stream) -> list[LogChunk]:
    """What lies in rows of one stream of an attempt, in its order."""
    step, number, attempt, name = stream
    rows = metadata.logs(run_id, TaskId(step, number), attempt)
    return sorted([one for one in rows if isinstance(one, LogChunk) and one.stream == name], key=lambda one: one.seq)


def make_segment(chunks: Sequence[LogChunk], artifacts: ArtifactStore) -> LogSegment:
    """Store ``chunks`` of one stream as a blob; the segment may replace them."""
    of = chunks[0]
    return LogSegment(
        run_id=of.run_id,
        step=of.step,
        number=of.number,
        attempt=of.attempt,
        stream=of.stream,
        blob=artifacts.put([one.data for one in chunks]),
        pieces=tuple([LogPiece(one.seq, one.time, len(one.data)) for one in chunks]),
    )
