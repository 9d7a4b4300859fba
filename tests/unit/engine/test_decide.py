"""From call to result: who a task is, when it is ready, what is recorded before anybody learns of it."""

from __future__ import annotations

import pytest

from headrace.engine import decide as module
from headrace.engine.events import CacheAnswer, Cancel, Event, Lookup, Record, Resolve, Start, Submit, Succeeded
from headrace.engine.rows import task_cache_key
from headrace.engine.tasks import Task
from headrace.identity.keys import inputs_digest, task_key
from headrace.model import states
from headrace.model.calls import PendingInput, PendingSource
from headrace.model.messages import Output
from headrace.model.policy import Resources
from headrace.model.records import ArtifactRecord, Edge, Input, Source, TaskId, TaskRecord
from headrace.model.states import AttemptState, IllegalTransitionError, RunState, TaskState, advance
from headrace.model.values import Preview
from headrace.stores.metadata.protocol import CacheEntry
from headrace.testing.engine import Bench, of_kind, output, packed, resolved, usage, written

# --- tables -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        (states.RUN_TRANSITIONS, RunState),
        (states.TASK_TRANSITIONS, TaskState),
        (states.ATTEMPT_TRANSITIONS, AttemptState),
    ],
)
def test_every_state_has_its_row_and_can_be_reached(table, kind) -> None:
    assert set(table) == set(kind)
    reachable = {state for following in table.values() for state in following}
    assert set(kind) - reachable <= {TaskState.WAITING, AttemptState.RUNNING}
    for state, following in table.items():
        for new in kind:
            if new in following:
                assert advance(table, state, new) is new
            else:
                with pytest.raises(IllegalTransitionError, match=f"{state} cannot become {new}"):
                    advance(table, state, new)


def test_every_event_has_its_row_in_the_table() -> None:
    from headrace.engine.events import Resized, Schedule
    from headrace.engine.reactions import STATES

    assert set(module.TABLE) | {Schedule, Resized} == set(Event.__args__)  # type: ignore[attr-defined]
    assert all(tuple(cells) == STATES for cells in module.TABLE.values())


# --- submit, dependencies, start ----------------------------------------------------------------------------------


def test_a_call_without_dependencies_is_ready_and_starts_when_scheduled() -> None:
    bench = Bench()
    step = bench.step("fit")
    task = bench.submit(step, "x")
    assert bench.commands == []
    assert (task.state, task.id) == (TaskState.READY, TaskId("fit", 1))
    assert bench.start() == [task]
    (start,) = bench.commands
    assert isinstance(start, Start)
    assert (start.task, start.token, start.ahead, start.gpus) == (task, task.token, False, ())
    assert task.state is TaskState.RUNNING
    assert task.attempt == 1


def test_the_key_is_step_inputs_and_occurrence() -> None:
    bench = Bench()
    step = bench.step("fit")
    tasks = [bench.submit(step, text) for text in ("x", "x", "y", "x")]
    assert [task.occurrence for task in tasks] == [0, 1, 0, 2]
    assert len({task.key for task in tasks}) == 4
    inputs = inputs_digest((Input("a0", packed("x")),))
    assert tasks[1].key == task_key("fit", inputs, 1)
    assert [task.id.number for task in tasks] == [1, 2, 3, 4]


def test_equal_inputs_of_other_steps_or_names_are_other_tasks() -> None:
    bench = Bench()
    one = bench.submit(bench.step("fit"), "x")
    other = bench.submit(bench.step("load"), "x")
    named = Task(bench.step("fit"), (PendingInput("other", packed("x")),))
    bench.feed(Submit(named, 0.0))
    assert (one.occurrence, other.occurrence, named.occurrence) == (0, 0, 0)
    assert len({one.key, other.key, named.key}) == 3


def test_a_dependent_waits_unidentified_for_all_it_takes() -> None:
    bench = Bench()
    step, join = bench.step(), bench.step("join")
    first, second = bench.submit(step, "1"), bench.submit(step, "2")
    both = bench.submit(join, first, second)
    assert (both.state, both.id.number, both.waiting_on) == (TaskState.WAITING, -1, 2)
    assert bench.start() == [first, second]
    bench.succeed(first)
    assert both.state is TaskState.WAITING
    bench.succeed(second)
    assert both.state is TaskState.READY
    assert both.id == TaskId("join", 1)
    assert bench.start() == [both]


def test_a_dependency_that_is_over_is_none() -> None:
    bench = Bench()
    first = bench.run(bench.submit(bench.step(), "1"))
    then = bench.submit(bench.step("then"), first)
    assert then.state is TaskState.READY


def test_taking_one_output_twice_waits_once_per_use_and_starts_once() -> None:
    bench = Bench()
    first = bench.submit(bench.step(), "1")
    twice = bench.submit(bench.step("then"), first, first)
    bench.run(first)
    assert twice.state is TaskState.READY
    assert bench.start() == [twice]


