"""``GangTurns``: gangs that need more pods together than a cluster has room for all run, whoever gets which node."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.executors.kubernetes.turns import GangTurns, Room
from headrace.model.workers import GangSeat

PATIENCE, TIMEOUT, STEP, WORK = 6.0, 60.0, 0.5, 3.0


class Node:
    def __init__(self, kind: str, rank: int) -> None:
        self.kind = kind
        self.rank = rank
        self.asked = self.placed = self.is_there = False


class Cluster:
    """Nodes with room for so many pods, which a scheduler gives to those that wait in an order left to chance."""

    def __init__(self, room: int, chance: random.Random) -> None:
        self.room = room
        self.chance = chance
        self.now = 0.0
        self.runs: list[Run] = []

    def pods(self) -> list[Node]:
        return [one for run in self.runs for gang in run.gangs.values() for one in gang if one.asked]

    def go_on(self) -> None:
        self.now += STEP
        pods = self.pods()
        pending = [one for one in pods if not one.placed]
        self.chance.shuffle(pending)
        for one in pods:
            one.is_there = one.placed
        for one in pending[: max(0, self.room - sum(one.placed for one in pods))]:
            one.placed = True
        self.chance.shuffle(self.runs)
        for run in self.runs:
            run.go_on(self.now)


class Run:
    """A run with gangs, each of a kind of its own; those that come to nothing begin another round at once."""

    def __init__(
        self, cluster: Cluster, sizes: list[int], patience: float, timeout: float, chance: Callable[[], float]
    ) -> None:
        self.turns: GangTurns[Node] = GangTurns(patience, timeout, chance, self.room_of)
        self.rounds = count(1)
        self.gangs: dict[str, list[Node]] = {}
        self.until: dict[str, float] = {}
        self.ended: list[str] = []
        self.late: list[str] = []
        self.pauses: list[float] = []
        self.asking: list[str] = []
        cluster.runs.append(self)
        for number, size in enumerate(sizes):
            self.begin(f"gang {number}", size, 0.0)

    def begin(self, kind: str, size: int, now: float) -> None:
        self.gangs[kind] = [Node(kind, rank) for rank in range(size)]
        number = next(self.rounds)
        for one in self.gangs[kind]:
            self.turns.enlist(one, kind, "fit", GangSeat(number, one.rank, size), now)
            self.ask(now)

    def ask(self, now: float) -> None:
        for one in self.turns.admitted(now):
            one.asked = True
            self.asking.append(one.kind)

    def room_of(self, kind: str) -> Room:
        pods = [one for one in self.gangs.get(kind, ()) if one.asked and not one.is_there]
        placed = [one for one in pods if one.placed]
        return Room(len(placed) == len(pods), bool(placed), len(placed) < len(pods))

    def go_on(self, now: float) -> None:
        for kind, gang in list(self.gangs.items()):
            if all(one.is_there for one in gang) and now >= self.until.setdefault(kind, now + WORK):
                for one in gang:
                    self.turns.leave(one, now)
                del self.gangs[kind]
                self.ended.append(kind)
        back = self.turns.given_back(now)
        if back is not None:
            gang = self.gangs.pop(back.kind)
            assert gang == back.members
            assert not all(one.is_there for one in gang), "what runs is left alone"
            for one in gang:
                self.turns.leave(one, now)
            self.pauses.append(back.pause)
            if back.late:
                self.late.append(back.kind)
            else:
                self.begin(back.kind, len(gang), now)
        self.ask(now)


def simulated(
    room: int,
    runs: list[list[int]],
    seed: int,
    patience: float = PATIENCE,
    timeout: float = TIMEOUT,
    seconds: float = 3600,
) -> Cluster:
    chance = random.Random(seed)
    cluster = Cluster(room, chance)
    for sizes in runs:
        Run(cluster, sizes, patience, timeout, chance.random)
    while any(run.gangs for run in cluster.runs) and cluster.now < seconds:
        cluster.go_on()
        assert sum(one.placed for one in cluster.pods()) <= room
    return cluster


@settings(deadline=None, max_examples=40)
@given(
    st.integers(2, 6).flatmap(
        lambda room: st.tuples(
            st.just(room), st.lists(st.lists(st.integers(1, room), min_size=1, max_size=2), min_size=1, max_size=3)
        )
    ),
    st.integers(0, 2**32),
)
def test_every_gang_that_the_cluster_has_room_for_runs(case: tuple[int, list[list[int]]], seed: int) -> None:
    room, runs = case
    cluster = simulated(room, runs, seed, timeout=math.inf)
    for run in cluster.runs:
        assert not run.gangs, f"not ended after {cluster.now:g} s"


def test_without_giving_back_gangs_of_two_runs_wait_for_each_other_for_ever() -> None:
    stuck = [seed for seed in range(10) if simulated(4, [[3], [3]], seed, math.inf, seconds=60).now >= 60]
    assert stuck, "the simulation has the problem"
    for seed in stuck:
        cluster = simulated(4, [[3], [3]], seed, timeout=math.inf)
        assert all(len(run.ended) == 1 for run in cluster.runs)
        assert any(run.pauses for run in cluster.runs)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(2, 4), min_size=2, max_size=4), st.integers(0, 2**32))
def test_gangs_of_one_run_ask_one_after_the_other_and_give_nothing_back(sizes: list[int], seed: int) -> None:
    [run] = simulated(4, [sizes], seed).runs
    assert run.asking == [f"gang {number}" for number, size in enumerate(sizes) for _ in range(size)]
    assert run.ended == [f"gang {number}" for number in range(len(sizes))]
    assert not run.pauses


def test_next_gang_asks_as_soon_as_those_before_it_have_nodes() -> None:
    [run] = simulated(8, [[4, 4]], 0, seconds=1.0).runs
    assert run.asking == ["gang 0"] * 4 + ["gang 1"] * 4
    assert not run.ended


def test_gang_that_is_too_large_gives_up_after_its_time_and_the_next_one_runs() -> None:
    [run] = simulated(4, [[5, 2]], 1).runs
    assert run.late == ["gang 0"]
    assert run.ended == ["gang 1"]
    assert len(run.pauses) > 1
    assert all(pause <= 8 * PATIENCE for pause in run.pauses)


def test_gang_that_nobody_asks_for_again_holds_nobody_up() -> None:
    turns: GangTurns[Node] = GangTurns(PATIENCE, TIMEOUT, lambda: 0.5, lambda kind: Room(False, True, True))
    gone = [Node("a", rank) for rank in range(2)]
    for one in gone:
        turns.enlist(one, "a", "fit", GangSeat(1, one.rank, 2), 0.0)
    assert turns.admitted(0.0) == gone
    assert turns.given_back(0.0) is None
    assert turns.given_back(PATIENCE) is not None
    for one in gone:
        turns.leave(one, PATIENCE)  # its run ends it
    other = Node("b", 0)
    turns.enlist(other, "b", "fit", GangSeat(2, 0, 1), PATIENCE)
    assert turns.admitted(PATIENCE) == []
    assert turns.waits(other)
    assert turns.admitted(PATIENCE + 2 * PATIENCE) == [other]
    assert not turns.waits(other)
