"""Sessions after the first: what is recognised, what runs again, how it is numbered."""

from __future__ import annotations

import msgspec
import pytest

from headrace.engine.events import Record
from headrace.engine.state import Recorded
from headrace.model.calls import StepInfo
from headrace.model.policy import Retry
from headrace.model.records import AttemptRecord, TaskId, TaskRecord, task_number
from headrace.model.states import TaskState
from headrace.testing.engine import Bench, attempts, of_kind, output, resolved, written


def first_session() -> dict[bytes, Recorded]:
    """Two loads and a fit of the first one's result; the second load failed."""
    bench = Bench()
    load, fit = bench.step("load"), bench.step("fit")
    first, second = bench.submit(load, "x"), bench.submit(load, "y")
    then = bench.submit(fit, first)
    bench.start()
    bench.succeed(first, output("data"))
    bench.fail(second)
    bench.run(then, output("model"))
    return bench.recorded()


def test_what_finished_is_not_run_again() -> None:
    bench = Bench(first_session(), session=2)
    load, fit = bench.step("load"), bench.step("fit")
    first = bench.submit(load, "x")
    assert resolved(bench.commands) == [first]
    assert written(bench.commands) == []
    assert (first.state, first.outputs, first.id) == (TaskState.SUCCEEDED, (output("data"),), TaskId("load", 1))
    then = bench.submit(fit, first)
    assert resolved(bench.commands) == [then]
    assert then.outputs == (output("model"),)
    assert bench.state.reused == 2
    assert not bench.state.live


def test_what_failed_runs_again_under_its_name_with_all_its_retries() -> None:
    bench = Bench(first_session(), session=2)
    task = bench.submit(bench.step("load", retry=Retry(1)), "y")
    assert bench.start() == [task]
    assert (task.id, task.attempt) == (TaskId("load", 2), 2)
    bench.fail(task)
    assert task.state is TaskState.DELAYED  # the attempt of the first session does not use up this one's retry


def test_new_calls_get_new_numbers() -> None:
    bench = Bench(first_session(), session=2)
    load = bench.step("load")
    new, known = bench.submit(load, "z"), bench.submit(load, "y")
    assert (new.id.number, known.id.number) == (3, 2)
    bench.run(new)
    (row,) = [w for w in written(bench.commands) if isinstance(w, TaskRecord)]
    assert row.session == 2


def test_changed_code_runs_again_and_what_follows_only_when_its_result_changed() -> None:
    for data, again in (("data", False), ("other", True)):
        bench = Bench(first_session(), session=2)
        load, fit = bench.step("load", b"v2"), bench.step("fit")
        first = bench.submit(load, "x")
        then = bench.submit(fit, first)
        assert bench.start() == [first]
        bench.succeed(first, output(data))
        assert (then.state is TaskState.SUCCEEDED) != again
        assert then.id == TaskId("fit", 2 if again else 1)


def test_changed_code_is_kept_when_asked_to() -> None:
    bench = Bench(first_session(), session=2, reuse_changed=True)
    first = bench.submit(bench.step("load", b"v2"), "x")
    assert resolved(bench.commands) == [first]


@pytest.mark.parametrize("state", [TaskState.RUNNING, TaskState.DELAYED, TaskState.CANCELLED, TaskState.FAILED])
def test_what_was_under_way_runs_again(state: TaskState) -> None:
    left = {
        key: Recorded(msgspec.structs.replace(one.record, state=state), None) for key, one in first_session().items()
    }
    bench = Bench(left, session=2)
    task = bench.submit(bench.step("load"), "x")
    assert bench.start() == [task]
    assert task.id == TaskId("load", 1)


def test_attempt_that_was_kept_with_its_task_is_recorded_before_that_row_is_replaced() -> None:
    bench = Bench(first_session(), session=2)
    task = bench.submit(bench.step("load", b"v2"), "x")
    assert written(bench.log) == []
    bench.start()
    bench.succeed(task, output("data"))
    [record] = [one for one in of_kind(bench.commands, Record) if one.writes]
    assert [(one.attempt, one.session) for one in attempts(bench.log)] == [(1, 1), (2, 2)]
    before, row = record.writes[:2]  # in one commit
    assert isinstance(before, AttemptRecord)
    assert isinstance(row, TaskRecord)
    assert (before.attempt, row.attempts, row.success is not None) == (1, 2, True)
    assert task.earlier is None


def test_outputs_that_are_gone_are_made_again() -> None:
    left = {key: Recorded(one.record, None) for key, one in first_session().items()}
    bench = Bench(left, session=2)
    task = bench.submit(bench.step("load"), "x")
    assert bench.start() == [task]


