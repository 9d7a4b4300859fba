"""Part of the conformance suite of metadata stores: leases, and commits under them."""

from __future__ import annotations

import time

import msgspec
import pytest

from headrace.model.errors import LeaseLostError
from headrace.model.records import Tag
from headrace.stores.metadata.protocol import MetadataStore, NewRun
from headrace.testing._metadata_samples import new_run, task


class LeasesSuite:
    """Who may write a run."""

    def test_lease_is_held_by_one(self, store: MetadataStore) -> None:
        """Until it is released, expires, or its owner is known to be dead. Tokens grow."""
        long = store.acquire("run/1", "a", 600.0)
        assert long is not None
        held = store.lease("run/1")
        assert held is not None
        assert held == msgspec.structs.replace(long, left=held.left)
        assert held.left <= 600.0
        assert store.acquire("run/1", "b", 60) is None
        assert store.acquire("run/1", "a", 60) is None
        store.release(long)
        began = time.monotonic()
        first = store.acquire("run/1", "a", 1.0)
        assert first is not None
        while store.acquire("run/1", "b", 60) is None:
            assert time.monotonic() < began + 60
            time.sleep(0.05)
        assert time.monotonic() > began + 0.9  # it lasted that long, but for clocks that run at different speeds
        assert store.acquire("run/1", "b", 60, dead="c") is None
        other = store.acquire("run/2", "b", 60)
        second = store.acquire("run/1", "b", -1.0, dead="b")
        third = store.acquire("run/1", "c", 60)
        assert other is not None
        assert second is not None
        assert third is not None
        store.release(second)
        held = store.lease("run/1")
        assert held is not None
        assert held.token == third.token
        store.release(third)
        assert store.lease("run/1") is None
        fourth = store.acquire("run/1", "a", 60)
        assert fourth is not None
        assert long.token < first.token < second.token < third.token < fourth.token

    def test_commit_extends_the_lease(self, store: MetadataStore) -> None:
        """To so many seconds from now, never back; without seconds it stays as it is."""
        lease = store.acquire("run/1", "a", 10)
        assert lease is not None
        for seconds in (0.0, 300.0, 200.0, 0.0):
            store.commit([], lease, seconds)
            held = store.lease("run/1")
            assert held is not None
            assert held.left <= 300.1
            assert held.left > 200 or seconds == 0.0
        held = store.lease("run/1")
        assert held is not None
        assert held.left > 200

    def test_run_is_opened_with_its_lease(self, store: MetadataStore) -> None:
        """The run is never there without it."""
        run, lease = store.open_run(
            NewRun(project="default", flow="train", dialect="native", entry="a.py:f", created=5.0), "me:1:1", 60.0
        )
        assert store.run("train", 1) == run
        held = store.lease(f"run:{run.id}")
        assert held is not None
        assert (held.owner, held.token) == ("me:1:1", lease.token)
        assert store.acquire(held.name, "you:1:1", 60.0) is None
        store.commit([task(run.id)], lease, 60.0)
        store.release(lease)
        assert store.lease(held.name) is None

    def test_lost_lease_writes_nothing(self, store: MetadataStore) -> None:
        """Two owners: the first one's commits are refused whole from the moment the second has the lease."""
        run_id = new_run(store).id
        old = store.acquire("run/1", "a", -1.0)
        assert old is not None
        store.commit([task(run_id, number=1)], old)
        new = store.acquire("run/1", "b", 60)
        assert new is not None
        with pytest.raises(LeaseLostError, match="run/1"):
            store.commit([task(run_id, number=2), Tag(run_id, "x")], old)
        store.commit([task(run_id, number=3)], new)
        store.release(old)
        store.commit([task(run_id, number=4)], new)
        assert [row.number for row in store.tasks(run_id)] == [1, 3, 4]
        assert store.tags([run_id]) == []
        store.release(new)
        with pytest.raises(LeaseLostError):
            store.commit([task(run_id, number=5)], new)
