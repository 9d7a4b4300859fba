"""What runs and tasks wrote, read whole or followed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import msgspec

from headrace.model.records import LogChunk, RunRecord, TaskId
from headrace.model.states import RunState
from headrace.services.names import task_name
from headrace.services.run_rows import driver_of
from headrace.stores.metadata.protocol import MetadataStore


class LogFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which output is wanted: of a task or of all, of a step, of one attempt, one stream (``out``, ``err``) or both."""

    task: TaskId | None = None
    step: str = ""
    attempt: int | None = None
    stream: str = ""

    def wants(self, chunk: LogChunk) -> bool:
        """Whether ``chunk`` is part of it."""
        return (not self.step or chunk.step == self.step) and (not self.stream or chunk.stream == self.stream)


def read_logs(metadata: MetadataStore, run: RunRecord, want: LogFilter, after: int = 0) -> list[LogChunk]:
    """The chunks of ``run`` that ``want`` asks for, by time of arrival, later than position ``after``."""
    return [chunk for chunk in metadata.logs(run.id, want.task, want.attempt, after) if want.wants(chunk)]


def follow_logs(
    metadata: MetadataStore,
    run: RunRecord,
    want: LogFilter,
    *,
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.time,
) -> Iterator[list[LogChunk]]:
    """What was written so far, then what is being written, until the run is over or its driver is gone."""
    position = 0
    seen: dict[tuple[str, int, int], int] = {}
    while True:
        over = is_over(metadata, run, clock())  # before reading, so that the last words are read
        now_at = metadata.log_position(run.id)
        if now_at > position:
            fresh = []
            for chunk in read_logs(metadata, run, want, position):  # may hold more than up to ``now_at``
                key = (chunk.step, chunk.number, chunk.attempt)
                if chunk.seq > seen.get(key, -1):
                    seen[key] = chunk.seq
                    fresh.append(chunk)
            yield fresh
            position = now_at
        if over:
            return
        pause(0.2)


def is_over(metadata: MetadataStore, run: RunRecord, now: float) -> bool:
    """Whether nothing more will be written by this session of ``run``."""
    current = metadata.run_by_id(run.id)
    if current is None or current.state is not RunState.RUNNING:
        return True
    return driver_of(metadata, current, now) == "gone"


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
