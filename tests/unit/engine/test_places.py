"""Placement in several places, and the workers of a run there."""

from __future__ import annotations

import threading
import time

import pytest

from headrace.engine.events import Promote, Resized, Start
from headrace.model.policy import Resources
from headrace.model.states import TaskState
from headrace.model.workers import Capacity, MachineCapacity
from headrace.testing.engine import Bench, FakeExecutor, Rig, of_kind

GIB = 1 << 30


def bench_of(**places: Capacity) -> Bench:
    return Bench(capacities={"local": Capacity(Resources(cpu=2)), **places})


def test_a_full_place_holds_up_its_own_tasks_only() -> None:
    bench = bench_of(side=Capacity(Resources(cpu=1)))
    here, there = bench.step("here"), bench.step("there", place="side")
    first = [bench.submit(there, str(n)) for n in range(3)]
    bench.clock.advance(100)  # they have waited for long, and others still pass
    second = [bench.submit(here, str(n)) for n in range(2)]
    assert bench.start() == [first[0], *second]
    bench.succeed(first[0])
    assert bench.start() == [first[1]]


def test_a_capacity_that_grows_starts_what_waits() -> None:
    bench = bench_of(side=Capacity(Resources(cpu=0)))
    tasks = [bench.submit(bench.step(place="side"), str(n)) for n in range(3)]
    assert bench.start() == []
    bench.feed(Resized("side", Capacity(Resources(cpu=2)), bench.clock.now))
    assert bench.start() == tasks[:2]
    bench.feed(Resized("side", Capacity(Resources(cpu=1)), bench.clock.now))  # what runs stays
    bench.succeed(tasks[0])
    assert bench.start() == []
    bench.succeed(tasks[1])
    assert bench.start() == [tasks[2]]


def test_a_place_starts_no_more_attempts_than_it_may_have_workers() -> None:
    bench = bench_of(side=Capacity(Resources(cpu=100), workers=2))
    tasks = [bench.submit(bench.step(cpu=0.1, place="side"), str(n)) for n in range(3)]
    assert bench.start() == tasks[:2]


def machines(*cores: float, gpu: int = 0, workers: int = 20) -> Capacity:
    """The capacity of a place with a machine for each number of cores."""
    each = [MachineCapacity(f"m{n}", Resources(cpu=cpu, gpu=gpu), workers) for n, cpu in enumerate(cores)]
    total = Resources(cpu=sum(cores), gpu=gpu * len(cores))
    return Capacity(total, workers=workers * len(cores), machines=tuple(each))


def started_on(bench: Bench) -> list[str]:
    return [start.machine for start in of_kind(bench.commands, Start)]


def test_gpus_are_those_of_the_place_or_of_its_machines() -> None:
    bench = bench_of(side=Capacity(Resources(cpu=8, gpu=2)), far=machines(4, 4, gpu=2))
    for place, count, expected in (("side", 2, [(0,), (1,)]), ("far", 4, [(0,), (0,), (1,), (1,)])):
        tasks = [bench.submit(bench.step(gpu=1, place=place), str(n)) for n in range(5)]
        assert bench.start() == tasks[:count]
        assert [start.gpus for start in of_kind(bench.commands, Start)] == expected


def test_a_task_starts_only_where_one_machine_has_room_for_it() -> None:
    bench = bench_of(far=machines(2, 2))
    large, small = bench.step("large", cpu=4.0, place="far"), bench.step("small", cpu=1.5, place="far")
    waiting = bench.submit(large, "a")
    assert bench.start() == []
    first, second, third = (bench.submit(small, str(n)) for n in range(3))
    assert bench.start() == [first, second]
    assert started_on(bench) == ["m0", "m1"]
    bench.feed(Resized("far", machines(2, 2, 8), bench.clock.now))
    assert bench.start() == [waiting, third]
    assert started_on(bench) == ["m2", "m2"]
    bench.succeed(first)
    assert bench.submit(small, "4") in bench.start()
    assert started_on(bench) == ["m2"]