def test_a_stale_task_that_is_needed_again_says_so() -> None:
    left = {
        key: Recorded(msgspec.structs.replace(one.record, state=TaskState.STALE), one.outputs)
        for key, one in first_session().items()
    }
    bench = Bench(left, session=3)
    task = bench.submit(bench.step("load"), "x")
    assert task.state is TaskState.SUCCEEDED
    (row,) = written(bench.commands)
    assert isinstance(row, TaskRecord)
    assert (row.id, row.state, row.session, row.attempts) == (task.id, TaskState.SUCCEEDED, 3, 1)


def test_equal_calls_are_recognised_one_by_one() -> None:
    bench = Bench()
    step = bench.step()
    for n in range(3):
        bench.run(bench.submit(step, "same"), output(str(n)))
    again = Bench(bench.recorded(), session=2)
    step = again.step()
    tasks = [again.submit(step, "same") for _ in range(4)]
    assert [task.outputs for task in tasks] == [(output("0"),), (output("1"),), (output("2"),), ()]
    assert [task.id.number for task in tasks] == [1, 2, 3, 4]
    assert again.start() == [tasks[3]]


def test_equal_calls_whose_inputs_come_in_another_order_share_their_results() -> None:
    def session(bench: Bench, order: tuple[int, int]) -> list[bytes]:
        load, fit = bench.step("load"), bench.step("fit")
        loads = [bench.submit(load, "a"), bench.submit(load, "b")]
        fits = [bench.submit(fit, one) for one in loads]
        if bench.start():
            for n in order:
                bench.succeed(loads[n], output("equal"))
            bench.start()
            for fit_task in fits:
                bench.succeed(fit_task, output("model"))
        assert all(task.state is TaskState.SUCCEEDED for task in fits)
        return sorted(task.key for task in fits)

    first = Bench()
    keys = session(first, (1, 0))
    second = Bench(first.recorded(), session=2)
    assert session(second, (0, 1)) == keys
    assert second.state.reused == 4


def test_a_reused_cached_result_keeps_its_origin() -> None:
    left = {
        key: Recorded(msgspec.structs.replace(one.record, reused_from="train/1/load/7"), one.outputs)
        for key, one in first_session().items()
    }
    bench = Bench(left, session=2)
    assert bench.submit(bench.step("load"), "x").origin == "train/1/load/7"


def counted(bench: Bench, name: str) -> StepInfo:
    """A step whose tasks are numbered with those of all others of its kind."""
    step = bench.step(name)
    step.counter = "*"
    return step


def test_steps_with_one_counter_are_numbered_together() -> None:
    bench = Bench()
    load, fit, alone = counted(bench, "load"), counted(bench, "fit"), bench.step("alone")
    calls = [(load, "a"), (fit, "a"), (alone, "a"), (load, "b"), (alone, "b"), (fit, "b")]
    found = [str(bench.submit(step, value).id) for step, value in calls]
    assert found == ["load/1", "fit/2", "alone/1", "load/3", "alone/2", "fit/4"]


def test_nodes_of_a_gang_share_the_number_of_the_first() -> None:
    bench = Bench()
    step = counted(bench, "train")
    gang = bench.gang(step, "0", "1", "2")
    assert [str(one.id) for one in gang] == ["train/1", "train/1_node_1", "train/1_node_2"]
    assert str(bench.submit(step, "3").id) == "train/2"
    assert [task_number(text) for text in ("1_node_2", "7", "_node_1", "1_node_", "x")] == [
        2_000_000_001,
        7,
        *[None] * 3,
    ]


def test_a_later_session_counts_on_from_the_highest_number() -> None:
    bench = Bench()
    load, fit = counted(bench, "load"), counted(bench, "fit")
    bench.start()
    first, second = bench.submit(load, "x"), bench.submit(fit, "x")
    bench.start()
    bench.run(first, output("data"))
    bench.run(second, output("model"))
    again = Bench(bench.recorded(), session=2)
    load, fit, late = counted(again, "load"), counted(again, "fit"), counted(again, "late")
    found = [str(again.submit(step, value).id) for step, value in ((late, "x"), (load, "x"), (fit, "y"), (fit, "x"))]
    assert found == ["late/3", "load/1", "fit/4", "fit/2"]


def test_what_another_run_finished_is_counted_anew() -> None:
    recorded = {
        key: msgspec.structs.replace(one, origin=f"other/1/{one.record.id}") for key, one in first_session().items()
    }
    bench = Bench(recorded)
    load, fit = counted(bench, "load"), counted(bench, "fit")
    late = bench.submit(load, "new")
    first = bench.submit(load, "x")
    then = bench.submit(fit, first)
    assert [str(one.id) for one in (late, first, then)] == ["load/1", "load/2", "fit/3"]
    assert (first.origin, then.origin) == ("other/1/load/1", "other/1/fit/1")
