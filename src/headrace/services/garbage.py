"""Removing old runs, and blobs that nothing names any more.

Safe beside live runs: blobs are listed before references are read, and young ones are kept, because a run may have
stored them and not yet said so. A store refreshes the age of a blob that is put again.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from headrace.model.records import Input, RunRecord
from headrace.model.states import RunState
from headrace.model.values import Blob
from headrace.services.describe import details_of
from headrace.services.listing import STATES, state_of
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.metadata.protocol import MetadataStore, RunFilter

#: Blobs younger than this many seconds are kept: a live run may be about to name them.
GRACE = 3600.0


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs may go: all given conditions must hold, and without any no run goes.

    ``older_than`` seconds since its end; ``keep`` the newest so many of each flow; only those with ``tag``;
    ``without_tag`` keeps those with that one.
    """

    older_than: float | None = None
    keep: int | None = None
    flow: str | None = None
    tag: str | None = None
    without_tag: str | None = None
    states: frozenset[str] = frozenset(STATES)

    @property
    def empty(self) -> bool:
        """Whether it chooses no run at all."""
        return self == Policy()


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What goes, or went: ``bytes`` that blobs free (not counting the database)."""

    runs: list[str]
    blobs: int
    bytes: int
    young: int
    deleted: bool


def choose_runs(metadata: MetadataStore, project: str, policy: Policy, now: float) -> list[RunRecord]:
    """The runs that ``policy`` lets go, newest first; never one that is running."""
    if policy.empty:
        return []
    runs = metadata.runs(RunFilter(project=project, flow=policy.flow))
    kept: dict[str, int] = {}
    wanted = {run.id for run in runs} if policy.tag is None else _tagged(metadata, project, policy.tag)
    wanted -= set() if policy.without_tag is None else _tagged(metadata, project, policy.without_tag)
    chosen = []
    for run in runs:
        kept[run.flow] = kept.get(run.flow, 0) + 1
        if policy.keep is not None and kept[run.flow] <= policy.keep:
            continue
        ended = run.finished if run.finished is not None else run.started
        if policy.older_than is not None and now - ended < policy.older_than:
            continue
        state = state_of(metadata, run, now)
        if state == RunState.RUNNING or run.id not in wanted or state not in policy.states:
            continue
        chosen.append(run)
    return chosen


def _tagged(metadata: MetadataStore, project: str, tag: str) -> set[int]:
    return {run.id for run in metadata.runs(RunFilter(project=project, tags=(tag,)))}


def plan(
    metadata: MetadataStore, artifacts: ArtifactStore, runs: list[RunRecord], now: float, grace: float = GRACE
) -> Plan:
    """What would go with ``runs``; nothing is changed."""
    blobs, young = _candidates(artifacts, now - grace)
    if runs:
        going = {run.id for run in runs}
        for run in metadata.runs(RunFilter()):
            if run.id not in going:
                for blob in named_blobs(metadata, run.id):
                    blobs.pop(blob.digest, None)
    else:
        for digest in metadata.referenced_blobs():
            blobs.pop(digest, None)
    return Plan(
        runs=[run.name for run in runs], blobs=len(blobs), bytes=sum(blobs.values()), young=young, deleted=False
    )


def collect(
    metadata: MetadataStore, artifacts: ArtifactStore, runs: list[RunRecord], now: float, grace: float = GRACE
) -> Plan:
    """Remove ``runs``, then all blobs that nothing names and that are older than ``grace`` seconds."""
    for run in runs:
        metadata.delete_run(run.id)
    blobs, young = _candidates(artifacts, now - grace)
    for digest in metadata.referenced_blobs():
        blobs.pop(digest, None)
    freed = artifacts.delete(list(blobs))
    if runs:
        metadata.compact()
    return Plan(runs=[run.name for run in runs], blobs=len(blobs), bytes=freed, young=young, deleted=True)


def _candidates(artifacts: ArtifactStore, before: float) -> tuple[dict[bytes, int], int]:
    """Sizes of all blobs that were stored ``before`` then, and how many were not."""
    found, young = {}, 0
    for info in artifacts.list():
        if info.modified > before:
            young += 1
        else:
            found[info.digest] = info.size
    return found, young


def named_blobs(metadata: MetadataStore, run_id: int) -> Iterator[Blob]:
    """All blobs that the rows of one run name, some of them several times."""
    for artifact in metadata.artifacts(run_id):
        yield from artifact.value.blobs
    for attempt in metadata.attempts(run_id):
        if attempt.exception is not None:
            yield from attempt.exception.blobs
    for task in metadata.tasks(run_id):
        yield from _of_inputs(task.inputs)
    run = metadata.run_by_id(run_id)
    if run is not None:
        yield from _of_inputs(run.inputs)
        details = details_of(run)
        yield from details.sources.values()
        if details.git_diff is not None:
            yield details.git_diff


def _of_inputs(inputs: tuple[Input, ...]) -> Iterator[Blob]:
    for one in inputs:
        yield from one.value.blobs