def test_a_task_that_is_too_large_for_every_machine_is_told_of_once() -> None:
    bench = bench_of(far=Capacity(Resources(cpu=0.0)))
    step = bench.step("large", cpu=4.0, memory=1 << 31, place="far")
    bench.submit(step, "a")
    bench.start()
    assert bench.state.placement.too_large() == [], "no machine has joined, which is told otherwise"
    bench.feed(Resized("far", machines(2, 3), bench.clock.now))
    bench.submit(step, "b")
    bench.start()
    (text,) = bench.state.placement.too_large()
    assert text == (
        "step 'large' asks for 4 cpus and 2 GiB of memory, and no machine that joined place 'far' has that "
        "(the largest has 3 cpus); its tasks wait for one"
    )
    assert bench.state.placement.too_large() == []


def test_a_gang_for_which_the_machines_have_no_room_is_told_of_once() -> None:
    bench = bench_of(far=machines(3, 3))
    bench.gang(bench.step("gang", cpu=2.0, place="far"), "a", "b", "c")
    bench.start()
    (text,) = bench.state.placement.too_large()
    assert text == (
        "the gang of 3 of step 'gang' asks for 2 cpus each, and the machines that joined place 'far' have no room for "
        "all of it; it waits for more"
    )
    assert bench.state.placement.too_large() == []


def test_a_gang_starts_only_where_each_node_has_room_on_a_machine() -> None:
    bench = bench_of(far=machines(3, 3))
    step = bench.step("gang", cpu=2.0, place="far")
    three = bench.gang(step, "a", "b", "c")
    assert bench.start() == [], "six cores, but two nodes of two"
    two = bench.gang(bench.step("other", cpu=2.0, place="far"), "a", "b")
    assert bench.start() == two
    assert started_on(bench) == ["m0", "m1"]
    for one in two:
        bench.succeed(one)
    bench.feed(Resized("far", machines(3, 3, 3), bench.clock.now))
    assert bench.start() == three
    assert started_on(bench) == ["m0", "m1", "m2"]


def test_room_of_a_machine_that_left_and_came_back_counts_what_still_runs_there() -> None:
    bench = bench_of(far=machines(2))
    step = bench.step(cpu=2.0, place="far")
    first, second = bench.submit(step, "1"), bench.submit(step, "2")
    assert bench.start() == [first]
    bench.feed(Resized("far", Capacity(Resources(cpu=0.0)), bench.clock.now))
    bench.feed(Resized("far", machines(2), bench.clock.now))
    assert bench.start() == []
    bench.succeed(first)
    assert bench.start() == [second]


def test_a_task_that_was_sent_ahead_counts_on_the_machine_of_its_worker() -> None:
    bench = bench_of(far=machines(1, 1))
    step = bench.step(seconds=0.0001, place="far")
    tasks = [bench.submit(step, str(n)) for n in range(3)]
    assert bench.start() == tasks
    assert started_on(bench) == ["m0", "m1", ""]
    bench.succeed(tasks[1])
    bench.feed(Promote(tasks[2].token, bench.clock.now, "m1"))
    other = bench.submit(bench.step("other", place="far"), "x")
    assert bench.start() == []
    bench.succeed(tasks[2])
    assert bench.start() == [other]
    assert started_on(bench) == ["m1"]


def test_a_machine_has_no_more_attempts_than_workers() -> None:
    bench = bench_of(far=machines(50, 50, workers=1))
    tasks = [bench.submit(bench.step(cpu=0.1, place="far"), str(n)) for n in range(3)]
    assert bench.start() == tasks[:2]
    assert started_on(bench) == ["m0", "m1"]


