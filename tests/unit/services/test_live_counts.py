"""How far a run is, from rows of tasks that are of now and queue counts that may be older."""

from __future__ import annotations

import pytest

from headrace.model.records import QueueCount, RunRecord
from headrace.model.states import TaskState
from headrace.services.live_counts import summed, totals_of
from headrace.stores.metadata.protocol import RunChange
from headrace.testing.metadata import MemoryMetadata, new_run, task


@pytest.fixture
def store() -> MemoryMetadata:
    return MemoryMetadata()


@pytest.fixture
def run(store: MemoryMetadata) -> RunRecord:
    return new_run(store)


def put(store: MemoryMetadata, run: RunRecord, first: int, *states: TaskState, session: int = 1) -> None:
    store.commit([task(run.id, "fit", first + at, state=state, session=session) for at, state in enumerate(states)])


def queue(run: RunRecord, waiting: int, ready: int, delayed: int, running: int, total: int) -> QueueCount:
    return QueueCount(run.id, "fit", waiting, ready, delayed, running, total, 5.0)


def test_waiting_tasks_are_part_of_the_total(store: MemoryMetadata, run: RunRecord) -> None:
    put(store, run, 1, *[TaskState.SUCCEEDED] * 3, TaskState.RUNNING)
    store.commit([queue(run, 1, 5, 0, 2, 11)])
    fit = totals_of(store, run, gone=False)["fit"]
    assert fit.counts == {"succeeded": 3, "running": 2, "ready": 5, "waiting": 1}
    assert fit.total == 11


def test_tasks_that_ended_since_the_count_are_not_counted_twice(store: MemoryMetadata, run: RunRecord) -> None:
    put(store, run, 1, *[TaskState.SUCCEEDED] * 5, TaskState.FAILED)
    store.commit([queue(run, 0, 5, 0, 2, 10)])
    fit = totals_of(store, run, gone=False)["fit"]
    assert fit.counts == {"succeeded": 5, "failed": 1, "ready": 4}
    assert fit.total == 10


def test_more_ends_than_were_known_raise_the_total(store: MemoryMetadata, run: RunRecord) -> None:
    put(store, run, 1, *[TaskState.SUCCEEDED] * 5)
    store.commit([queue(run, 0, 1, 0, 1, 2)])
    fit = totals_of(store, run, gone=False)["fit"]
    assert (fit.counts, fit.total) == ({"succeeded": 5}, 5)


def test_step_of_which_nothing_began_is_there(store: MemoryMetadata, run: RunRecord) -> None:
    store.commit([queue(run, 3, 0, 0, 0, 3)])
    assert totals_of(store, run, gone=False)["fit"].counts == {"waiting": 3}


def test_task_that_failed_in_an_earlier_session_counts_as_what_it_is_now(store: MemoryMetadata, run: RunRecord) -> None:
    put(store, run, 1, TaskState.SUCCEEDED, TaskState.FAILED, TaskState.FAILED)
    store.commit([RunChange(run_id=run.id, session=2), queue(run, 0, 1, 0, 0, 3)])
    put(store, run, 3, TaskState.FAILED, session=2)
    resumed = store.run_by_id(run.id)
    assert resumed is not None
    fit = totals_of(store, resumed, gone=False)["fit"]
    assert fit.counts == {"succeeded": 1, "failed": 1, "ready": 1}
    assert fit.total == 3


def test_crashed_run_has_lost_tasks_and_the_rest_waits(store: MemoryMetadata, run: RunRecord) -> None:
    put(store, run, 1, TaskState.SUCCEEDED, TaskState.RUNNING, TaskState.STALE)
    store.commit([queue(run, 1, 2, 0, 1, 5)])
    fit = totals_of(store, run, gone=True)["fit"]
    assert fit.counts == {"succeeded": 1, "stale": 1, "lost": 1, "waiting": 3}
    assert fit.total == 5


def test_counts_of_a_run_are_summed_over_its_steps(run: RunRecord) -> None:
    assert summed([]) == {}
    rows = [queue(run, 1, 2, 0, 1, 5), queue(run, 0, 0, 1, 1, 2)]
    assert summed(rows) == {"waiting": 1, "ready": 2, "delayed": 1, "running": 2, "total": 7}