def test_a_value_passed_as_future_or_by_itself_is_the_same_task() -> None:
    bench = Bench()
    step, then = bench.step(), bench.step("then")
    source = bench.submit(step, "1")
    by_future = bench.submit(then, source)
    bench.start()
    bench.succeed(source, output("value"))
    by_value = bench.submit(then, "value")
    assert by_future.occurrence == 0
    assert by_value.occurrence == 1  # equal calls, so the same key but for its number


def test_a_container_of_futures_is_known_by_what_fills_it() -> None:
    def key(fill: str, template: str = "[_, _]") -> bytes:
        bench = Bench()
        source = bench.submit(bench.step(), "1")
        sources = (PendingSource(source, "result"), PendingSource(source, "result"))
        task = Task(bench.step("then"), (PendingInput("a", packed(template), sources),))
        bench.feed(Submit(task, 0.0))
        bench.start()
        bench.succeed(source, output(fill))
        (stored,) = task.inputs
        assert stored.template
        assert stored.sources == (Source("work", 1, "result", packed(fill).digest),) * 2
        return task.key

    assert key("v") == key("v")
    assert len({key("v"), key("w"), key("v", "(_, _)")}) == 3


# --- what is recorded ---------------------------------------------------------------------------------------------


def test_success_is_recorded_whole_and_before_it_is_told() -> None:
    bench = Bench()
    source = bench.run(bench.submit(bench.step(), "1"), output("one"))
    task = bench.submit(bench.step("fit", tags=("t",)), source, "x")
    bench.start()
    bench.clock.advance(5)
    bench.succeed(task, output("a", "model"), output("b", "score"), seconds=2.0)
    record, resolve = bench.commands
    assert isinstance(record, Record)
    assert record.urgent
    assert isinstance(resolve, Resolve)
    row, model, score, edge = record.writes
    assert isinstance(row, TaskRecord)
    assert (row.id, row.key, row.state, row.attempts) == (TaskId("fit", 1), task.key, TaskState.SUCCEEDED, 1)
    assert (row.code, row.tags, row.finished, row.started) == (b"v1", ("t",), 1005.0, 1000.0)
    assert row.inputs == (
        Input("a0", packed("one"), (Source("work", 1, "result", packed("one").digest),)),
        Input("a1", packed("x")),
    )
    attempt = row.lone_attempt  # it has no row of its own
    assert attempt is not None
    assert (attempt.attempt, attempt.state, attempt.started) == (1, AttemptState.SUCCEEDED, 1003.0)
    assert isinstance(model, ArtifactRecord)
    assert isinstance(score, ArtifactRecord)
    assert [(a.name, a.value) for a in (model, score)] == [("model", packed("a")), ("score", packed("b"))]
    assert edge == Edge(1, "work", 1, "fit", 1)


def test_a_finished_task_lets_go_of_everything() -> None:
    bench = Bench()
    task = bench.run(bench.submit(bench.step(), "1"))
    assert task.state is TaskState.SUCCEEDED
    assert not bench.state.live
    assert not bench.state.placement.slots
    assert (task.pending, task.inputs, task.dependents) == ((), (), [])


@pytest.mark.parametrize("length", [3000])
def test_long_chains_of_futures_fail_without_exhausting_the_stack(length: int) -> None:
    bench = Bench()
    step = bench.step()
    tasks = [bench.submit(step, "0")]
    for _ in range(length):
        tasks.append(bench.submit(step, tasks[-1]))
    bench.start()
    bench.fail(tasks[0])
    assert resolved(bench.commands) == tasks
    assert not bench.state.live
    problem = tasks[-1].problem
    assert problem is not None
    assert problem.upstream is tasks[0].problem


@pytest.mark.parametrize("length", [3000])
def test_long_chains_of_futures_are_reused_without_exhausting_the_stack(length: int) -> None:
    bench = Bench()
    first, then = bench.step("first"), bench.step("then")
    chain = [bench.run(bench.submit(first, "0"), output("head"))]
    for n in range(length):
        chain.append(bench.run(bench.submit(then, chain[-1]), output(str(n))))
    again = Bench(bench.recorded())
    changed, same = again.step("first", b"v2"), again.step("then")
    tasks = [again.submit(changed, "0")]
    for _ in range(length):
        tasks.append(again.submit(same, tasks[-1]))
    again.start()
    again.succeed(tasks[0], output("head"))
    assert resolved(again.commands) == tasks
    assert again.state.reused == length


def test_upstream_failure_is_told_to_all_below_with_its_root() -> None:
    bench = Bench()
    first = bench.submit(bench.step("load"), "1")
    middle = bench.submit(bench.step("fit"), first)
    last = bench.submit(bench.step("score"), middle, "x")
    bench.start()
    bench.fail(first, "ValueError: bad file")
    assert resolved(bench.commands) == [first, middle, last]
    for task in (middle, last):
        assert task.state is TaskState.FAILED
        assert task.problem is not None
        assert (task.problem.failure, task.problem.error) == ("upstream", "load/1 failed: ValueError: bad file")
        assert task.problem.upstream is first.problem
    rows = [w for w in written(bench.commands) if isinstance(w, TaskRecord)]
    assert [(row.id, row.state) for row in rows] == [(TaskId("load", 1), TaskState.FAILED)]  # the others have no name
    late = bench.submit(bench.step("late"), last)
    assert late.state is TaskState.FAILED
    assert resolved(bench.commands) == [late]
    assert not bench.state.live


