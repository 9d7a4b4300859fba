"""Every cell of the table of events and states."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from headrace.engine.decide import BY_TOKEN, TABLE
from headrace.engine.events import (
    AttemptFailed,
    CacheAnswer,
    Cancel,
    Due,
    Event,
    Exceeded,
    Handback,
    InputLost,
    Promote,
    Recall,
    Submit,
    Succeeded,
    TimeOver,
    Unclaimed,
)
from headrace.engine.reactions import IGNORED, IMPOSSIBLE, STATES, IllegalEventError
from headrace.engine.tasks import Task
from headrace.model.outcomes import Raised
from headrace.model.policy import Retry
from headrace.model.records import TaskRecord
from headrace.model.states import TaskState
from headrace.testing.engine import Bench, output, usage

NOW = 1000.0


def _in_state(bench: Bench, state: TaskState) -> Task:
    """A task that came to ``state`` by ordinary events; the only one of its bench that matters."""
    step = bench.step("work", retry=Retry(3, delay=5.0), cache=True)
    if state is TaskState.WAITING:
        return bench.submit(step, bench.submit(bench.step("before")))
    task = bench.submit(step, "x")
    bench.feed(CacheAnswer(task, None, "", NOW))
    if state is TaskState.READY:
        return task
    if state is TaskState.CANCELLED:
        bench.feed(Cancel(task, NOW))
        return task
    bench.start()
    if state is TaskState.SUCCEEDED:
        bench.succeed(task)
    elif state is TaskState.DELAYED:
        bench.fail(task)
    elif state is TaskState.FAILED:
        bench.state.cancelling = True  # so that nothing is tried again
        bench.fail(task)
        bench.state.cancelling = False
    return task


def _producer(bench: Bench) -> Task:
    return bench.submit(bench.step("producer"), "again")


def _record(bench: Bench, task: Task) -> Recall:
    from headrace.engine.rows import task_records

    [record] = task_records(bench.state, task, TaskState.SUCCEEDED, NOW)
    assert isinstance(record, TaskRecord)
    return Recall(task, record, NOW)


EVENTS: dict[type, Callable[[Bench, Task], Event]] = {
    Submit: lambda bench, task: Submit(task, NOW),
    Recall: _record,
    CacheAnswer: lambda bench, task: CacheAnswer(task, (output("cached"),), "other/1/work/1", NOW),
    Succeeded: lambda bench, task: Succeeded(task.token, (output("made"),), usage(NOW - 1, NOW), NOW),
    AttemptFailed: lambda bench, task: AttemptFailed(task.token, Raised("no"), NOW),
    InputLost: lambda bench, task: InputLost(task.token, _producer(bench), task.id, "result", NOW),
    Handback: lambda bench, task: Handback((task.token,), NOW),
    Promote: lambda bench, task: Promote(task.token, NOW),
    Due: lambda bench, task: Due(task, NOW),
    TimeOver: lambda bench, task: TimeOver(task.token, NOW),
    Unclaimed: lambda bench, task: Unclaimed(task.token, NOW),
    Exceeded: lambda bench, task: Exceeded(task.token, 1 << 40, NOW),
    Cancel: lambda bench, task: Cancel(task, NOW),
}

#: The state after an event, where it is not ignored or impossible.
AFTER: dict[tuple[type, TaskState], TaskState] = {
    (CacheAnswer, TaskState.WAITING): TaskState.SUCCEEDED,
    (Succeeded, TaskState.RUNNING): TaskState.SUCCEEDED,
    (AttemptFailed, TaskState.RUNNING): TaskState.DELAYED,
    (InputLost, TaskState.RUNNING): TaskState.WAITING,
    (Handback, TaskState.RUNNING): TaskState.READY,
    (Promote, TaskState.RUNNING): TaskState.RUNNING,
    (Due, TaskState.DELAYED): TaskState.READY,
    (TimeOver, TaskState.RUNNING): TaskState.RUNNING,
    (Unclaimed, TaskState.RUNNING): TaskState.RUNNING,
    (Exceeded, TaskState.RUNNING): TaskState.RUNNING,
    (Cancel, TaskState.WAITING): TaskState.CANCELLED,
    (Cancel, TaskState.READY): TaskState.CANCELLED,
    (Cancel, TaskState.DELAYED): TaskState.CANCELLED,
    (Cancel, TaskState.RUNNING): TaskState.RUNNING,
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("kind", TABLE, ids=lambda kind: kind.__name__)
def test_cell(kind: type, state: TaskState) -> None:
    bench = Bench()
    task = _in_state(bench, state)
    assert task.state is state
    cell = TABLE[kind][state]
    by_token = kind in BY_TOKEN or kind is Handback
    event = EVENTS[kind](bench, task)
    if kind in (Submit, Recall) and state is TaskState.WAITING:
        return  # of a new task: see the next test
    if by_token and state is not TaskState.RUNNING:
        assert cell is IMPOSSIBLE  # a task in another state holds no lease, so the event is ignored before
        assert bench.feed(event) == []
        assert task.state is state
    elif cell is IMPOSSIBLE:
        with pytest.raises(IllegalEventError):
            bench.feed(event)
    elif cell is IGNORED:
        assert bench.feed(event) == []
        assert task.state is state
    else:
        bench.feed(event)
        assert task.state is AFTER[kind, state]


@pytest.mark.parametrize("kind", [Submit, Recall])
def test_new_task(kind: type) -> None:
    bench = Bench()
    known = bench.submit(bench.step("known"), "x")
    task = Task(bench.step("new"), known.pending)
    if kind is Recall:
        bench.feed(Recall(task, _record(bench, known).record, NOW))
    else:
        bench.feed(Submit(task, NOW))
    assert task.state is TaskState.READY


@pytest.mark.parametrize("kind", sorted(BY_TOKEN, key=lambda kind: kind.__name__), ids=lambda kind: kind.__name__)
def test_cell_of_an_attempt_whose_task_does_not_run_is_refused(kind: type) -> None:
    bench = Bench()
    task = _in_state(bench, TaskState.RUNNING)
    task.state = TaskState.SUCCEEDED  # what no event can bring about while the lease is held
    with pytest.raises(IllegalEventError, match="succeeded"):
        bench.feed(EVENTS[kind](bench, task))


def test_events_of_attempts_whose_lease_is_over_are_ignored() -> None:
    bench = Bench()
    task = _in_state(bench, TaskState.RUNNING)
    late = [EVENTS[kind](bench, task) for kind in (*BY_TOKEN, Handback)]
    bench.succeed(task)
    for event in late:
        assert bench.feed(event) == []
