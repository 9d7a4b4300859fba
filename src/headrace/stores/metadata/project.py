"""One project of a metadata store: what of it belongs to another project is not there.

The wall stands here, once, and holds for every method: reads of another project's run answer as if there were no such
run, writing to it raises ``NotFoundError``. Ids of runs are never used twice, so what was the project's stays so.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from headrace.model.errors import NotFoundError
from headrace.model.records import (
    ArtifactRecord,
    AttemptRecord,
    Edge,
    Lease,
    LogChunk,
    LogSegment,
    MetricChunk,
    MetricSummary,
    Param,
    QueueCount,
    Request,
    RunFlags,
    RunRecord,
    Signal,
    Tag,
    TaskId,
    TaskRecord,
    Wait,
)
from headrace.model.values import Blob
from headrace.stores.metadata.protocol import (
    ArtifactKey,
    AttemptKey,
    CacheEntry,
    MetadataStore,
    NewRun,
    RunFilter,
    StepCount,
    Subscription,
    Write,
)

_run_of = operator.attrgetter("run_id")
#: Ids of runs that are remembered as the project's.
_REMEMBERED = 100_000


class ProjectStore:
    """A ``MetadataStore`` that knows the runs of ``project`` alone. Closing it closes ``whole``.

    ``project`` in a call may be left out; another project than this one has nothing.
    """

    def __init__(self, whole: MetadataStore, project: str) -> None:
        self._whole = whole
        self._known: set[int] = set()
        self.project = project
        self.url = whole.url

    def hasty(self) -> MetadataStore:
        """See ``MetadataStore``."""
        made = ProjectStore(self._whole.hasty(), self.project)
        made._known = self._known
        return made

    # --- whose is it? -----------------------------------------------------------------------------------------

    def _has(self, run_id: int) -> bool:
        return run_id in self._known or self.run_by_id(run_id) is not None

    def _check(self, run_id: int) -> None:
        if run_id not in self._known and self.run_by_id(run_id) is None:
            raise NotFoundError(f"project {self.project!r} has no run with the id {run_id}")

    def _mine(self, run_ids: Sequence[int]) -> list[int]:
        return [run_id for run_id in run_ids if self._has(run_id)]

    def _noted(self, run: RunRecord | None) -> RunRecord | None:
        if run is None or run.project != self.project:
            return None
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known.add(run.id)
        return run

    def _has_lease(self, name: str) -> bool:
        kind, _, what = name.partition(":")
        if kind == "run":
            return what.isdecimal() and self._has(int(what))
        return kind != "import" or what == self.project

    # --- leases and writing -----------------------------------------------------------------------------------

    def acquire(self, name: str, owner: str, seconds: float, *, dead: str = "") -> Lease | None:
        """See ``MetadataStore``."""
        if not self._has_lease(name):
            raise NotFoundError(f"project {self.project!r} has no lease {name!r}")
        return self._whole.acquire(name, owner, seconds, dead=dead)

    def lease(self, name: str) -> Lease | None:
        """See ``MetadataStore``."""
        return self._whole.lease(name) if self._has_lease(name) else None

    def release(self, lease: Lease) -> None:
        """See ``MetadataStore``."""
        self._whole.release(lease)  # only its owner has the token

    def commit(
        self, writes: Sequence[Write], lease: Lease | None = None, seconds: float = 0.0, number: int = 0
    ) -> None:
        """See ``MetadataStore``; raises NotFoundError when one of ``writes`` is for a run of another project."""
        if not self._known.issuperset(map(_run_of, writes)):
            for write in writes:
                self._check(write.run_id)
        self._whole.commit(writes, lease, seconds, number)

    # --- runs -------------------------------------------------------------------------------------------------

    def create_run(self, run: NewRun) -> RunRecord:
        """See ``MetadataStore``; raises NotFoundError for a run of another project."""
        self._own(run.project)
        made = self._whole.create_run(run)
        self._known.add(made.id)
        return made

    def open_run(self, run: NewRun, owner: str, seconds: float) -> tuple[RunRecord, Lease]:
        """See ``MetadataStore``; raises NotFoundError for a run of another project."""
        self._own(run.project)
        made, lease = self._whole.open_run(run, owner, seconds)
        self._known.add(made.id)
        return made, lease

    def _own(self, project: str) -> None:
        if project != self.project:
            raise NotFoundError(f"project {self.project!r} was asked to write in project {project!r}")

    def run(self, flow: str, number: int, project: str | None = None) -> RunRecord | None:
        """See ``MetadataStore``."""
        return self._noted(self._whole.run(flow, number, self.project)) if project in (None, self.project) else None

    def run_by_id(self, run_id: int) -> RunRecord | None:
        """See ``MetadataStore``."""
        return self._noted(self._whole.run_by_id(run_id))

    def latest_run(self, flow: str | None = None, project: str | None = None) -> RunRecord | None:
        """See ``MetadataStore``."""
        return self._noted(self._whole.latest_run(flow, self.project)) if project in (None, self.project) else None

    def runs(self, want: RunFilter) -> list[RunRecord]:
        """See ``MetadataStore``; ``want.project`` may be left out."""
        if want.project not in (None, self.project):
            return []
        found = self._whole.runs(msgspec.structs.replace(want, project=self.project))
        return [run for run in found if self._noted(run) is not None]

    def flows(self, project: str | None = None) -> list[tuple[str, int, float]]:
        """See ``MetadataStore``."""
        return self._whole.flows(self.project) if project in (None, self.project) else []

    def projects(self) -> list[str]:
        """See ``MetadataStore``: this one, once it has runs."""
        return [self.project] if self.flows() else []

    def requests(self, project: str | None = None, run: str = "", limit: int = 100) -> list[Request]:
        """See ``MetadataStore``."""
        return self._whole.requests(self.project, run, limit) if project in (None, self.project) else []

    def delete_run(self, run_id: int) -> None:
        """See ``MetadataStore``."""
        if self._has(run_id):
            self._whole.delete_run(run_id)

    # --- what belongs to a run --------------------------------------------------------------------------------

    def tasks(
        self, run_id: int, step: str | None = None, *, states: Sequence[str] = (), after: int = 0, limit: int = 0
    ) -> list[TaskRecord]:
        """See ``MetadataStore``."""
        found = self._has(run_id)
        return self._whole.tasks(run_id, step, states=states, after=after, limit=limit) if found else []

    def task(self, run_id: int, task: TaskId) -> TaskRecord | None:
        """See ``MetadataStore``."""
        return self._whole.task(run_id, task) if self._has(run_id) else None

    def step_counts(self, run_id: int) -> list[StepCount]:
        """See ``MetadataStore``."""
        return self._whole.step_counts(run_id) if self._has(run_id) else []

    def queue(self, run_ids: Sequence[int]) -> list[QueueCount]:
        """See ``MetadataStore``."""
        return self._whole.queue(self._mine(run_ids))

    def attempts(
        self, run_id: int, task: TaskId | None = None, *, after: AttemptKey | None = None, limit: int = 0
    ) -> list[AttemptRecord]:
        """See ``MetadataStore``."""
        return self._whole.attempts(run_id, task, after=after, limit=limit) if self._has(run_id) else []

    def artifacts(
        self, run_id: int, task: TaskId | None = None, *, after: ArtifactKey | None = None, limit: int = 0
    ) -> list[ArtifactRecord]:
        """See ``MetadataStore``."""
        return self._whole.artifacts(run_id, task, after=after, limit=limit) if self._has(run_id) else []

    def outputs(self, run_id: int, tasks: Sequence[TaskId]) -> dict[TaskId, dict[str, ArtifactRecord]]:
        """See ``MetadataStore``."""
        return self._whole.outputs(run_id, tasks) if self._has(run_id) else {}

    def parents(self, run_id: int, task: TaskId) -> list[TaskId]:
        """See ``MetadataStore``."""
        return self._whole.parents(run_id, task) if self._has(run_id) else []

    def children(self, run_id: int, task: TaskId) -> list[TaskId]:
        """See ``MetadataStore``."""
        return self._whole.children(run_id, task) if self._has(run_id) else []

    def edges(self, run_id: int, *, after: Edge | None = None, limit: int = 0) -> list[Edge]:
        """See ``MetadataStore``."""
        return self._whole.edges(run_id, after=after, limit=limit) if self._has(run_id) else []

    def logs(
        self, run_id: int, task: TaskId | None, attempt: int | None = None, after: int = 0, limit: int = 0
    ) -> list[LogChunk | LogSegment]:
        """See ``MetadataStore``."""
        return self._whole.logs(run_id, task, attempt, after, limit) if self._has(run_id) else []

    def segments(self, run_id: int, *, after: int = 0, limit: int = 0) -> list[LogSegment]:
        """See ``MetadataStore``."""
        return self._whole.segments(run_id, after=after, limit=limit) if self._has(run_id) else []

    def log_position(self, run_id: int) -> int:
        """See ``MetadataStore``."""
        return self._whole.log_position(run_id) if self._has(run_id) else 0

    def metrics(
        self, run_id: int, name: str | None = None, *, task: TaskId | None = None, after: int = 0, limit: int = 0
    ) -> list[MetricChunk]:
        """See ``MetadataStore``."""
        return self._whole.metrics(run_id, name, task=task, after=after, limit=limit) if self._has(run_id) else []

    def metric_summaries(self, run_ids: Sequence[int]) -> list[MetricSummary]:
        """See ``MetadataStore``."""
        return self._whole.metric_summaries(self._mine(run_ids))

    def tags(self, run_ids: Sequence[int], *, after: tuple[int, str] | None = None, limit: int = 0) -> list[Tag]:
        """See ``MetadataStore``."""
        return self._whole.tags(self._mine(run_ids), after=after, limit=limit)

    def params(self, run_ids: Sequence[int], *, after: tuple[int, str] | None = None, limit: int = 0) -> list[Param]:
        """See ``MetadataStore``."""
        return self._whole.params(self._mine(run_ids), after=after, limit=limit)

    def flags(self, run_ids: Sequence[int]) -> list[RunFlags]:
        """See ``MetadataStore``."""
        return self._whole.flags(self._mine(run_ids))

    def waits(self, run_id: int) -> list[Wait]:
        """See ``MetadataStore``."""
        return self._whole.waits(run_id) if self._has(run_id) else []

    # --- cache ------------------------------------------------------------------------------------------------

    def cached(self, key: bytes, project: str | None = None) -> CacheEntry | None:
        """See ``MetadataStore``."""
        if project not in (None, self.project):
            return None
        found = self._whole.cached(key, self.project)
        if found is not None:
            self._known.add(found.run_id)
        return found

    def cached_of_run(self, run_id: int) -> list[CacheEntry]:
        """See ``MetadataStore``."""
        return self._whole.cached_of_run(run_id) if self._has(run_id) else []

    def forget_cached(self, entry: CacheEntry, project: str | None = None, *, result: bool = False) -> None:
        """See ``MetadataStore``; raises NotFoundError for an entry of another project."""
        self._own(self.project if project is None else project)
        self._whole.forget_cached(entry, self.project, result=result)

    # --- signals ----------------------------------------------------------------------------------------------

    def send(self, run_id: int, kind: str, name: str, value: bytes, sender: str, now: float) -> None:
        """See ``MetadataStore``; raises NotFoundError for a run of another project."""
        self._check(run_id)
        self._whole.send(run_id, kind, name, value, sender, now)

    def subscribe(self, run_id: int, after: int, heard: Callable[[Signal], None]) -> Subscription:
        """See ``MetadataStore``."""
        self._check(run_id)
        return self._whole.subscribe(run_id, after, heard)

    def signals(self, run_id: int, after: int = 0) -> list[Signal]:
        """See ``MetadataStore``."""
        return self._whole.signals(run_id, after) if self._has(run_id) else []

    # --- keeping house ----------------------------------------------------------------------------------------

    def referenced_blobs(self) -> Iterator[bytes]:
        """See ``MetadataStore``: of all projects, because blobs are stored once for all of them."""
        return self._whole.referenced_blobs()

    def code_packages(self) -> Iterator[Blob]:
        """See ``MetadataStore``; of all projects, because their bytes lie in one store."""
        return self._whole.code_packages()

    def export(self, run_id: int) -> Mapping[str, list[bytes]]:
        """See ``MetadataStore``."""
        return self._whole.export(run_id) if self._has(run_id) else {}

    def import_rows(self, rows: Mapping[str, Iterable[bytes]], project: str | None = None) -> RunRecord:
        """See ``MetadataStore``; raises NotFoundError for another project."""
        self._own(self.project if project is None else project)
        made = self._whole.import_rows(rows, self.project)
        self._known.add(made.id)
        return made

    def compact(self) -> int:
        """See ``MetadataStore``."""
        return self._whole.compact()

    def close(self) -> None:
        """See ``MetadataStore``."""
        self._whole.close()
