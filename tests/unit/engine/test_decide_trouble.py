"""Failures, retries, time limits, memory, cancelling, lost inputs, voices from the past."""

from __future__ import annotations

import pytest

from headrace.engine.decide import CANCEL_GRACE, MAX_LOSSES
from headrace.engine.events import (
    AttemptFailed,
    Cancel,
    Due,
    Event,
    Exceeded,
    Handback,
    InputLost,
    Kill,
    Later,
    Promote,
    Recall,
    Record,
    Resolve,
    Start,
    Succeeded,
    TimeOver,
)
from headrace.engine.tasks import Task
from headrace.model.calls import PendingInput
from headrace.model.outcomes import Raised
from headrace.model.policy import Resources, Retry
from headrace.model.records import AttemptRecord, TaskId, TaskRecord
from headrace.model.states import AttemptState, Failure, TaskState
from headrace.testing.engine import Bench, argument, attempts, of_kind, output, packed, resolved, usage, written


def rows(bench: Bench) -> list[tuple[str, str]]:
    """``(kind, state)`` of all that was written."""
    found = [w for w in written(bench.log) if isinstance(w, TaskRecord | AttemptRecord)]
    return [("task" if isinstance(w, TaskRecord) else f"attempt {w.attempt}", str(w.state)) for w in found]


def due(bench: Bench) -> float:
    """Let the one pending retry come due; returns how long it was delayed."""
    (later,) = of_kind(bench.commands, Later)
    assert isinstance(later.event, Due)
    delay = later.at - bench.clock.now
    bench.clock.advance(delay)
    bench.feed(later.event)
    return delay


# --- failing and trying again -------------------------------------------------------------------------------------


def test_a_failure_is_recorded_before_it_is_told() -> None:
    bench = Bench()
    task = bench.submit(bench.step(), "x")
    bench.start()
    bench.fail(task, "ValueError: no", traceback="tb", exception=packed("e"), exit_code=3)
    first, second, resolve = bench.commands
    assert isinstance(first, Record)
    assert isinstance(second, Record)
    assert first.urgent
    assert second.urgent
    assert isinstance(resolve, Resolve)
    (attempt,), (row,) = first.writes, second.writes
    assert isinstance(attempt, AttemptRecord)
    assert (attempt.state, attempt.failure, attempt.error) == (AttemptState.FAILED, "error", "ValueError: no")
    assert (attempt.traceback, attempt.exception, attempt.exit_code) == ("tb", packed("e"), 3)
    assert isinstance(row, TaskRecord)
    assert (row.state, row.attempts, row.error) == (TaskState.FAILED, 1, "ValueError: no")
    assert row.finished == bench.clock.now
    assert task.problem is not None
    assert task.problem.error == "ValueError: no"


def test_retries_wait_longer_each_time_and_end() -> None:
    bench = Bench()
    retry = Retry(count=4, delay=1.0, backoff=3.0, max_delay=10.0)
    task = bench.submit(bench.step(retry=retry), "x")
    delays = []
    for _ in range(4):
        assert bench.start() == [task]
        bench.fail(task)
        assert task.state is TaskState.DELAYED
        assert bench.start() == []
        bench.fail(task)  # said twice: the second time it is ignored
        assert bench.commands == []
        bench.commands = bench.log[-1:]
        delays.append(due(bench))
    assert delays == [1.0, 3.0, 9.0, 10.0]
    bench.start()
    bench.fail(task)
    assert task.state is TaskState.FAILED
    assert task.attempt == 5
    expected = [pair for n in range(1, 5) for pair in ((f"attempt {n}", "failed"), ("task", "delayed"))]
    assert rows(bench) == [*expected, ("attempt 5", "failed"), ("task", "failed")]


def test_a_retry_that_succeeds() -> None:
    bench = Bench()
    task = bench.submit(bench.step(retry=Retry(1)), "x")
    bench.start()
    bench.fail(task)
    assert not resolved(bench.commands)
    assert due(bench) == 0.0
    bench.run(task)
    assert resolved(bench.commands) == [task]
    assert rows(bench)[2:] == [("task", "succeeded")]
    assert [(one.attempt, one.state) for one in attempts(bench.log)] == [(1, "failed"), (2, "succeeded")]
    assert task.problem is None


def test_jitter_spreads_and_is_the_same_every_time() -> None:
    def delays() -> list[float]:
        bench = Bench(capacity=Resources(cpu=20))
        step = bench.step(retry=Retry(count=1, delay=10.0, jitter=0.5))
        found = []
        for n in range(20):
            task = bench.submit(step, str(n))
            bench.start()
            bench.fail(task)
            found.append(of_kind(bench.commands, Later)[0].at - bench.clock.now)
        return found

    first = delays()
    assert first == delays()
    assert all(5.0 <= delay <= 15.0 for delay in first)
    assert len(set(first)) == 20
    assert min(first) < 8.0 < 12.0 < max(first)


