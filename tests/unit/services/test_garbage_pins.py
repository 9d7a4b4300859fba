"""Garbage collection never takes what a live run has stored and not yet named, and leaves nothing for ever."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from headrace._base.process import process_owner
from headrace.model.records import Lease, RunRecord
from headrace.model.states import RunState
from headrace.model.values import Blob, Packed
from headrace.services import garbage
from headrace.stores.artifacts.local import LocalStore
from headrace.stores.artifacts.memory import MemoryStore
from headrace.stores.artifacts.protocol import REFRESH_AFTER, BlobInfo
from headrace.stores.metadata.protocol import NewRun, RunChange
from headrace.testing.metadata import MemoryMetadata, artifact

ELSEWHERE = "elsewhere:17:4711-x"  # a driver of another machine, of which is not known here whether it lives


class InterruptedStore(MemoryStore):
    """A store in which something happens between the steps of a collection."""

    meanwhile: Callable[[], None] | None = None

    def list(self) -> Iterator[BlobInfo]:
        yield from super().list()
        if self.meanwhile is not None:
            self.meanwhile()


class Live:
    """A run, the blobs that it has put, and the lease of its driver."""

    def __init__(self, run: RunRecord, lease: Lease) -> None:
        self.run = run
        self.lease = lease
        self.put: set[Blob] = set()


class Collections(RuleBasedStateMachine):
    """Runs that put, name, end and die, collections at any moment, and hours that pass."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000_000.0
        self.metadata = MemoryMetadata(lambda: self.now)
        self.artifacts = InterruptedStore(lambda: self.now)
        self.live: list[Live] = []
        self.named: dict[int, set[Blob]] = {}

    def value(self, number: int) -> bytes:
        return b"%d" % number * 10

    @rule(project=st.sampled_from(["a", "b"]))
    def begin(self, project: str) -> None:
        new = NewRun(project=project, flow="f", dialect="native", entry="", created=self.now)
        run, lease = self.metadata.open_run(new, ELSEWHERE, 10.0)
        self.live.append(Live(run, lease))
        self.named[run.id] = set()

    @precondition(lambda self: self.live)
    @rule(which=st.integers(0, 5), number=st.integers(0, 6))
    def put(self, which: int, number: int) -> None:
        """An argument is packed; often one that is there already, however old."""
        live = self.live[which % len(self.live)]
        live.put.add(self.artifacts.put([self.value(number)]))

    @precondition(lambda self: any(one.put for one in self.live))
    @rule()
    def name(self) -> None:
        """A task that waited runs: a row names what it takes."""
        live = next(one for one in self.live if one.put)
        blob = min(live.put, key=lambda one: one.digest)
        value = Packed("bytes", blob.digest, blob.size, b"", (blob,))
        self.metadata.commit([artifact(live.run.id, number=len(self.named[live.run.id]) + 1, value=value)])
        self.named[live.run.id].add(blob)

    @precondition(lambda self: self.live)
    @rule(which=st.integers(0, 5), dies=st.booleans())
    def end(self, which: int, dies: bool) -> None:
        live = self.live.pop(which % len(self.live))
        if not dies:
            self.metadata.commit([RunChange(run_id=live.run.id, state=RunState.SUCCEEDED, finished=self.now)])
            self.metadata.release(live.lease)

    @precondition(lambda self: set(self.named) - {one.run.id for one in self.live})
    @rule()
    def delete(self) -> None:
        gone = min(set(self.named) - {one.run.id for one in self.live})
        self.metadata.delete_run(gone)
        del self.named[gone]

    @rule(seconds=st.sampled_from([1.0, 500.0, 3000.0, 90_000.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.renew()

    def renew(self) -> None:
        for one in self.live:
            self.metadata.commit([], one.lease, 10.0)

    @rule(grace=st.sampled_from([garbage.GRACE, 2 * REFRESH_AFTER]), meanwhile=st.sampled_from(["", "put", "begin"]))
    def collect(self, grace: float, meanwhile: str) -> None:
        def happen() -> None:
            if meanwhile == "begin" or not self.live:
                self.begin("a")
            for number in range(3):
                self.put(number, number)

        self.artifacts.meanwhile = happen if meanwhile else None
        garbage.collect(self.metadata, self.artifacts, [], self.now, grace)
        self.artifacts.meanwhile = None

    @invariant()
    def nothing_needed_is_gone(self) -> None:
        for one in self.live:
            assert self.artifacts.missing(one.put) == []
        for blobs in self.named.values():
            assert self.artifacts.missing(blobs) == []

    def teardown(self) -> None:
        """When all runs have ended, or died long ago, only what rows name is left."""
        self.now += 2 * garbage.GRACE
        while self.live:
            self.end(0, dies=bool(len(self.live) % 2))
        self.now += 2 * garbage.GRACE
        garbage.collect(self.metadata, self.artifacts, [], self.now)
        named = {blob.digest for blobs in self.named.values() for blob in blobs}
        assert set(self.artifacts.blobs) == named


TestCollections = Collections.TestCase
TestCollections.settings = settings(
    max_examples=150, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)


# --- which runs count as live -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("owner", "expired", "live"),
    [
        (process_owner(), -5, True),
        (process_owner(), 7200, True),  # stopped for two hours, and may go on
        (ELSEWHERE, -5, True),
        (ELSEWHERE, 600, True),  # its store did not answer for some minutes
        (ELSEWHERE, 7200, False),
        (f"{process_owner().rpartition(':')[0]}:1-{process_owner().rpartition('-')[2]}", -5, False),  # killed here
    ],
    ids=["here", "here-stopped", "elsewhere", "elsewhere-away", "elsewhere-gone", "here-killed"],
)
def test_live_runs(owner: str, expired: float, live: bool) -> None:
    metadata = MemoryMetadata()
    run = metadata.create_run(NewRun(project="p", flow="f", dialect="native", entry="", created=0.0))
    assert garbage.live_runs(metadata) == []  # its driver gave the lease up and could not say how the run ended
    metadata.acquire(f"run:{run.id}", owner, -expired)
    assert [one.id for one in garbage.live_runs(metadata)] == [run.id] * live


def test_run_is_live_from_its_first_moment() -> None:
    metadata = MemoryMetadata()
    run, _ = metadata.open_run(NewRun(project="p", flow="f", dialect="native", entry="", created=0.0), ELSEWHERE, 10)
    assert garbage.live_runs(metadata) == [run]


def test_ended_run_is_not_live() -> None:
    metadata = MemoryMetadata()
    new = NewRun(project="p", flow="f", dialect="native", entry="", created=0.0)
    run, _ = metadata.open_run(new, process_owner(), 10)
    metadata.commit([RunChange(run_id=run.id, state=RunState.FAILED)])
    assert garbage.live_runs(metadata) == []


# --- what stores promise of it ------------------------------------------------------------------------------------


def age(store: LocalStore, blob: Blob, seconds: float) -> None:
    path = Path(store.url, blob.hex[:2], blob.hex[2:])
    os.utime(path, (time.time() - seconds,) * 2)


@pytest.mark.parametrize("again", ["put", "renew"])
def test_blob_that_is_put_again_is_not_deleted(tmp_path: Path, again: str) -> None:
    store = LocalStore(tmp_path / "blobs")
    old, used = store.put([b"old" * 10]), store.put([b"used" * 10])
    for blob in (old, used):
        age(store, blob, 10_000)
    before = time.time() - 5000
    if again == "put":
        store.put([b"used" * 10])
    else:
        assert store.renew([used, Blob(bytes(32), 3)]) == [Blob(bytes(32), 3)]
    assert store.delete([old.digest, used.digest], before) == old.size
    assert store.missing([old, used]) == [old]
