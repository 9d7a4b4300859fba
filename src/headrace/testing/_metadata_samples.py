"""Records for the conformance suite of metadata stores, with as little said as a test needs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec

from headrace.model.records import (
    ArtifactRecord,
    AttemptRecord,
    LogChunk,
    LogSegment,
    MetricChunk,
    RunRecord,
    TaskRecord,
)
from headrace.model.states import AttemptState, TaskState
from headrace.model.values import Packed, Preview
from headrace.stores.metadata.protocol import (
    MetadataStore,
    NewRun,
)


def digest(number: int) -> bytes:
    """32 bytes that stand for some content."""
    return number.to_bytes(32, "big")


def new_run(store: MetadataStore, flow: str = "train", *, project: str = "default", created: float = 1.0) -> RunRecord:
    """Open a run."""
    return store.create_run(NewRun(project=project, flow=flow, dialect="native", entry="a.py:f", created=created))


def task(run_id: int, step: str = "fit", number: int = 1, **fields: Any) -> TaskRecord:
    """A task, finished unless ``fields`` say otherwise."""
    given: dict[str, Any] = {
        "key": digest(number),
        "state": TaskState.SUCCEEDED,
        "inputs": (),
        "occurrence": 0,
        "code": digest(7),
    }
    return TaskRecord(run_id=run_id, step=step, number=number, **(given | fields))


def attempt(run_id: int, step: str = "fit", number: int = 1, **fields: Any) -> AttemptRecord:
    """An attempt, finished unless ``fields`` say otherwise."""
    given: dict[str, Any] = {"attempt": 1, "state": AttemptState.SUCCEEDED, "started": 1.0}
    return AttemptRecord(run_id=run_id, step=step, number=number, **(given | fields))


def artifact(run_id: int, step: str = "fit", number: int = 1, **fields: Any) -> ArtifactRecord:
    """An artifact called ``result``, inline unless ``fields`` say otherwise."""
    given: dict[str, Any] = {
        "name": "result",
        "value": Packed("json", digest(number), 1, b"1"),
        "preview": Preview("int", "1"),
        "created": 2.0,
    }
    return ArtifactRecord(run_id=run_id, step=step, number=number, **(given | fields))


def points(run_id: int, name: str, *values: float, first: int = 0, **fields: Any) -> MetricChunk:
    """A chunk of a metric with steps from ``first``."""
    steps = tuple(range(first, first + len(values)))
    given: dict[str, Any] = {"step": "fit", "number": 1, "times": tuple(map(float, steps))}
    return MetricChunk(run_id=run_id, name=name, values=values, steps=steps, **(given | fields))


_Arriving = TypeVar("_Arriving", bound=LogChunk | LogSegment | MetricChunk)


def arrived(records: Iterable[_Arriving]) -> list[_Arriving]:
    """``records`` without the ids that the store gave them."""
    return [msgspec.structs.replace(record, id=0) for record in records]


def line(run_id: int, seq: int, data: bytes = b"hello\n", **fields: Any) -> LogChunk:
    """A piece of log."""
    given: dict[str, Any] = {"step": "fit", "number": 1, "attempt": 1, "stream": "out", "time": 1.0}
    return LogChunk(run_id=run_id, seq=seq, data=data, **(given | fields))
