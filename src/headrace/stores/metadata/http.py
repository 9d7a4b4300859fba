"""The metadata store of a Headrace server, over HTTP.

Each method is one request; a commit too. What is allowed, who holds a lease, and what was made already, the server
judges. A request that can be repeated is, while the server does not answer; a commit under a lease is numbered, so that
the server knows it again after a broken connection or its own restart.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from headrace.model.errors import StoreAwayError
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
    RunFlags,
    RunRecord,
    Signal,
    Tag,
    TaskId,
    TaskRecord,
    Wait,
)
from headrace.model.records import Request as ActorRequest
from headrace.model.values import Blob
from headrace.stores.http_client import (
    ANSWER_SECONDS,
    DRIVER_SECONDS,
    PATIENCE_SECONDS,
    Endpoint,
    HttpClient,
    Request,
)
from headrace.stores.metadata import wire
from headrace.stores.metadata._http_signals import SignalListener
from headrace.stores.metadata.protocol import (
    ArtifactKey,
    AttemptKey,
    CacheEntry,
    NewRun,
    RunFilter,
    StepCount,
    Subscription,
    Write,
)

#: Owners of leases whose commits are counted; the oldest go.
_COUNTED = 1000


class _Commits:
    """The commits of one owner of a lease: one at a time, with growing numbers."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.last = 0
        self.in_doubt: Sequence[Write] | None = None

    def number_for(self, writes: Sequence[Write]) -> int:
        """The number of this commit: that of the last one where it is the same again."""
        if self.in_doubt is not writes:
            self.last = max(self.last + 1, time.time_ns() // 1000)  # another process may have held the lease before
        return self.last


class HttpMetadata:
    """A ``MetadataStore`` behind a server.

    Args:
        endpoint: the server.
        project: the project that is asked about; empty for all that the server shows to who asks.
        patient: whether calls wait for a server that does not answer.
    """

    def __init__(self, endpoint: Endpoint, project: str = "", *, patient: bool = True) -> None:
        self.url = endpoint.url
        self.project = project
        self._seconds = ANSWER_SECONDS if patient else DRIVER_SECONDS
        self._client = HttpClient(endpoint, PATIENCE_SECONDS if patient else 0.0)
        self._headers = {"Content-Type": wire.MEDIA_TYPE, "Headrace-Protocol": str(wire.PROTOCOL)}
        if project:
            self._headers["Headrace-Project"] = quote(project, safe="")
        if not patient:
            self._headers["Headrace-Hasty"] = "1"
        self._commits: dict[tuple[str, int], _Commits] = {}
        self._signals = SignalListener(HttpClient(endpoint, 0.0), self._poll)
        self._patient = patient
        self._pid = os.getpid()

    def _sibling(self, project: str, patient: bool) -> HttpMetadata:
        made = HttpMetadata(self._client.endpoint, project, patient=patient)
        made._commits = self._commits
        if project == self.project:
            made._signals = self._signals
        return made

    def hasty(self) -> HttpMetadata:
        """See ``MetadataStore``."""
        return self._sibling(self.project, patient=False)

    def of_project(self, project: str) -> HttpMetadata:
        """The runs of one project: what belongs to another is not there. Closing it closes nothing else."""
        return self._sibling(project, self._patient)

    def check(self) -> None:
        """Ask the server whether it answers, and whether it knows this version and who asks.

        Raises:
            StoreAwayError: it does not answer.
            StoreVersionError: it is of another version.
            StoreError: it is not a server of Headrace, or the token is not good.
        """
        self._post("check", b"")

    def _post(self, name: str, body: bytes, again: bool = True, seconds: float = 0.0) -> bytes:
        request = Request("POST", f"/store/{name}", body, self._headers, again, seconds or self._seconds)
        return self._client.ask(request)

    def _call(self, name: str, *arguments: Any) -> Any:
        method = wire.remote(name)
        return method.decode_result(self._post(name, wire.encode_fit(arguments), method.again))

    # --- leases and writing ---

    def acquire(self, name: str, owner: str, seconds: float, *, dead: str = "") -> Lease | None:
        """See ``MetadataStore``."""
        found: Lease | None = self._call("acquire", name, owner, seconds, dead)
        return found

    def lease(self, name: str) -> Lease | None:
        """See ``MetadataStore``."""
        found: Lease | None = self._call("lease", name)
        return found

    def release(self, lease: Lease) -> None:
        """See ``MetadataStore``."""
        self._call("release", lease)

    def commit(
        self, writes: Sequence[Write], lease: Lease | None = None, seconds: float = 0.0, number: int = 0
    ) -> None:
        """See ``MetadataStore``: one request."""
        if lease is None:
            self._post("commit", wire.encode_fit([wire.encode_writes(writes)]), again=False)
            return
        commits = self._commits_of(lease)
        with commits.lock:
            number = number or commits.number_for(writes)
            held = (lease.name, lease.owner, lease.token, lease.note, seconds, number)
            try:
                self._post("commit", wire.encode_fit((wire.encode_writes(writes), *held)))
                commits.in_doubt = None
            except StoreAwayError:
                commits.in_doubt = writes
                raise

    def _commits_of(self, lease: Lease) -> _Commits:
        key = lease.name, lease.token
        found = self._commits.get(key)
        if found is None:
            found = self._commits.setdefault(key, _Commits())
            for oldest in list(self._commits)[:-_COUNTED]:
                self._commits.pop(oldest, None)
        return found

    # --- runs ---

    def create_run(self, run: NewRun) -> RunRecord:
        """See ``MetadataStore``."""
        made: RunRecord = self._call("create_run", run)
        return made

    def open_run(self, run: NewRun, owner: str, seconds: float) -> tuple[RunRecord, Lease]:
        """See ``MetadataStore``."""
        made: tuple[RunRecord, Lease] = self._call("open_run", run, owner, seconds)
        return made

    def _named(self, project: str | None) -> str:
        return (self.project or "default") if project is None else project

    def run(self, flow: str, number: int, project: str | None = None) -> RunRecord | None:
        """See ``MetadataStore``."""
        found: RunRecord | None = self._call("run", flow, number, self._named(project))
        return found

    def run_by_id(self, run_id: int) -> RunRecord | None:
        """See ``MetadataStore``."""
        found: RunRecord | None = self._call("run_by_id", run_id)
        return found

    def latest_run(self, flow: str | None = None, project: str | None = None) -> RunRecord | None:
        """See ``MetadataStore``."""
        found: RunRecord | None = self._call("latest_run", flow, self._named(project))
        return found

    def runs(self, want: RunFilter) -> list[RunRecord]:
        """See ``MetadataStore``."""
        found: list[RunRecord] = self._call("runs", want)
        return found

    def flows(self, project: str | None = None) -> list[tuple[str, int, float]]:
        """See ``MetadataStore``."""
        found: list[tuple[str, int, float]] = self._call("flows", self._named(project))
        return found

    def projects(self) -> list[str]:
        """See ``MetadataStore``: those that the server shows to who asks."""
        found: list[str] = self._call("projects")
        return found

    def requests(self, project: str | None = None, run: str = "", limit: int = 100) -> list[ActorRequest]:
        """See ``MetadataStore``."""
        found: list[ActorRequest] = self._call("requests", self._named(project), run, limit)
        return found

    def delete_run(self, run_id: int) -> None:
        """See ``MetadataStore``."""
        self._call("delete_run", run_id)

    # --- what belongs to a run ---

    def tasks(
        self, run_id: int, step: str | None = None, *, states: Sequence[str] = (), after: int = 0, limit: int = 0
    ) -> list[TaskRecord]:
        """See ``MetadataStore``."""
        found: list[TaskRecord] = self._call("tasks", run_id, step, states, after, limit)
        return found

    def task(self, run_id: int, task: TaskId) -> TaskRecord | None:
        """See ``MetadataStore``."""
        found: TaskRecord | None = self._call("task", run_id, task)
        return found

    def step_counts(self, run_id: int) -> list[StepCount]:
        """See ``MetadataStore``."""
        found: list[StepCount] = self._call("step_counts", run_id)
        return found

    def queue(self, run_ids: Sequence[int]) -> list[QueueCount]:
        """See ``MetadataStore``."""
        found: list[QueueCount] = self._call("queue", run_ids)
        return found

    def attempts(
        self, run_id: int, task: TaskId | None = None, *, after: AttemptKey | None = None, limit: int = 0
    ) -> list[AttemptRecord]:
        """See ``MetadataStore``."""
        found: list[AttemptRecord] = self._call("attempts", run_id, task, after, limit)
        return found

    def artifacts(
        self, run_id: int, task: TaskId | None = None, *, after: ArtifactKey | None = None, limit: int = 0
    ) -> list[ArtifactRecord]:
        """See ``MetadataStore``."""
        found: list[ArtifactRecord] = self._call("artifacts", run_id, task, after, limit)
        return found

    def outputs(self, run_id: int, tasks: Sequence[TaskId]) -> dict[TaskId, dict[str, ArtifactRecord]]:
        """See ``MetadataStore``."""
        found: dict[TaskId, dict[str, ArtifactRecord]] = self._call("outputs", run_id, tasks)
        return found

    def parents(self, run_id: int, task: TaskId) -> list[TaskId]:
        """See ``MetadataStore``."""
        found: list[TaskId] = self._call("parents", run_id, task)
        return found

    def children(self, run_id: int, task: TaskId) -> list[TaskId]:
        """See ``MetadataStore``."""
        found: list[TaskId] = self._call("children", run_id, task)
        return found

    def edges(self, run_id: int, *, after: Edge | None = None, limit: int = 0) -> list[Edge]:
        """See ``MetadataStore``."""
        found: list[Edge] = self._call("edges", run_id, after, limit)
        return found

    def logs(
        self, run_id: int, task: TaskId | None, attempt: int | None = None, after: int = 0, limit: int = 0
    ) -> list[LogChunk | LogSegment]:
        """See ``MetadataStore``."""
        found: list[LogChunk | LogSegment] = self._call("logs", run_id, task, attempt, after, limit)
        return found

    def segments(self, run_id: int, *, after: int = 0, limit: int = 0) -> list[LogSegment]:
        """See ``MetadataStore``."""
        found: list[LogSegment] = self._call("segments", run_id, after, limit)
        return found

    def log_position(self, run_id: int) -> int:
        """See ``MetadataStore``."""
        found: int = self._call("log_position", run_id)
        return found

    def metrics(
        self, run_id: int, name: str | None = None, *, task: TaskId | None = None, after: int = 0, limit: int = 0
    ) -> list[MetricChunk]:
        """See ``MetadataStore``."""
        found: list[MetricChunk] = self._call("metrics", run_id, name, task, after, limit)
        return found

    def metric_summaries(self, run_ids: Sequence[int]) -> list[MetricSummary]:
        """See ``MetadataStore``."""
        found: list[MetricSummary] = self._call("metric_summaries", run_ids)
        return found

    def tags(self, run_ids: Sequence[int], *, after: tuple[int, str] | None = None, limit: int = 0) -> list[Tag]:
        """See ``MetadataStore``."""
        found: list[Tag] = self._call("tags", run_ids, after, limit)
        return found

    def params(self, run_ids: Sequence[int], *, after: tuple[int, str] | None = None, limit: int = 0) -> list[Param]:
        """See ``MetadataStore``."""
        found: list[Param] = self._call("params", run_ids, after, limit)
        return found

    def flags(self, run_ids: Sequence[int]) -> list[RunFlags]:
        """See ``MetadataStore``."""
        found: list[RunFlags] = self._call("flags", run_ids)
        return found

    def waits(self, run_id: int) -> list[Wait]:
        """See ``MetadataStore``."""
        found: list[Wait] = self._call("waits", run_id)
        return found

    # --- cache and signals ---

    def cached(self, key: bytes, project: str | None = None) -> CacheEntry | None:
        """See ``MetadataStore``."""
        found: CacheEntry | None = self._call("cached", key, self._named(project))
        return found

    def cached_of_run(self, run_id: int) -> list[CacheEntry]:
        """See ``MetadataStore``."""
        found: list[CacheEntry] = self._call("cached_of_run", run_id)
        return found

    def forget_cached(self, entry: CacheEntry, project: str | None = None, *, result: bool = False) -> None:
        """See ``MetadataStore``."""
        self._call("forget_cached", entry, self._named(project), result)

    def send(self, run_id: int, kind: str, name: str, value: bytes, sender: str, now: float) -> None:
        """See ``MetadataStore``."""
        self._call("send", run_id, kind, name, value, sender, now)

    def subscribe(self, run_id: int, after: int, heard: Callable[[Signal], None]) -> Subscription:
        """See ``MetadataStore``."""
        return self._signals.add(run_id, after, heard)

    def _poll(self, after: dict[int, int], seconds: float) -> Request:
        body = wire.encode(wire.AwaitArguments(after, seconds))
        return Request("POST", "/store/await_signals", body, self._headers, seconds=seconds + DRIVER_SECONDS)

    def signals(self, run_id: int, after: int = 0) -> list[Signal]:
        """See ``MetadataStore``."""
        found: list[Signal] = self._call("signals", run_id, after)
        return found

    # --- keeping house ---

    def referenced_blobs(self) -> Iterator[bytes]:
        """See ``MetadataStore``; for admins of the server."""
        return self._listing("referenced_blobs", list[bytes])

    def code_packages(self) -> Iterator[Blob]:
        """See ``MetadataStore``; for admins of the server."""
        return self._listing("code_packages", list[Blob])

    def _listing(self, name: str, kind: Any) -> Iterator[Any]:
        decode = msgspec.msgpack.Decoder(kind).decode
        request = Request("POST", f"/store/{name}", wire.encode(()), self._headers, seconds=self._seconds)
        with self._client.stream(request) as answer:
            for part in answer.frames():
                yield from decode(part)

    def export(self, run_id: int) -> Mapping[str, list[bytes]]:
        """See ``MetadataStore``."""
        found: Mapping[str, list[bytes]] = self._call("export", run_id)
        return found

    def import_rows(self, rows: Mapping[str, Iterable[bytes]], project: str | None = None) -> RunRecord:
        """See ``MetadataStore``."""
        given = {table: list(lines) for table, lines in rows.items()}
        made: RunRecord = self._call("import_rows", given, self._named(project))
        return made

    def compact(self) -> int:
        """See ``MetadataStore``; for admins of the server."""
        freed: int = self._call("compact")
        return freed

    def close(self) -> None:
        """See ``MetadataStore``."""
        if self._pid == os.getpid():
            self._signals.close()
            self._client.endpoint.close()
