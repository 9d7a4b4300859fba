"""Gangs: tasks that start together or not at all, and succeed together or not at all."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from headrace.engine.events import (
    CacheAnswer,
    Cancel,
    Due,
    Handback,
    InputLost,
    Kill,
    Later,
    Lookup,
    Resized,
    Start,
)
from headrace.engine.placement import PATIENCE
from headrace.engine.tasks import Task
from headrace.model.calls import Call
from headrace.model.messages import Done, Execute, Failed
from headrace.model.policy import Resources, Retry
from headrace.model.records import AttemptRecord, node_number
from headrace.model.states import AttemptState, TaskState
from headrace.model.workers import Capacity
from headrace.stores.metadata.protocol import CacheEntry
from headrace.testing.engine import Bench, Rig, of_kind, output, resolved, written

RUNNING, READY, FAILED, CANCELLED = TaskState.RUNNING, TaskState.READY, TaskState.FAILED, TaskState.CANCELLED


def states(tasks: list[Task]) -> list[TaskState]:
    return [task.state for task in tasks]


def test_a_gang_starts_whole_or_not_at_all() -> None:
    bench = Bench(capacity=Resources(cpu=3))
    single = bench.submit(bench.step("single"), "a")
    bench.start()
    gang = bench.gang(bench.step("gang"), "a", "b", "c")
    assert bench.start() == []
    bench.succeed(single)
    assert bench.start() == gang
    assert [start.task.rank for start in of_kind(bench.commands, Start)] == [0, 1, 2]


def test_small_tasks_pass_a_gang_that_waits_until_it_has_waited_for_long() -> None:
    bench = Bench(capacity=Resources(cpu=2))
    step = bench.step("single")
    first = bench.submit(step, "0")
    bench.start()
    gang = bench.gang(bench.step("gang"), "a", "b")
    second = bench.submit(step, "1")
    assert bench.start() == [second]
    bench.clock.advance(PATIENCE + 0.1)
    third = bench.submit(step, "2")
    bench.succeed(first)
    assert bench.start() == []
    bench.succeed(second)
    assert bench.start() == gang
    for one in gang:
        bench.succeed(one)
    assert bench.start() == [third]


def test_two_gangs_that_do_not_fit_together_run_one_after_the_other() -> None:
    bench = Bench(capacity=Resources(cpu=3))
    step = bench.step("gang")
    first, second = bench.gang(step, "a", "b"), bench.gang(step, "c", "d")
    assert bench.start() == first
    assert bench.start() == []
    for one in first:
        bench.succeed(one)
    assert bench.start() == second


def answer(task: Task, run_id: int, number: int) -> CacheAnswer:
    """The cache has a result for ``task``, of that task of that run."""
    entry = CacheEntry(b"k" * 32, run_id, "gang", number, 1.0)
    return CacheAnswer(task, (output("made before"),), f"train/{run_id}/gang/{number}", 2.0, entry)


def test_a_gang_is_taken_from_the_cache_once_all_its_tasks_are_there() -> None:
    bench = Bench(capacity=Resources(cpu=1))  # also where it could not run
    gang = bench.gang(bench.step("gang", cache=True), "a", "b", "c")
    after = bench.submit(bench.step("after"), gang[2])
    assert [one.task for one in of_kind(bench.log, Lookup)] == gang
    for rank, task in enumerate(gang):
        assert states(gang) == [TaskState.WAITING] * 3
        bench.feed(answer(task, 7, node_number(4, rank)))
    assert states(gang) == [TaskState.SUCCEEDED] * 3
    assert [task.origin for task in gang] == [f"train/7/gang/{node_number(4, rank)}" for rank in range(3)]
    assert bench.start() == [after]


def test_a_gang_of_which_the_cache_has_some_tasks_runs_whole() -> None:
    bench = Bench()
    gang = bench.gang(bench.step("gang", cache=True), "a", "b")
    bench.feed(answer(gang[0], 7, 4))
    bench.feed(CacheAnswer(gang[1], None, "", 2.0))
    assert bench.start() == gang


def test_a_gang_takes_nothing_from_two_gangs() -> None:
    for entries in (((7, 4), (8, node_number(4, 1))), ((7, 4), (7, node_number(5, 1)))):
        bench = Bench()
        gang = bench.gang(bench.step("gang", cache=True), "a", "b")
        for task, (run_id, number) in zip(gang, entries, strict=True):
            bench.feed(answer(task, run_id, number))
        assert bench.start() == gang


def test_a_gang_that_is_cancelled_between_answers_of_the_cache_stays_cancelled() -> None:
    bench = Bench()
    gang = bench.gang(bench.step("gang", cache=True), "a", "b")
    bench.feed(answer(gang[0], 7, 4))
    bench.feed(Cancel(gang[0], 2.0))
    assert states(gang) == [CANCELLED, CANCELLED]
    bench.feed(answer(gang[1], 7, node_number(4, 1)))
    assert states(gang) == [CANCELLED, CANCELLED]


def test_results_count_once_all_have_succeeded() -> None:
    bench = Bench()
    gang = bench.gang(bench.step("gang"), "a", "b")
    after = bench.submit(bench.step("after"), gang[0])
    bench.start()
    bench.succeed(gang[0])
    assert written(bench.commands) == [] and states(gang) == [RUNNING, RUNNING]
    assert after.state is TaskState.WAITING
    bench.succeed(gang[1])
    assert resolved(bench.commands)[:2] == gang
    assert bench.start() == [after]


def test_when_one_fails_the_others_are_stopped_and_all_are_retried() -> None:
    bench = Bench(capacity=Resources(cpu=3))
    gang = bench.gang(bench.step("gang", retry=Retry(1, delay=5.0)), "a", "b", "c")
    bench.start()
    bench.succeed(gang[0])
    bench.fail(gang[1])
    assert [kill.token for kill in of_kind(bench.commands, Kill)] == [gang[2].token]
    assert states(gang) == [RUNNING] * 3
    bench.fail(gang[2], failure="killed")
    assert states(gang) == [TaskState.DELAYED] * 3
    (later,) = of_kind(bench.commands, Later)
    assert isinstance(later.event, Due)
    bench.feed(later.event)
    assert bench.start() == gang
    assert [task.attempt for task in gang] == [2, 2, 2]
    ended = [one.state for one in written(bench.log) if isinstance(one, AttemptRecord)]
    assert sorted(ended) == sorted([AttemptState.CANCELLED, AttemptState.FAILED, AttemptState.CANCELLED])
    for one in gang:
        bench.succeed(one)
    assert states(gang) == [TaskState.SUCCEEDED] * 3


def test_without_a_retry_one_fails_and_the_others_are_cancelled() -> None:
    bench = Bench()
    gang = bench.gang(bench.step("gang"), "a", "b")
    after = bench.submit(bench.step("after"), gang[1])
    bench.start()
    bench.fail(gang[0], "ValueError: no")
    bench.fail(gang[1], failure="killed")
    assert states(gang) == [FAILED, CANCELLED]
    assert gang[0].problem is not None and gang[0].problem.error == "ValueError: no"
    assert gang[1].problem is not None and gang[1].problem.error == "gang/1 of its gang did not succeed"
    assert after.state is CANCELLED
    assert not bench.state.live and not bench.state.placement.slots


def test_a_result_that_comes_while_the_gang_is_stopped_does_not_count() -> None:
    bench = Bench()
    gang = bench.gang(bench.step("gang"), "a", "b")
    bench.start()
    bench.fail(gang[0])
    bench.succeed(gang[1])
    assert states(gang) == [FAILED, CANCELLED]


@pytest.mark.parametrize("started", [False, True])
def test_cancelling_one_cancels_all(started: bool) -> None:
    bench = Bench()
    gang = bench.gang(bench.step("gang", retry=Retry(3)), "a", "b")
    if started:
        bench.start()
    bench.feed(Cancel(gang[1], bench.clock.now))
    for kill in of_kind(bench.commands, Kill):
        bench.fail(next(one for one in gang if one.token == kill.token), failure="killed")
    assert states(gang) == [CANCELLED, CANCELLED]
    assert bench.start() == []


def test_an_attempt_that_is_handed_back_takes_the_gang_back() -> None:
    bench = Bench()
    gang = bench.gang(bench.step("gang"), "a", "b")
    bench.start()
    bench.feed(Handback((gang[0].token,), bench.clock.now))
    assert [kill.token for kill in of_kind(bench.commands, Kill)] == [gang[1].token]
    bench.fail(gang[1], failure="killed")
    assert states(gang) == [READY, READY]
    assert bench.start() == gang
    bench.fail(gang[0])
    bench.fail(gang[1], failure="killed")
    assert states(gang) == [FAILED, CANCELLED]


def test_starts_that_could_not_be_made_are_taken_back_whole() -> None:
    bench = Bench()
    gang = bench.gang(bench.step("gang"), "a", "b")
    bench.start()
    bench.feed(Handback(tuple(one.token for one in gang), bench.clock.now))
    assert states(gang) == [READY, READY] and [one.attempt for one in gang] == [0, 0]
    assert bench.start() == gang


def test_a_lost_input_lets_the_gang_wait_for_it() -> None:
    bench = Bench()
    load = bench.run(bench.submit(bench.step("load"), "x"))
    gang = bench.gang(bench.step("gang"), load, "b")
    bench.start()
    again = Task(load.step, ())
    again.state = TaskState.RUNNING
    bench.feed(InputLost(gang[0].token, again, load.id, "result", bench.clock.now))
    bench.fail(gang[1], failure="killed")
    assert states(gang) == [TaskState.WAITING, READY]
    assert again.dependents == [gang[0]]
    assert bench.start() == []


def test_what_an_earlier_session_left_is_reused_whole_or_not_at_all() -> None:
    bench = Bench(capacity=Resources(cpu=3))
    step = bench.step("gang")
    gang = bench.gang(step, "a", "b", "c")
    bench.start()
    for one in gang:
        bench.succeed(one)
    whole = Bench(bench.recorded(), session=2, capacity=Resources(cpu=3))
    assert states(whole.gang(whole.step("gang"), "a", "b", "c")) == [TaskState.SUCCEEDED] * 3
    left = {key: one for key, one in bench.recorded().items() if one.record.number != gang[1].id.number}
    part = Bench(left, session=2, capacity=Resources(cpu=3))
    again = part.gang(part.step("gang"), "a", "b", "c")
    assert states(again) == [READY] * 3
    assert part.start() == again
    assert [one.id.number % 10**9 for one in again] == [1, 1, 1]


@pytest.mark.parametrize(
    ("options", "policy", "reason"),
    [
        ({"capacity": Resources(cpu=2)}, {"cpu": 1.5}, "asks for 3 cpus"),
        ({"capacity": Resources(cpu=2, gpu=1)}, {"gpu": 1}, "2 gpus together, but place 'local' has 2, 0 and 1"),
        ({"max_parallel": 1}, {}, "the run allows 1 tasks at once"),
        ({}, {"max_parallel": 1}, "its step allows 1 tasks at once"),
    ],
)
def test_a_gang_that_can_never_start_fails_at_once(options: dict, policy: dict, reason: str) -> None:
    bench = Bench(**options)
    gang = bench.gang(bench.step("gang", **policy), "a", "b")
    assert states(gang) == [FAILED, CANCELLED]
    assert gang[0].problem is not None and reason in gang[0].problem.error
    assert not bench.state.live


def test_a_gang_waits_where_a_place_may_grow() -> None:
    bench = Bench(capacities={"local": Capacity(Resources(cpu=1))})
    gang = bench.gang(bench.step("gang"), "a", "b")
    assert bench.start() == []
    bench.feed(Resized("local", Capacity(Resources(cpu=2)), bench.clock.now))
    assert bench.start() == gang


def test_workers_learn_their_rank_and_the_address_of_node_0() -> None:
    said: list[Any] = []
    met = threading.Barrier(2, timeout=20)

    def answer(message: Execute, run: Any) -> Done | Failed | int:
        said.append(message.gang)
        return run()

    def meet(value: int) -> int:
        met.wait()  # both are there at the same time
        return value

    with Rig(answer=answer) as rig:
        step = rig.step(meet)
        first = Call(step, (rig._argument(1),))
        tasks = rig.loop.submit(first, Call(step, (rig._argument(2),), beside=first))
        assert [rig.result(task) for task in tasks] == [1, 2]
        address = rig.executor.address_of(rig.executor.links[0])
    assert sorted((one.rank, one.size, one.address) for one in said) == [(0, 2, address), (1, 2, address)]


def test_a_crash_of_one_worker_runs_the_whole_gang_again() -> None:
    tries: list[str] = []
    gate = threading.Event()

    def answer(message: Execute, run: Any) -> Done | Failed | int:
        tries.append(message.task)
        if len(tries) == 2:
            return -9
        if len(tries) > 2:
            gate.set()
        gate.wait(20)
        return run()

    with Rig(answer=answer) as rig:
        step = rig.step(lambda value: value, name="node", retry=Retry(1))
        first = Call(step, (rig._argument(1),))
        tasks = rig.loop.submit(first, Call(step, (rig._argument(2),), beside=first))
        assert [rig.result(task) for task in tasks] == [1, 2]
        assert [task.attempts for task in rig.store.tasks(rig.run.id)] == [2, 2]


# --- placement, at random -----------------------------------------------------------------------------------------

PLACES = {"local": Resources(cpu=4, memory=8, gpu=2), "side": Resources(cpu=2, memory=4, gpu=0)}


class Placing(RuleBasedStateMachine):
    """Single tasks and gangs in two places: never over capacity, never part of a gang, nothing waits for ever."""

    @initialize()
    def begin(self) -> None:
        capacities = {place: Capacity(most, largest=most) for place, most in PLACES.items()}
        self.bench = Bench(capacities=capacities, max_parallel=5)
        self.gangs: list[list[Task]] = []
        self.tasks: list[Task] = []
        self.count = 0
        self.limited = self.bench.step("limited", max_parallel=3, cpu=0.5)

    def _step(self, place: str, cpu: float, memory: int, limited: bool) -> Any:
        if limited:
            return self.limited
        return self.bench.step("free", place="" if place == "local" else place, cpu=cpu, memory=memory)

    @rule(place=st.sampled_from(sorted(PLACES)), cpu=st.sampled_from([0.5, 1, 2]), memory=st.sampled_from([0, 3, 4]),
          limited=st.booleans())  # fmt: skip
    def call(self, place: str, cpu: float, memory: int, limited: bool) -> None:
        self.count += 1
        self.tasks.append(self.bench.submit(self._step(place, cpu, memory, limited), str(self.count)))

    @rule(place=st.sampled_from(sorted(PLACES)), cpu=st.sampled_from([0.5, 1]), size=st.integers(2, 4),
          limited=st.booleans())  # fmt: skip
    def call_gang(self, place: str, cpu: float, size: int, limited: bool) -> None:
        self.count += 1
        gang = self.bench.gang(self._step(place, cpu, 0, limited), *(f"{self.count}/{n}" for n in range(size)))
        if gang[0].state is FAILED:
            assert size > 3 if limited else size * cpu > PLACES[place].cpu, gang[0].problem
        else:
            self.gangs.append(gang)
            self.tasks += gang

    @rule(seconds=st.sampled_from([0.0, 1.0, 3.0]))
    def start(self, seconds: float) -> None:
        self.bench.clock.advance(seconds)
        self.bench.start()

    @precondition(lambda self: self.bench.state.placement.slots)
    @rule(data=st.data(), good=st.booleans())
    def end(self, data: st.DataObject, good: bool) -> None:
        slots = self.bench.state.placement.slots
        task = slots[data.draw(st.sampled_from(sorted(slots)))].task
        self.bench.succeed(task) if good else self.bench.fail(task)

    @precondition(lambda self: self.bench.state.live)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        live = [task for task in self.tasks if task in self.bench.state.live]
        self.bench.feed(Cancel(data.draw(st.sampled_from(live)), self.bench.clock.now))

    @rule(gpus=st.integers(0, 3))
    def resize(self, gpus: int) -> None:
        most = Resources(cpu=4, memory=8, gpu=gpus)
        self.bench.feed(Resized("local", Capacity(most, largest=most), self.bench.clock.now))

    @invariant()
    def no_place_is_over_its_capacity(self) -> None:
        placement = self.bench.state.placement
        for place, most in PLACES.items():
            slots = [slot for slot in placement.slots.values() if slot.place == place and not slot.ahead]
            room = placement.rooms[place]
            cpu, memory = sum(one.resources.cpu for one in slots), sum(one.resources.memory for one in slots)
            assert abs(cpu - room.cpu) < 1e-6 and memory == room.memory and room.running == len(slots)
            assert cpu <= most.cpu + 1e-6 and memory <= most.memory
        assert len([slot for slot in placement.slots.values() if not slot.ahead]) <= 5
        assert self.limited.load.running <= 3

    @invariant()
    def no_gang_runs_in_part(self) -> None:
        for gang in self.gangs:
            assert len({task.state for task in gang}) == 1 or all(task.state in (FAILED, CANCELLED) for task in gang)
            assert len({task.attempt for task in gang}) == 1

    def teardown(self) -> None:
        """Whatever waits gets its turn once others end."""
        bench = self.bench
        for _ in range(4 * len(self.tasks) + 4):
            bench.clock.advance(1.0)
            bench.start()
            if not bench.state.placement.slots:
                break
            for slot in list(bench.state.placement.slots.values()):
                bench.succeed(slot.task)
        assert not bench.state.live


TestPlacing = Placing.TestCase
TestPlacing.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