def test_devices_that_are_taken_are_not_given_twice_when_a_place_changes() -> None:
    bench = bench_of(side=Capacity(Resources(cpu=8, gpu=2)))
    step = bench.step(gpu=1, place="side")
    first, second = bench.submit(step, "1"), bench.submit(step, "2")
    bench.start()
    bench.feed(Resized("side", Capacity(Resources(cpu=8, gpu=1)), bench.clock.now))
    bench.succeed(second)  # its device is gone
    third = bench.submit(step, "3")
    assert bench.start() == []
    bench.feed(Resized("side", Capacity(Resources(cpu=8, gpu=3)), bench.clock.now))
    fourth = bench.submit(step, "4")
    assert bench.start() == [third, fourth]
    assert [start.gpus for start in of_kind(bench.commands, Start)] == [(1,), (2,)]
    assert first.state is TaskState.RUNNING


def test_the_limit_of_the_run_holds_for_all_places_together() -> None:
    bench = Bench(capacities={name: Capacity(Resources(cpu=4)) for name in ("local", "side")}, max_parallel=3)
    here, there = bench.step("here"), bench.step("there", place="side")
    tasks = [bench.submit(step, str(n)) for n in range(2) for step in (here, there)]
    assert bench.start() == [tasks[0], tasks[2], tasks[1]]
    bench.succeed(tasks[0])
    assert bench.start() == [tasks[3]]


# --- with workers -------------------------------------------------------------------------------------------------


def where(value: int) -> int:
    return value + 1


def test_attempts_go_to_the_executor_of_their_place() -> None:
    with Rig() as rig:
        side = FakeExecutor(Resources(cpu=1), rig.artifacts, place="side")
        side.start()
        rig.loop.open_place(side)
        tasks = [rig.submit(rig.step(where, name="a"), 1), rig.submit(rig.step(where, name="b", place="side"), 2)]
        assert [rig.result(task) for task in tasks] == [2, 3]
        assert [len(one.executed) for one in (rig.executor, side)] == [1, 1]


def test_tasks_start_when_a_place_gets_workers() -> None:
    with Rig() as rig:
        side = FakeExecutor(Resources(cpu=0), rig.artifacts, place="side")
        side.start()
        rig.loop.open_place(side)
        task = rig.submit(rig.step(where, place="side"), 1)
        time.sleep(0.3)
        assert task.state is TaskState.READY
        side.resize(Capacity(Resources(cpu=1)))
        assert rig.result(task) == 2


@pytest.mark.parametrize("isolated", [False, True])
def test_an_idle_worker_makes_room_for_one_of_another_spec(isolated: bool) -> None:
    with Rig() as rig:
        side = FakeExecutor(Resources(cpu=4), rig.artifacts, place="side")
        side.capacity = Capacity(Resources(cpu=4), workers=1)
        side.start()
        rig.loop.open_place(side)
        plain = rig.step(where, name="plain", place="side")
        other = rig.step(where, name="other", place="side", isolated=isolated)
        assert [rig.call(step, 1) for step in (plain, other, plain)] == [2, 2, 2]
        assert len(side.links) == (3 if isolated else 1)
        until = time.monotonic() + 20
        while sum(link.alive for link in side.links) > 1 and time.monotonic() < until:
            time.sleep(0.01)
        assert sum(link.alive for link in side.links) == 1


def test_idle_workers_leave_as_their_executor_says() -> None:
    asked: list[int] = []

    class Thrifty(FakeExecutor):
        def surplus(self, spec, idle):
            asked.append(len(idle))
            return len(idle) - 1

    with Rig() as rig:
        side = Thrifty(Resources(cpu=3), rig.artifacts, place="side")
        side.start()
        rig.loop.open_place(side)
        gate = threading.Event()

        def wait(value: int) -> int:
            gate.wait(20)
            return value

        step = rig.step(wait, place="side")
        tasks = [rig.submit(step, n) for n in range(3)]
        gate.set()
        assert [rig.result(task) for task in tasks] == [0, 1, 2]
        until = time.monotonic() + 20
        while sum(link.alive for link in side.links) > 1 and time.monotonic() < until:
            time.sleep(0.05)
        assert sum(link.alive for link in side.links) == 1
        assert max(asked) >= 1
        assert rig.call(rig.step(where, place="side"), 4) == 5
