"""Chunks become segments when enough of them are committed, each once, whatever comes first."""

from __future__ import annotations

import random

from headrace.model.records import LogChunk, LogSegment
from headrace.services.log_segments import SEGMENT, LogSegments
from headrace.services.logs import read_logs
from headrace.stores.artifacts.memory import MemoryStore
from headrace.stores.metadata.protocol import Write
from headrace.testing.metadata import MemoryMetadata, new_run


def chunk(run_id: int, seq: int, data: bytes, stream: str = "out", attempt: int = 1) -> LogChunk:
    return LogChunk(
        run_id=run_id, step="fit", number=1, attempt=attempt, seq=seq, stream=stream, time=float(seq), data=data
    )


def test_chunks_are_moved_once_and_read_back_in_order() -> None:
    dice = random.Random(5)
    metadata, artifacts = MemoryMetadata(), MemoryStore()
    run_id = new_run(metadata).id
    late: list[Write] = []
    segments = LogSegments(run_id, metadata, artifacts, late.append)
    written: list[LogChunk] = []
    for seq in range(120):
        one = chunk(run_id, seq, bytes([65 + seq % 26]) * dice.randrange(1, SEGMENT // 4), dice.choice(("out", "err")))
        written.append(one)
        segments.note([one])
        metadata.commit([one])
        if late and dice.random() < 0.3:
            metadata.commit(late[:1])
            del late[:1]
    segments.finish()
    metadata.commit(late)
    rows = metadata.logs(run_id, None)
    left = [one for one in rows if isinstance(one, LogChunk)]
    for stream in ("out", "err"):
        assert sum(len(one.data) for one in left if one.stream == stream) < SEGMENT
    assert any(isinstance(one, LogSegment) for one in rows)
    read = list(read_logs(metadata, artifacts, run_id))
    assert [(one.seq, one.stream, one.data) for one in read] == [(one.seq, one.stream, one.data) for one in written]


def test_short_output_stays_in_rows() -> None:
    metadata, artifacts = MemoryMetadata(), MemoryStore()
    run_id = new_run(metadata).id
    late: list[Write] = []
    segments = LogSegments(run_id, metadata, artifacts, late.append)
    chunks = [chunk(run_id, 0, b"x" * (SEGMENT - 1), attempt=attempt) for attempt in range(1, 5)]
    segments.note(chunks)
    metadata.commit(chunks)
    segments.finish()
    assert late == []
    assert list(artifacts.list()) == []
