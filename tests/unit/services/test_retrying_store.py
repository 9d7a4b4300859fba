"""Calls of a store that are repeated until it answers, when a run starts."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.model.errors import StoreAwayError
from headrace.model.records import lease_name
from headrace.services.retrying_store import waiting
from headrace.services.store_wait import StoreWait
from headrace.services.stores import Stores
from headrace.stores.artifacts.memory import MemoryStore
from headrace.stores.metadata.protocol import NewRun, RunFilter
from headrace.testing.faults import Faults, FaultyArtifacts, FaultyMetadata
from headrace.testing.metadata import MemoryMetadata

ME = "here:1:1"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.services.store_wait._FIRST_PAUSE", 0.001)
    monkeypatch.setattr("headrace.services.store_wait._LONGEST_PAUSE", 0.002)


def new_run() -> NewRun:
    return NewRun(project="default", flow="train", dialect="native", entry="", created=time.time(), host="here", pid=1)


def faulty(plan: list[str]) -> tuple[MemoryMetadata, Stores, list[str]]:
    faults, told = Faults(plan), list[str]()
    faults.active = True
    plain = MemoryMetadata()
    stores = Stores(FaultyMetadata(plain, faults), FaultyArtifacts(MemoryStore(), faults))  # type: ignore[arg-type]
    return plain, waiting(stores, StoreWait(60, told.append)), told


_plan = st.lists(st.sampled_from(["fine", "away", "lost", "slow"]), max_size=12)


@given(_plan)
def test_faults_at_the_start_of_a_run_make_one_run_with_one_lease(plan: list[str]) -> None:
    plain, stores, told = faulty(plan)
    new = new_run()
    run, lease = stores.metadata.open_run(new, ME, 10)
    assert [one.id for one in plain.runs(RunFilter())] == [run.id]
    held = plain.lease(lease_name(run.id))
    assert held is not None
    assert (held.owner, held.token) == (ME, lease.token)
    plain.commit([], lease, 10)  # which its owner alone may do
    assert len(told) % 2 == 0  # each time that it waits, it says when that ends


@given(_plan)
def test_faults_while_a_lease_is_taken_leave_it_with_its_owner(plan: list[str]) -> None:
    plain, stores, _ = faulty(plan)
    run = plain.create_run(new_run())
    lease = stores.metadata.acquire(lease_name(run.id), ME, 10)
    assert lease is not None
    plain.commit([], lease, 10)


def test_lease_of_another_driver_in_the_same_process_is_not_taken_for_its_own() -> None:
    plain, stores, _ = faulty(["fine", "away"])
    run = plain.create_run(new_run())
    assert plain.acquire(lease_name(run.id), ME, 10) is not None
    assert stores.metadata.acquire(lease_name(run.id), ME, 10) is None


def test_start_without_waiting_raises_at_once() -> None:
    told: list[str] = []
    with pytest.raises(StoreAwayError, match="refused"):
        StoreWait(0, told.append)(refuse)
    assert told == []


def refuse() -> None:
    raise StoreAwayError("refused")


def test_waiting_ends_with_an_error_that_names_the_setting() -> None:
    told: list[str] = []
    wait = StoreWait(0.05, told.append)
    with pytest.raises(StoreAwayError, match=r"did not answer for 50.0 ms \(setting store_wait\): refused"):
        wait(refuse)
    assert len(told) == 1
    with pytest.raises(StoreAwayError, match="refused"):  # the time is used up
        wait(refuse)
    assert len(told) == 1