@pytest.mark.parametrize(
    ("on", "classes", "again"),
    [
        ((), ("builtins.ValueError",), True),
        (("builtins.ValueError",), ("builtins.ValueError", "builtins.Exception"), True),
        (("ValueError",), ("builtins.ValueError", "builtins.Exception"), True),
        (("Exception",), ("builtins.ValueError", "builtins.Exception"), True),
        (("OSError",), ("builtins.ValueError", "builtins.Exception"), False),
        (("headrace.TaskCrashedError",), ("headrace.TaskCrashedError", "builtins.Exception"), True),
        (("mine.ValueError",), ("builtins.ValueError",), False),
        (("OSError",), (), False),
    ],
)
def test_retries_are_for_the_exceptions_they_name(on: tuple, classes: tuple, again: bool) -> None:
    bench = Bench()
    task = bench.submit(bench.step(retry=Retry(count=1, on=on)), "x")
    bench.start()
    bench.fail(task, classes=classes)
    assert task.state is (TaskState.DELAYED if again else TaskState.FAILED)


def test_running_out_of_memory_asks_for_more_but_not_for_more_than_there_is() -> None:
    bench = Bench(capacity=Resources(cpu=2, memory=1000))
    task = bench.submit(bench.step(memory=300, retry=Retry(count=3, memory_factor=2.0)), "x")
    asked = []
    for _ in range(3):
        bench.start()
        asked.append(bench.state.placement.slots[task.token].resources.memory)
        bench.feed(Exceeded(task.token, 5000, bench.clock.now))
        assert of_kind(bench.commands, Kill) == [Kill(task.token, 0.0)]
        bench.feed(Exceeded(task.token, 5000, bench.clock.now))
        assert bench.commands == []
        bench.fail(task, failure=Failure.MEMORY, classes=("headrace.TaskOutOfMemoryError",))
        due(bench)
    bench.start()
    asked.append(bench.state.placement.slots[task.token].resources.memory)
    assert asked == [300, 600, 1000, 1000]


def test_other_failures_do_not_ask_for_more_memory() -> None:
    bench = Bench()
    task = bench.submit(bench.step(memory=300, retry=Retry(count=1, memory_factor=2.0)), "x")
    bench.start()
    bench.fail(task)
    due(bench)
    bench.start()
    assert bench.state.placement.slots[task.token].resources.memory == 300


def test_a_time_limit_kills_and_counts_as_failure() -> None:
    bench = Bench()
    task = bench.submit(bench.step(timeout=30.0, retry=Retry(1)), "x")
    bench.start()
    (later,) = of_kind(bench.commands, Later)
    assert later == Later(1030.0, TimeOver(task.token, 1000.0))
    bench.feed(later.event)
    assert bench.commands == [Kill(task.token, 0.0)]
    bench.fail(task, failure=Failure.TIMEOUT)
    due(bench)
    assert bench.start() == [task]
    first_limit = later.event
    assert bench.feed(first_limit) == []  # of the first attempt, which is over
    assert task.state is TaskState.RUNNING


def test_a_result_that_beats_the_kill_counts() -> None:
    bench = Bench()
    task = bench.submit(bench.step(timeout=30.0), "x")
    bench.start()
    bench.feed(TimeOver(task.token, 1030.0))
    bench.succeed(task)
    assert task.state is TaskState.SUCCEEDED
    assert bench.feed(Exceeded(task.token, 1, 1031.0)) == []


# --- cancelling ---------------------------------------------------------------------------------------------------


def test_cancelling_what_does_not_run_ends_it_at_once() -> None:
    bench = Bench()
    step = bench.step(retry=Retry(1, delay=5.0))
    ready, delayed = bench.submit(step, "1"), bench.submit(step, "2")
    waiting = bench.submit(step, ready)
    bench.state.options
    bench.feed(Cancel(ready, 1.0))
    assert resolved(bench.commands) == [ready, waiting]
    assert [task.state for task in (ready, waiting)] == [TaskState.CANCELLED] * 2
    bench.start()
    bench.fail(delayed)
    later = of_kind(bench.commands, Later)[0]
    bench.feed(Cancel(delayed, 2.0))
    assert resolved(bench.commands) == [delayed]
    assert bench.feed(later.event) == []
    assert bench.feed(Cancel(delayed, 3.0)) == []
    assert not bench.state.live


