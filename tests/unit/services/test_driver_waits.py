"""A run that was given to a driver in a cluster, which has not begun: what those see who look at the run."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from headrace._base.process import process_owner
from headrace.model.actors import Actor
from headrace.model.records import LEASE_SECONDS, RunRecord, lease_name
from headrace.model.states import RunState
from headrace.services.control import request_cancel
from headrace.services.drivers import driver_view
from headrace.services.leases import DriverWait, awaits_driver, leave_to_heir, make_way, note_driver_wait, take_lease
from headrace.services.live_counts import waits_of
from headrace.services.run_rows import RunRow, driver_of, rows_of
from headrace.stores.metadata.protocol import NewRun, RunChange
from headrace.testing.metadata import MemoryMetadata

NO_NODE = DriverWait("pod train-1-driver-1-0 waits for a node: no node has room", 90.0)


class Clock:
    """Times of the store."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class HandedOver(NamedTuple):
    """A run that was handed over."""

    store: MemoryMetadata
    run: RunRecord
    clock: Clock

    def row(self) -> RunRow:
        return rows_of(self.store, [self.run], self.clock())[0]


@pytest.fixture
def handed() -> HandedOver:
    clock = Clock()
    store = MemoryMetadata(clock)
    new = NewRun(project="p", flow="train", dialect="native", entry="", created=80.0)
    run, lease = store.open_run(new, process_owner(), LEASE_SECONDS)
    store.commit([RunChange(run_id=run.id, state=RunState.RUNNING, started=80.0)], lease)
    leave_to_heir(store, run, lease.owner, "gpu")
    found = store.run_by_id(run.id)
    assert found is not None
    return HandedOver(store, found, clock)


def test_driver_that_has_not_begun_is_pending_and_says_why_and_when_that_was_seen(handed: HandedOver) -> None:
    assert (handed.row().driver, handed.row().waits_for, handed.row().waits_seen) == ("pending", "", None)
    assert note_driver_wait(handed.store, handed.run, NO_NODE)
    row = handed.row()
    assert (row.state, row.driver, row.waits_for, row.waits_seen) == ("running", "pending", NO_NODE.text, NO_NODE.seen)
    view = driver_view(handed.store, handed.run)
    assert view is not None
    assert (view.state, view.report, view.waits_for, view.waits_seen) == ("pending", None, NO_NODE.text, NO_NODE.seen)
    assert waits_of(handed.store, handed.run) == {}  # of steps: it has none yet


def test_what_a_driver_waited_for_is_gone_once_it_has_begun(handed: HandedOver) -> None:
    assert note_driver_wait(handed.store, handed.run, NO_NODE)
    assert make_way(handed.store, handed.run)
    take_lease(handed.store, handed.run)
    assert (handed.row().driver, handed.row().waits_for, handed.row().waits_seen) == ("alive", "", None)
    assert not note_driver_wait(handed.store, handed.run, NO_NODE)  # who still follows is late
    assert handed.row().waits_for == ""


def test_run_whose_driver_is_awaited_for_an_hour_crashed_unless_somebody_follows_it(handed: HandedOver) -> None:
    handed.clock.now += 3_000
    assert note_driver_wait(handed.store, handed.run, NO_NODE)
    handed.clock.now += 3_000
    assert handed.row().driver == "pending"
    handed.clock.now += 3_000
    row = handed.row()
    assert (row.state, row.driver, row.waits_for) == ("crashed", "gone", "")
    assert driver_of(handed.store, handed.run) == "gone"


def test_run_is_cancelled_before_its_driver_begins_whatever_was_noted(handed: HandedOver) -> None:
    assert note_driver_wait(handed.store, handed.run, NO_NODE)
    assert request_cancel(handed.store, handed.run, Actor("me"), 101.0).state is RunState.CANCELLED
    assert not awaits_driver(handed.store, handed.run)
    assert not note_driver_wait(handed.store, handed.run, NO_NODE)
    held = handed.store.lease(lease_name(handed.run.id))
    assert held is None or not held.note
