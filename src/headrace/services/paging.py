"""All of what a run may have much of, a page at a time: what is held does not grow with the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from headrace.model.records import ArtifactRecord, AttemptRecord, Edge, LogSegment, MetricChunk
from headrace.stores.metadata.protocol import MetadataStore

#: Records that are asked for at once.
PAGE = 1_000

_T = TypeVar("_T")


def _each(listing: Callable[[Any], list[_T]], key: Callable[[_T], Any], first: Any = None) -> Iterator[_T]:
    after = first
    while page := listing(after):
        yield from page
        if len(page) < PAGE:
            return
        after = key(page[-1])


def each_artifact(metadata: MetadataStore, run_id: int) -> Iterator[ArtifactRecord]:
    """The artifacts of a run by step, number and name."""
    return _each(
        lambda after: metadata.artifacts(run_id, after=after, limit=PAGE), lambda one: (one.step, one.number, one.name)
    )


def each_attempt(metadata: MetadataStore, run_id: int) -> Iterator[AttemptRecord]:
    """The attempts of a run by step, number and attempt."""
    return _each(
        lambda after: metadata.attempts(run_id, after=after, limit=PAGE),
        lambda one: (one.step, one.number, one.attempt),
    )


def each_edge(metadata: MetadataStore, run_id: int) -> Iterator[Edge]:
    """The edges of a run by child and parent."""
    return _each(lambda after: metadata.edges(run_id, after=after, limit=PAGE), lambda one: one)


def each_metric_chunk(metadata: MetadataStore, run_id: int, name: str | None = None) -> Iterator[MetricChunk]:
    """The metric chunks of a run, or of one metric, as they arrived."""
    return _each(lambda after: metadata.metrics(run_id, name, after=after, limit=PAGE), lambda one: one.id, 0)


def each_segment(metadata: MetadataStore, run_id: int) -> Iterator[LogSegment]:
    """The segments of a run's output, as they arrived."""
    return _each(lambda after: metadata.segments(run_id, after=after, limit=PAGE), lambda one: one.id, 0)