def test_cancelling_what_runs_kills_and_waits_for_its_end() -> None:
    bench = Bench()
    task = bench.submit(bench.step(retry=Retry(3)), "x")
    then = bench.submit(bench.step("then"), task)
    bench.start()
    bench.feed(Cancel(task, 1.0))
    assert bench.commands == [Kill(task.token, CANCEL_GRACE)]
    assert task.state is TaskState.RUNNING  # until its end is confirmed
    assert bench.feed(Cancel(task, 1.5)) == []
    bench.fail(task, failure="killed")
    assert resolved(bench.commands) == [task, then]
    assert [t.state for t in (task, then)] == [TaskState.CANCELLED] * 2
    assert rows(bench) == [("attempt 1", "cancelled"), ("task", "cancelled")]
    assert then.problem is not None
    assert then.problem.failure == "cancelled"


def test_a_result_that_beats_the_cancellation_counts() -> None:
    bench = Bench()
    task = bench.submit(bench.step(), "x")
    bench.start()
    bench.feed(Cancel(task, 1.0))
    bench.succeed(task)
    assert task.state is TaskState.SUCCEEDED


def test_cancelling_all_ends_all_and_lets_nothing_new_begin() -> None:
    bench = Bench(capacity=Resources(cpu=1))
    step = bench.step(retry=Retry(3))
    running, ready = bench.submit(step, "1"), bench.submit(step, "2")
    waiting = bench.submit(step, running)
    bench.start()
    bench.feed(Cancel(None, 1.0))
    assert set(resolved(bench.commands)) == {ready, waiting}
    assert of_kind(bench.commands, Kill) == [Kill(running.token, CANCEL_GRACE)]
    late = bench.submit(step, "3")
    assert resolved(bench.commands) == [late]
    bench.fail(running, failure="killed")
    assert {t.state for t in (running, ready, waiting, late)} == {TaskState.CANCELLED}
    assert bench.start() == []
    assert not bench.state.live
    assert not bench.state.placement.slots


def test_no_retry_while_the_run_is_being_cancelled() -> None:
    bench = Bench()
    task = bench.submit(bench.step(retry=Retry(3)), "x")
    bench.start()
    bench.state.cancelling = True
    bench.fail(task)
    assert task.state is TaskState.FAILED


# --- lost inputs --------------------------------------------------------------------------------------------------


def lose_input(bench: Bench) -> tuple[Task, Task, Task]:
    """A task that runs on an output which turns out to be gone: ``(producer as it was, consumer, producer again)``."""
    step, then = bench.step("load"), bench.step("fit")
    old = bench.run(bench.submit(step, "x"), output("data"))
    row = next(w for w in written(bench.commands) if isinstance(w, TaskRecord))
    consumer = bench.submit(then, old, "depth")
    bench.start()
    again = Task(step, (argument("a0", "x"),))
    bench.feed(Recall(again, row, bench.clock.now))
    bench.feed(InputLost(consumer.token, again, old.id, "result", bench.clock.now))
    return old, consumer, again


def test_the_producer_of_a_lost_input_runs_again_and_then_its_consumer() -> None:
    bench = Bench()
    old, consumer, again = lose_input(bench)
    assert (again.id, again.key, again.state) == (old.id, old.key, TaskState.READY)
    assert (consumer.state, consumer.attempt) == (TaskState.WAITING, 0)
    key = consumer.key
    assert bench.start() == [again]
    assert again.attempt == 2
    bench.succeed(again, output("data"))
    assert consumer.state is TaskState.READY
    assert bench.start() == [consumer]
    assert (consumer.id, consumer.key, consumer.attempt) == (TaskId("fit", 1), key, 1)
    bench.succeed(consumer)
    assert [source.task for one in consumer.pending for source in one.sources] == []
    assert resolved(bench.log) == [old, again, consumer]


def test_the_consumer_takes_what_the_producer_made_the_second_time() -> None:
    bench = Bench()
    _, consumer, again = lose_input(bench)
    bench.start()
    bench.succeed(again, output("other data"))
    assert consumer.inputs[0].value == packed("other data")
    assert consumer.pending[0].sources[0].task is again
    assert consumer.pending[1] == PendingInput("a1", packed("depth"))


def test_a_producer_that_fails_the_second_time_fails_its_consumer() -> None:
    bench = Bench()
    _, consumer, again = lose_input(bench)
    bench.start()
    bench.fail(again, "ValueError: gone")
    assert consumer.state is TaskState.FAILED
    assert consumer.problem is not None
    assert consumer.problem.error == "load/1 failed: ValueError: gone"
    assert not bench.state.live