def test_a_task_that_failed_upstream_is_over_once_however_many_more_inputs_end() -> None:
    bench = Bench()
    step = bench.step()
    good, bad = bench.submit(step, "1"), bench.submit(step, "2")
    both = bench.submit(bench.step("join"), good, bad)
    bench.start()
    bench.fail(bad)
    bench.succeed(good)
    assert resolved(bench.log) == [bad, both, good]


# --- the cache ----------------------------------------------------------------------------------------------------


def test_a_caching_step_asks_first() -> None:
    bench = Bench()
    task = bench.submit(bench.step(cache=True), "x")
    (lookup,) = of_kind(bench.commands, Lookup)
    assert lookup.task is task
    assert bench.start() == []
    bench.feed(CacheAnswer(task, None, "", 1.0))
    assert bench.start() == [task]
    bench.succeed(task)
    (entry,) = [w for w in written(bench.commands) if isinstance(w, CacheEntry)]
    row = next(w for w in written(bench.commands) if isinstance(w, TaskRecord))
    assert entry.key == row.cache_key != b""


def test_a_result_that_is_not_reusable_is_no_entry() -> None:
    bench = Bench(use_cache=False)
    task = bench.submit(bench.step(cache=True), "x")
    bench.start()
    bench.feed(Succeeded(task.token, (output("fallback"),), usage(1.0, 2.0), 2.0, reusable=False))
    row, artifact = written(bench.commands)
    assert isinstance(row, TaskRecord) and row.cache_key
    assert isinstance(artifact, ArtifactRecord)
    assert resolved(bench.commands) == [task]


def test_a_cached_result_is_recorded_as_reused() -> None:
    bench = Bench()
    source = bench.run(bench.submit(bench.step(), "1"))
    task = bench.submit(bench.step("fit", cache=True), source)
    bench.feed(CacheAnswer(task, (output("old"),), "train/1/fit/3", 1.0))
    record, resolve = bench.commands
    assert isinstance(record, Record)
    assert record.urgent
    assert isinstance(resolve, Resolve)
    row, artifact, edge = record.writes
    assert isinstance(row, TaskRecord)
    assert (row.state, row.reused_from, row.attempts) == (TaskState.SUCCEEDED, "train/1/fit/3", 0)
    assert isinstance(artifact, ArtifactRecord)
    assert isinstance(edge, Edge)
    assert bench.start() == []


def test_the_cache_is_not_asked_when_told_so_but_fed() -> None:
    bench = Bench(use_cache=False)
    task = bench.submit(bench.step(cache=True), "x")
    assert bench.commands == []
    bench.run(task)
    assert [w for w in written(bench.commands) if isinstance(w, CacheEntry)]


def test_the_cache_key_has_step_code_inputs_and_environment() -> None:
    def key(name: str, code: bytes, value: str, environment: bytes) -> bytes:
        bench = Bench()
        step = bench.step(name, code, cache=True)
        step.environment = environment
        return task_cache_key(bench.submit(step, value))

    base = ("fit", b"v1", "x", b"e")
    assert key(*base) == key(*base)
    others = [("fat", b"v1", "x", b"e"), ("fit", b"v2", "x", b"e"), ("fit", b"v1", "y", b"e"), ("fit", b"v1", "x", b"")]
    assert len({key(*base), *(key(*other) for other in others)}) == 5


def test_a_cache_answer_to_a_cancelled_task_is_ignored() -> None:
    bench = Bench()
    task = bench.submit(bench.step(cache=True), "x")
    bench.feed(Cancel(task, 1.0))
    assert bench.feed(CacheAnswer(task, (output("old"),), "o", 1.0)) == []
    assert task.state is TaskState.CANCELLED


def test_resources_default_to_one_core() -> None:
    assert Bench().step().policy.resources == Resources(1.0, 0, 0)


def test_an_output_that_is_an_input_and_was_not_described_has_the_preview_of_that_input() -> None:
    bench = Bench()
    made = bench.run(bench.submit(bench.step("make"), "x"), output("frame", "frame"), output("other", "other"))
    sources = (
        PendingInput("a", None, (PendingSource(made, "other"),)),
        PendingInput("b", None, (PendingSource(made, "frame"),)),
    )
    passed = Task(bench.step("pass"), sources)
    bench.feed(Submit(passed, bench.clock.now))
    bare = [Output(name, packed(name), Preview("")) for name in ("frame", "new")]
    own = Output("mine", packed("other"), Preview("bytes", "own"))
    bench.run(passed, *bare, own)
    rows = [one for one in written(bench.commands) if isinstance(one, ArtifactRecord)]
    assert [one.preview for one in rows] == [Preview("str", "frame"), Preview(""), Preview("bytes", "own")]
