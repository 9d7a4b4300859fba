"""Removing old runs, and blobs that nothing names any more.

Safe beside live runs. A run puts arguments and values of its flow long before a row names them: so no blob goes that
was put since the oldest live run began, by whichever run. Putting a blob again makes it new. Blobs are listed before
references are read, live runs are looked for after that, and the store leaves what was put again meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from headrace._base.logs import Log
from headrace._base.process import owner_alive
from headrace.model.actors import Actor
from headrace.model.records import Input, RunRecord
from headrace.model.states import RunState
from headrace.model.values import Blob
from headrace.services.code.package import blobs_of_packages
from headrace.services.control import delete_run
from headrace.services.describe import details_of
from headrace.services.marks import purge
from headrace.services.paging import each_artifact, each_attempt, each_segment
from headrace.services.run_import import is_partial
from headrace.services.run_rows import STATES, state_of
from headrace.stores.artifacts.protocol import REFRESH_AFTER, ArtifactStore
from headrace.stores.metadata.protocol import MetadataStore, RunFilter

_log = Log("gc")

#: Blobs younger than this many seconds are kept: a process may be about to name them.
GRACE = 3600.0
#: What a run puts again keeps its age for so long; minutes more, for clocks that differ and what precedes its row.
_EARLIER = REFRESH_AFTER + 300.0
#: A driver on another machine that has not renewed its lease for so many seconds is dead.
_LOST_AFTER = 3600.0


_NOBODY = Actor()


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
    """What goes, or went: ``bytes`` that blobs free (not counting the database).

    ``young``: blobs that nothing names and that stay, because they are within the grace, or were stored since the first
    of the ``live`` runs began. ``environments`` of steps that were not used for long go too.
    """

    runs: list[str]
    blobs: int
    bytes: int
    young: int
    live: list[str]
    deleted: bool
    environments: int = 0
    environment_bytes: int = 0


def choose_runs(metadata: MetadataStore, project: str, policy: Policy, now: float) -> list[RunRecord]:
    """The runs that ``policy`` lets go, newest first; never one that is running or pinned."""
    if policy.empty:
        return []
    runs = metadata.runs(RunFilter(project=project, flow=policy.flow))
    kept: dict[str, int] = {}
    wanted = {run.id for run in runs} if policy.tag is None else _tagged(metadata, project, policy.tag)
    wanted -= set() if policy.without_tag is None else _tagged(metadata, project, policy.without_tag)
    wanted -= {run.id for run in metadata.runs(RunFilter(project=project, flow=policy.flow, marks=("pinned",)))}
    chosen = []
    for run in runs:
        kept[run.flow] = kept.get(run.flow, 0) + 1
        if policy.keep is not None and kept[run.flow] <= policy.keep:
            continue
        ended = run.finished if run.finished is not None else run.started
        if policy.older_than is not None and now - ended < policy.older_than:
            continue
        state = state_of(metadata, run)
        if state == RunState.RUNNING or run.id not in wanted or state not in policy.states:
            continue
        if run.state is RunState.RUNNING and _may_be_live(metadata, run):
            continue
        chosen.append(run)
    return chosen


def _tagged(metadata: MetadataStore, project: str, tag: str) -> set[int]:
    return {run.id for run in metadata.runs(RunFilter(project=project, tags=(tag,)))}


def plan(
    metadata: MetadataStore, artifacts: ArtifactStore, runs: list[RunRecord], now: float, grace: float = GRACE
) -> Plan:
    """What would go with ``runs``; nothing is changed."""
    blobs = _sizes_by_age(artifacts)
    if runs:
        going = {run.id for run in runs}
        for run in metadata.runs(RunFilter()):
            if run.id not in going:
                for blob in named_blobs(metadata, artifacts, run.id):
                    blobs.pop(blob.digest, None)
    else:
        for digest in referenced_blobs(metadata, artifacts):
            blobs.pop(digest, None)
    return _planned(metadata, blobs, runs, now, grace)[0]


def collect(
    metadata: MetadataStore,
    artifacts: ArtifactStore,
    runs: list[RunRecord],
    now: float,
    grace: float = GRACE,
    actor: Actor = _NOBODY,
) -> Plan:
    """Remove ``runs``, for ``actor``, then all blobs that nothing names and that no live run can need.

    Runs that were deleted on a server go too, once that cannot be undone any more.
    """
    purge(metadata, now)
    for run in runs:
        delete_run(metadata, run, actor, now)
    blobs = _sizes_by_age(artifacts)
    for digest in referenced_blobs(metadata, artifacts):
        blobs.pop(digest, None)
    planned, before = _planned(metadata, blobs, runs, now, grace)  # looks for live runs when all else is known
    freed = artifacts.delete([digest for digest, (_, modified) in blobs.items() if modified < before], before)
    if runs and not planned.live:  # a database is not made smaller under a run that writes to it
        metadata.compact()
    _log.info("gc.done", "blobs that nothing names are gone", blobs=planned.blobs, bytes=freed, runs=len(runs))
    return msgspec.structs.replace(planned, bytes=freed, deleted=True)


def _sizes_by_age(artifacts: ArtifactStore) -> dict[bytes, tuple[int, float]]:
    """Size and time of every blob there is."""
    return {info.digest: (info.size, info.modified) for info in artifacts.list()}


def _planned(
    metadata: MetadataStore,
    unnamed: dict[bytes, tuple[int, float]],
    runs: list[RunRecord],
    now: float,
    grace: float,
) -> tuple[Plan, float]:
    """What goes of ``unnamed`` blobs, and the time before which they were put."""
    live = live_runs(metadata)
    before = min([now - grace, *[run.started - _EARLIER for run in live]])
    sizes = [size for size, modified in unnamed.values() if modified < before]
    plan = Plan(
        runs=[run.name for run in runs],
        blobs=len(sizes),
        bytes=sum(sizes),
        young=len(unnamed) - len(sizes),
        live=[run.name for run in live],
        deleted=False,
    )
    return plan, before


def live_runs(metadata: MetadataStore) -> list[RunRecord]:
    """Runs of all projects that a process drives, or may be driving, oldest session first."""
    running = metadata.runs(RunFilter(states=(RunState.RUNNING,)))
    return sorted([run for run in running if _may_be_live(metadata, run)], key=lambda run: run.started)


def _may_be_live(metadata: MetadataStore, run: RunRecord) -> bool:
    """Unlike a listing, this takes a driver whose lease ran out as alive for long: it may be held up, and come back."""
    lease = metadata.lease(f"import:{run.project}" if is_partial(run) else f"run:{run.id}")
    if lease is None:
        return False
    alive = owner_alive(lease.owner)
    return lease.left > -_LOST_AFTER if alive is None else alive


def referenced_blobs(metadata: MetadataStore, artifacts: ArtifactStore) -> Iterator[bytes]:
    """The digests of all blobs that a run needs: those that rows name, and the files of code packages."""
    yield from metadata.referenced_blobs()
    for blob in blobs_of_packages(artifacts, metadata.code_packages()):
        yield blob.digest


def named_blobs(metadata: MetadataStore, artifacts: ArtifactStore, run_id: int) -> Iterator[Blob]:
    """All blobs that one run needs, some of them several times."""
    for artifact in each_artifact(metadata, run_id):
        yield from artifact.value.blobs
    for attempt in each_attempt(metadata, run_id):
        if attempt.exception is not None:
            yield from attempt.exception.blobs
    for segment in each_segment(metadata, run_id):
        yield segment.blob
    for task in metadata.tasks(run_id):
        yield from _of_inputs(task.inputs)
    run = metadata.run_by_id(run_id)
    if run is not None:
        yield from _of_inputs(run.inputs)
        details = details_of(run)
        yield from details.sources.values()
        if details.git_diff is not None:
            yield details.git_diff
        if details.code is not None:
            yield details.code.package
            yield from blobs_of_packages(artifacts, [details.code.package])


def _of_inputs(inputs: tuple[Input, ...]) -> Iterator[Blob]:
    for one in inputs:
        yield from one.value.blobs