def test_an_input_that_is_lost_again_and_again_fails_the_task() -> None:
    bench = Bench()
    old, consumer, again = lose_input(bench)
    row = next(w for w in written(bench.log) if isinstance(w, TaskRecord) and w.id == old.id)
    for _ in range(MAX_LOSSES):
        bench.run(again, output("data"))
        assert bench.start() == [consumer]
        again = Task(again.step, (argument("a0", "x"),))
        bench.feed(Recall(again, row, bench.clock.now))
        bench.feed(InputLost(consumer.token, again, old.id, "result", bench.clock.now))
    assert consumer.state is TaskState.FAILED
    assert consumer.problem is not None
    assert consumer.problem.failure == Failure.INPUT
    assert "load/1" in consumer.problem.error


def test_a_cancelled_task_whose_input_is_lost_does_not_come_back() -> None:
    for what in ("task", "all"):
        bench = Bench()
        step, then = bench.step("load"), bench.step("fit")
        old = bench.run(bench.submit(step, "x"))
        row = next(w for w in written(bench.commands) if isinstance(w, TaskRecord))
        consumer = bench.submit(then, old)
        bench.start()
        bench.feed(Cancel(consumer if what == "task" else None, 1.0))
        again = Task(step, (argument("a0", "x"),))
        bench.feed(Recall(again, row, 2.0))
        bench.feed(InputLost(consumer.token, again, old.id, "result", 2.0))
        assert consumer.state is TaskState.CANCELLED
        assert (again.state is TaskState.CANCELLED) == (what == "all")
        assert consumer not in bench.state.live


# --- voices from the past -----------------------------------------------------------------------------------------


def test_messages_for_a_lease_that_ended_are_ignored() -> None:
    bench = Bench()
    first = bench.submit(bench.step(retry=Retry(1)), "x")
    bench.start()
    old = first.token
    bench.fail(first)
    due(bench)
    bench.start()
    producer = bench.submit(bench.step("other"), "y")
    now = bench.clock.now
    past: list[Event] = [
        Succeeded(old, (output("late"),), usage(0, 1), now),
        AttemptFailed(old, Raised("late"), now),
        InputLost(old, producer, producer.id, "result", now),
        Handback((old,), now),
        Promote(old, now),
        TimeOver(old, now),
        Exceeded(old, 1, now),
        Due(first, now),
        Succeeded(99, (), usage(0, 1), now),
    ]
    slots = dict(bench.state.placement.slots)
    for event in past:
        assert bench.feed(event) == []
        assert bench.state.placement.slots == slots
        assert (first.state, first.attempt) == (TaskState.RUNNING, 2)
    assert bench.state.live == {first, producer}
    assert of_kind(bench.log, Start)[-1].token == first.token


@pytest.mark.parametrize("skew", [-60.0, 0.0, 60.0])
@pytest.mark.parametrize("fails", [False, True])
def test_times_of_a_worker_with_another_clock_are_put_in_terms_of_ours(skew: float, fails: bool) -> None:
    bench = Bench()
    bench.clock.now = 1000.0
    task = bench.submit(bench.step(), "x")
    bench.start()
    bench.clock.now = 1005.0
    cost = usage(1001.0 + skew, 1004.0 + skew)
    if fails:
        bench.feed(AttemptFailed(task.token, Raised("no"), 1005.0, usage=cost))
    else:
        bench.feed(Succeeded(task.token, (output("made"),), cost, 1005.0))
    [ended] = attempts(bench.log)
    assert ended.finished is not None
    assert ended.started >= 1000.0
    assert ended.finished == (1005.0 if skew else 1004.0)
    assert ended.finished - ended.started == 3.0
    last = [w for w in written(bench.log) if isinstance(w, TaskRecord)][-1]
    assert last.finished is not None
    assert last.created <= (last.started or 0.0) <= last.finished <= 1005.0


def test_a_run_that_stops_at_a_failure_starts_nothing_after_one() -> None:
    bench = Bench(capacity=Resources(cpu=1), stops_at_failure=True)
    again, first, second = bench.step("again", retry=Retry(1)), bench.step("first"), bench.step("second")
    tasks = [bench.submit(one, "x") for one in (again, first, second)]
    assert bench.start() == [tasks[0]]
    bench.fail(tasks[0])  # for now, not for good
    (later,) = of_kind(bench.commands, Later)
    assert bench.start() == [tasks[1]]
    bench.fail(tasks[1])
    assert bench.start() == []
    bench.submit(second, "y")
    bench.clock.advance(later.at - bench.clock.now)
    bench.feed(later.event)
    assert bench.start() == []
