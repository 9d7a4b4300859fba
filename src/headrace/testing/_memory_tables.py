"""The tables of the metadata store in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable

from headrace.model.records import (
    ArtifactRecord,
    AttemptRecord,
    Edge,
    Lease,
    LogChunk,
    LogSegment,
    MetricChunk,
    Param,
    QueueCount,
    Request,
    RunFlags,
    RunRecord,
    Signal,
    Tag,
    TaskRecord,
    Wait,
    lease_name,
)
from headrace.stores.metadata.protocol import CacheEntry


class Tables:
    """Everything that is stored. Keys start with the run's id."""

    def __init__(self) -> None:
        self.runs: dict[int, RunRecord] = {}
        self.numbers: dict[tuple[str, str], int] = {}
        self.tasks: dict[tuple[int, str, int], TaskRecord] = {}
        self.attempts: dict[tuple[int, str, int, int], AttemptRecord] = {}
        self.artifacts: dict[tuple[int, str, int, str], ArtifactRecord] = {}
        self.edges: dict[Edge, None] = {}
        self.logs: dict[tuple[int, str, int, int, int], LogChunk | LogSegment] = {}
        self.metrics: list[MetricChunk] = []
        self.tags: dict[tuple[int, str], Tag] = {}
        self.params: dict[tuple[int, str], Param] = {}
        self.waits: dict[tuple[int, bytes], Wait] = {}
        self.flags: dict[int, RunFlags] = {}
        self.cache: dict[tuple[str, CacheEntry], None] = {}  # by project
        self.queue: dict[tuple[int, str], QueueCount] = {}
        self.signals: list[Signal] = []
        self.requests: list[Request] = []
        self.leases: dict[str, tuple[Lease, float]] = {}  # with its expiry, in the store's clock
        self.last_commits: dict[int, int] = {}  # number of the last commit, by the token of the lease

    def forget_run(self, run_id: int) -> None:
        """Take a run out, with all that belongs to it."""
        self.runs.pop(run_id, None)
        self.leases.pop(lease_name(run_id), None)
        self.tasks = {key: task for key, task in self.tasks.items() if key[0] != run_id}
        self.attempts = {key: attempt for key, attempt in self.attempts.items() if key[0] != run_id}
        self.artifacts = {key: artifact for key, artifact in self.artifacts.items() if key[0] != run_id}
        self.logs = {key: chunk for key, chunk in self.logs.items() if key[0] != run_id}
        self.tags = {key: tag for key, tag in self.tags.items() if key[0] != run_id}
        self.params = {key: param for key, param in self.params.items() if key[0] != run_id}
        self.flags.pop(run_id, None)
        self.waits = {key: wait for key, wait in self.waits.items() if key[0] != run_id}
        self.edges = {edge: None for edge in self.edges if edge.run_id != run_id}
        self.metrics = [chunk for chunk in self.metrics if chunk.run_id != run_id]
        self.signals = [signal for signal in self.signals if signal.run_id != run_id]
        self.cache = {key: None for key in self.cache if key[1].run_id != run_id}
        self.queue = {key: count for key, count in self.queue.items() if key[0] != run_id}


class Subscription:
    """One of the ``subscriptions`` of a store, which ``lock`` guards."""

    def __init__(
        self, subscriptions: list[Subscription], lock: threading.RLock, run_id: int, heard: Callable[[Signal], None]
    ) -> None:
        self._subscriptions, self._lock = subscriptions, lock
        self._run_id = run_id
        self._heard = heard

    def hear(self, signal: Signal) -> None:
        """Pass ``signal`` on if it is for the run."""
        if signal.run_id == self._run_id:
            self._heard(signal)

    def close(self) -> None:
        """Hear nothing more."""
        with self._lock:
            if self in self._subscriptions:
                self._subscriptions.remove(self)
