"""What starts when: resources, limits, patience with big tasks, short tasks sent ahead of their turn."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from headrace.engine.events import Cancel, Handback, Kill, Promote, Record, Start
from headrace.engine.placement import AHEAD_DEPTH, PATIENCE
from headrace.engine.rows import running_records
from headrace.engine.tasks import Task
from headrace.model.pods import PodSettings
from headrace.model.policy import Resources
from headrace.model.records import AttemptRecord, TaskRecord
from headrace.model.states import AttemptState, TaskState
from headrace.testing.engine import Bench, of_kind, resolved

GIB = 1 << 30


def held(bench: Bench) -> tuple[float, int, int]:
    """Cores, bytes and devices that attempts hold."""
    room = bench.state.placement.rooms["local"]
    return room.cpu, room.memory, room.gpu


def calls_of(function: Callable[[], object]) -> int:
    """How many functions, of Python and of C, a call of ``function`` calls."""
    count = 0

    def see(_: object, event: str, __: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(see)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


def test_an_event_costs_the_same_beside_many_running_attempts() -> None:
    costs = []
    for running in (10, 5_000):
        bench = Bench(capacity=Resources(cpu=running + 1, memory=running * GIB, gpu=4))
        step, other = bench.step(), bench.step("other", cpu=2.0, memory=GIB, gpu=1)
        tasks = [bench.submit(step, str(n)) for n in range(running)]
        bench.start()
        waiting = [bench.submit(other, "a"), bench.submit(other, "b")]  # of two cores, only one is free
        assert bench.start() == []
        turn = iter(tasks)
        costs.append([calls_of(bench.start), calls_of(lambda: bench.succeed(next(turn))), calls_of(bench.start)])
        assert waiting[0].state is TaskState.RUNNING and waiting[1].state is TaskState.READY
    assert costs[0] == costs[1]


@pytest.mark.parametrize(
    ("capacity", "need", "fits"),
    [
        (Resources(cpu=2), {"cpu": 1.0}, 2),
        (Resources(cpu=2), {"cpu": 0.5}, 4),
        (Resources(cpu=1), {"cpu": 0.1}, 10),  # ten times a tenth is more than one, in binary
        (Resources(cpu=2), {"cpu": 1.5}, 1),
        (Resources(cpu=2), {"cpu": 0.0}, 12),
        (Resources(cpu=8, memory=4 * GIB), {"cpu": 1.0, "memory": GIB}, 4),
        (Resources(cpu=8, memory=4 * GIB), {"cpu": 1.0, "memory": 3 * GIB}, 1),
        (Resources(cpu=8, memory=4 * GIB), {"cpu": 1.0, "memory": 0}, 8),
        (Resources(cpu=8, gpu=3), {"cpu": 1.0, "gpu": 1}, 3),
        (Resources(cpu=8, gpu=3), {"cpu": 1.0, "gpu": 2}, 1),
    ],
)
def test_no_more_starts_than_fits(capacity: Resources, need: dict, fits: int) -> None:
    bench = Bench(capacity=capacity)
    step = bench.step(**need)
    tasks = [bench.submit(step, str(n)) for n in range(12)]
    assert bench.start() == tasks[:fits]
    assert bench.start() == []
    bench.succeed(tasks[0])
    if fits < 12:
        assert bench.start() == [tasks[fits]]


def test_gpus_are_given_by_number_and_given_back() -> None:
    bench = Bench(capacity=Resources(cpu=8, gpu=3))
    one, two = bench.step("one", gpu=1), bench.step("two", gpu=2)
    first, second, third = bench.submit(one, "1"), bench.submit(two, "2"), bench.submit(two, "3")
    bench.start()
    assert [start.gpus for start in of_kind(bench.commands, Start)] == [(0,), (1, 2)]
    bench.succeed(first)
    assert bench.start() == []
    bench.succeed(second)
    assert bench.start() == [third]
    assert [start.gpus for start in of_kind(bench.commands, Start)] == [(0, 1)]


def test_max_parallel_of_the_run_and_of_a_step() -> None:
    bench = Bench(capacity=Resources(cpu=10), max_parallel=3)
    limited, free = bench.step("limited", max_parallel=1), bench.step("free")
    tasks = [bench.submit(limited, "1"), bench.submit(limited, "2"), *(bench.submit(free, str(n)) for n in range(4))]
    assert bench.start() == [tasks[0], tasks[2], tasks[3]]
    bench.succeed(tasks[2])
    assert bench.start() == [tasks[4]]
    bench.succeed(tasks[0])
    assert bench.start() == [tasks[1]]


def test_tasks_of_a_shape_start_in_the_order_of_their_calls() -> None:
    bench = Bench(capacity=Resources(cpu=1))
    step = bench.step()
    tasks = [bench.submit(step, str(n)) for n in range(5)]
    started: list[Task] = []
    for _ in tasks:
        started += bench.start()
        bench.succeed(started[-1])
    assert started == tasks


def test_small_tasks_pass_a_big_one_for_a_while_and_then_wait_behind_it() -> None:
    bench = Bench(capacity=Resources(cpu=2))
    small, big = bench.step("small"), bench.step("big", cpu=2.0)
    running = [bench.submit(small, "0"), bench.submit(small, "1")]
    bench.start()
    waiting = bench.submit(big, "x")
    passed = 0
    for n in range(100):  # as soon as one ends, the next is called: the big one never finds two cores by luck
        bench.submit(small, f"more {n}")
        bench.clock.advance(0.1)
        bench.succeed(running.pop(0), seconds=0.1)
        started = bench.start()
        running += started
        if started == [waiting]:
            break
        passed += len(started)
    assert waiting.state is TaskState.RUNNING
    assert passed <= PATIENCE / 0.1 + 1
    assert bench.clock.now - 1000 < PATIENCE + 1


def test_step_at_its_own_limit_holds_no_other_step_back() -> None:
    bench = Bench(capacity=Resources(cpu=2))
    limited, free = bench.step("limited", max_parallel=1), bench.step("free")
    first = bench.submit(limited, "1")
    bench.submit(limited, "2")
    assert bench.start() == [first]
    bench.clock.advance(PATIENCE * 2)
    later = bench.submit(free, "x")
    assert bench.start() == [later]


def test_a_cancelled_task_at_the_head_of_its_lane_is_passed_over() -> None:
    bench = Bench(capacity=Resources(cpu=1))
    step = bench.step()
    running, gone, then = (bench.submit(step, str(n)) for n in range(3))
    bench.start()
    bench.feed(Cancel(gone, 1.0))
    bench.succeed(running)
    assert bench.start() == [then]


def test_scheduling_does_not_look_at_what_is_over() -> None:
    bench = Bench()
    step = bench.step()
    for n in range(50):
        bench.run(bench.submit(step, str(n)))
    assert all(not lane.tasks for lane in bench.state.placement.lanes.values())
    assert bench.feed(Cancel(None, 1.0)) == []


# --- sent ahead ---------------------------------------------------------------------------------------------------


def short(bench: Bench, **policy: object) -> list[Task]:
    """Both cores busy, and a step known to be quick with tasks waiting."""
    step = bench.step("short", seconds=0.0001, **policy)
    tasks = [bench.submit(step, str(n)) for n in range(40)]
    bench.start()
    return tasks


def test_short_tasks_are_sent_ahead_and_occupy_nothing_until_their_turn() -> None:
    bench = Bench()
    tasks = short(bench)
    starts = of_kind(bench.commands, Start)
    assert [start.ahead for start in starts] == [False] * 2 + [True] * 2 * AHEAD_DEPTH
    assert held(bench) == (2.0, 0, 0)
    bench.succeed(tasks[0], seconds=0.0001)
    bench.feed(Promote(tasks[2].token, 1001.0))
    assert held(bench) == (2.0, 0, 0)
    assert bench.state.placement.slots[tasks[2].token].started == 1001.0
    assert [start.ahead for start in of_kind(bench.commands, Start)] == []


@pytest.mark.parametrize(
    "policy",
    [
        {"isolated": True},
        {"timeout": 5.0},
        {"max_parallel": 30},
        {"memory": 1},
        {"cpu": 1.5},  # more than the task before it leaves
    ],
)
def test_what_needs_care_is_not_sent_ahead(policy: dict) -> None:
    bench = Bench()
    plain = bench.step("plain", seconds=1.0)
    assert bench.submit(plain, "1").state is TaskState.READY
    short(bench, **policy)
    assert not any(slot.ahead for slot in bench.state.placement.slots.values())


@pytest.mark.parametrize("policy", [{"image": "python:3.12"}, {"pod": PodSettings(labels={"team": "blue"})}])
def test_attempts_are_sent_ahead_behind_those_of_their_own_kind_alone(policy: dict) -> None:
    bench = Bench()
    plain = bench.step("plain", seconds=1.0)
    for number in range(2):
        bench.submit(plain, str(number))
    bench.start()
    tasks = short(bench, **policy)
    assert not any(slot.ahead for slot in bench.state.placement.slots.values()), (
        "workers of plain steps cannot run them"
    )
    own = Bench()
    assert short(own, **policy)
    assert [slot.ahead for slot in own.state.placement.slots.values()].count(True) == 2 * AHEAD_DEPTH
    assert len(tasks) == 40


def test_nothing_is_sent_ahead_behind_a_fresh_process_or_one_that_is_being_killed() -> None:
    bench = Bench()
    isolated = bench.step("isolated", isolated=True)
    busy = [bench.submit(isolated, str(n)) for n in range(2)]
    bench.start()
    tasks = short(bench)
    assert bench.commands == []
    bench.succeed(busy[0])
    bench.start()
    assert [slot.ahead for slot in bench.state.placement.slots.values()].count(
        True
    ) == AHEAD_DEPTH  # behind the other one only
    bench.feed(Cancel(tasks[0], 1.0))
    before = len(bench.state.placement.slots)
    bench.start()
    assert len(bench.state.placement.slots) == before


def test_unknown_or_long_durations_are_not_sent_ahead() -> None:
    for seconds in (None, 0.01, 60.0):
        bench = Bench()
        step = bench.step(seconds=seconds)
        for n in range(9):
            bench.submit(step, str(n))
        assert len(bench.start()) == 2


def test_what_is_handed_back_is_first_again_and_has_used_no_attempt() -> None:
    bench = Bench()
    tasks = short(bench)
    waiting = [task.token for task in tasks[2:6]]
    bench.feed(Handback(tuple(waiting), 1001.0))
    assert [task.state for task in tasks[2:6]] == [TaskState.READY] * 4
    assert [task.attempt for task in tasks[2:6]] == [0] * 4
    assert bench.commands == []
    assert bench.start()[:4] == tasks[2:6]
    assert tasks[2].token not in waiting
    assert tasks[2].attempt == 1


def test_cancelling_a_task_sent_ahead_does_not_touch_the_one_before_it() -> None:
    bench = Bench()
    tasks = short(bench)
    bench.feed(Cancel(tasks[2], 1.0))
    assert bench.commands == []  # its worker is busy with another task
    bench.feed(Handback((tasks[2].token,), 2.0))
    assert resolved(bench.commands) == [tasks[2]]
    assert tasks[2].state is TaskState.CANCELLED
    assert tasks[0].state is TaskState.RUNNING


def test_a_task_cancelled_while_ahead_is_killed_when_its_turn_comes() -> None:
    bench = Bench()
    tasks = short(bench)
    bench.feed(Cancel(tasks[2], 1.0))
    bench.succeed(tasks[0])
    bench.feed(Promote(tasks[2].token, 2.0))
    assert [kill.token for kill in of_kind(bench.commands, Kill)] == [tasks[2].token]
    bench.fail(tasks[2], failure="killed")
    assert tasks[2].state is TaskState.CANCELLED


def test_running_rows_are_written_once_and_not_for_those_ahead() -> None:
    bench = Bench()
    tasks = short(bench)
    assert running_records(bench.state, lambda token: None) == []  # while their workers are not up
    rows = running_records(bench.state, lambda token: ("here", 100 + token))
    assert [row.id for row in rows if isinstance(row, TaskRecord)] == [tasks[0].id, tasks[1].id]
    attempts = [row for row in rows if isinstance(row, AttemptRecord)]
    assert [(one.step, one.number, one.host, one.pid - one.token) for one in attempts] == [
        (*tasks[0].id, "here", 100),
        (*tasks[1].id, "here", 100),
    ]
    assert running_records(bench.state, lambda token: ("here", 1)) == []


def test_attempt_that_others_know_of_keeps_its_number() -> None:
    bench = Bench()
    task = short(bench)[0]
    running_records(bench.state, lambda token: ("here", 1))
    before = (task.attempt, task.attempts_before)
    commands = bench.feed(Handback((task.token,), 5.0))
    [record] = of_kind(commands, Record)
    [lost] = record.writes
    assert isinstance(lost, AttemptRecord)
    assert (lost.state, lost.attempt, lost.host, lost.finished) == (AttemptState.LOST, before[0], "here", 5.0)
    assert (task.attempt, task.attempts_before) == (before[0], before[1] + 1)  # the next one is 2, and no retry
