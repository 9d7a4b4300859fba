"""Every call of a store may be refused, lost after it was made, or slow: a run ends as it does without.

The properties compare whole runs with and without faults. The machine adds what they cannot have: drivers that die
while their store is away or a commit is in doubt, and sessions that go on.
"""

from __future__ import annotations

import contextlib
import functools
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from headrace.engine import journal
from headrace.model.errors import StoreAwayError, StoreError
from headrace.model.policy import Retry
from headrace.model.records import MetricChunk, Tag
from headrace.stores.artifacts.memory import MemoryStore
from headrace.testing.engine import Rig, resume
from headrace.testing.faults import OUTCOMES, Faults, FaultyArtifacts, FaultyMetadata
from headrace.testing.metadata import MemoryMetadata

BIG = 40_000

_refs = st.integers(0, 30)
_operations = st.lists(
    st.one_of(
        st.tuples(st.just("make"), st.integers(0, 3)),
        st.tuples(st.just("cached"), st.integers(0, 3)),
        st.tuples(st.just("join"), _refs, _refs),
        st.tuples(st.just("read"), _refs),
        st.tuples(st.just("metric"), st.integers(0, 3)),
        st.tuples(st.just("tag"), st.integers(0, 3)),
        st.tuples(st.just("soon"), st.integers(0, 3)),
    ),
    min_size=1,
    max_size=14,
)
_plan = st.lists(st.sampled_from(("fine", "fine", *OUTCOMES)), max_size=60)


def make(n: int) -> bytes:
    return bytes([n]) * BIG


def join(a: bytes, b: bytes) -> bytes:
    return a[:10] + b[:10]


def patiently(call: Callable[[], Any]) -> Any:
    """What the flow's own calls of an artifact store do while it is away: that of object stores tries again."""
    while True:
        try:
            return call()
        except StoreAwayError:
            continue


def drive(operations: list[tuple[Any, ...]], metadata: Faults, artifacts: Faults) -> tuple[Any, ...]:
    """Run the operations; what they gave, what is recorded, and how often each task was tried."""
    store = MemoryMetadata()
    rig = Rig(
        store=store,
        artifacts=FaultyArtifacts(MemoryStore(), artifacts),  # type: ignore[arg-type]
        wrap=lambda plain: FaultyMetadata(plain, metadata),
    )
    run_id, retry = rig.run.id, Retry(200)
    steps = {name: rig.step(make, name=name, retry=retry, cache=name == "cached") for name in ("make", "cached")}
    joined = rig.step(join, retry=retry)
    tasks: list[Any] = []
    seen: list[Any] = []
    metadata.active = artifacts.active = True
    for at, (kind, *rest) in enumerate(operations):
        if kind in steps:
            tasks.append(patiently(functools.partial(rig.submit, steps[kind], *rest)))
        elif kind == "join" and tasks:
            tasks.append(patiently(lambda: rig.submit(joined, *[tasks[ref % len(tasks)] for ref in rest])))
        elif kind == "read" and tasks:
            seen.append(patiently(lambda: rig.result(tasks[rest[0] % len(tasks)], 60)))
        elif kind == "metric":
            chunk = MetricChunk(run_id=run_id, step="", number=0, name="m", values=(1.0,), steps=(at,), times=(0.0,))
            rig.loop.write(chunk)
        elif kind == "tag":
            rig.loop.write(Tag(run_id, f"t{rest[0]}", str(at)))
        elif kind == "soon":
            rig.loop.write_soon(Tag(run_id, f"s{rest[0]}", str(at)))
    for task in tasks:
        seen.append(patiently(functools.partial(rig.result, task, 60)))
        assert task.problem is None
    metadata.active = artifacts.active = False
    rig.close()
    # Joins get their numbers, and equal ones their places among each other, as their inputs finish, which is a matter
    # of luck: tasks are compared by their keys, and their edges by what went in.
    named = {
        (row.step, row.number): (row.step, *[one.value.digest for one in row.inputs]) for row in store.tasks(run_id)
    }
    keys = {(row.step, row.number): row.key for row in store.tasks(run_id)}
    rows = {row.key: (row.step, str(row.state), row.error) for row in store.tasks(run_id)}
    made = {(keys[one.step, one.number], one.name): one.value for one in store.artifacts(run_id)}
    edges = Counter(
        (named[one.child_step, one.child_number], named[one.parent_step, one.parent_number])
        for one in store.edges(run_id)
    )
    points = Counter(step for chunk in store.metrics(run_id) for step in chunk.steps)
    tags = {tag.name: tag.value for tag in store.tags([run_id])}
    tries = [row.attempts for row in store.tasks(run_id)]
    return (seen, rows, made, edges, points, tags), tries


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(journal, "_LONGEST_PAUSE", 0.005)


_settings = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@_settings
@given(_operations, _plan)
def test_faults_of_the_metadata_store_change_nothing(operations: list[tuple[Any, ...]], plan: list[str]) -> None:
    ended, tries = drive(operations, Faults(plan), Faults([]))
    expected, _ = drive(operations, Faults([]), Faults([]))
    assert ended == expected
    assert set(tries) <= {0, 1}  # 0: the cache answered
    assert all(count == 1 for count in ended[4].values())


@_settings
@given(_operations, _plan, _plan)
def test_faults_of_both_stores_change_no_result(
    operations: list[tuple[Any, ...]], plan: list[str], other: list[str]
) -> None:
    ended, _ = drive(operations, Faults(plan), Faults(other))
    expected, _ = drive(operations, Faults([]), Faults([]))
    assert ended == expected
    assert all(count == 1 for count in ended[4].values())


@pytest.mark.parametrize("outcome", ["away", "lost"])
def test_store_that_fails_at_every_other_call_delays_a_run_and_nothing_else(outcome: str) -> None:
    operations = [*[("make", n) for n in range(4)], ("join", 0, 1), ("read", 4), ("metric", 0), ("tag", 1), ("read", 2)]
    plan = [outcome, "fine"] * 100
    metadata = Faults(plan)
    ended, tries = drive(operations, metadata, Faults([]))
    assert ended == drive(operations, Faults([]), Faults([]))[0]
    assert set(tries) == {1}
    assert sum(what == outcome for _, what in metadata.calls) > 3


class Fate(Faults):
    """Faults that are decided while a run goes on; at the end the driver dies: it reaches its store no more."""

    def __init__(self) -> None:
        super().__init__([])
        self.coming: deque[str] = deque()
        self.dead = False

    def next(self, name: str) -> str:
        if self.dead:
            raise StoreError("the driver is dead")
        return self.coming.popleft() if self.coming else "fine"


class Drivers(RuleBasedStateMachine):
    """Drivers of one run, one after the other; each calls what the flow has called until then."""

    @initialize()
    def begin(self) -> None:
        self.store = MemoryMetadata()
        self.calls: list[tuple[int, ...]] = []  # of one number: make; of two: join the results of these calls
        self.seen: set[str] = set()  # tasks whose results the flow has read
        self.written: list[int] = []
        self.points = 0
        self.fate = Fate()
        self.drive(Rig(store=self.store, wrap=lambda plain: FaultyMetadata(plain, self.fate)))

    def drive(self, rig: Rig) -> None:
        self.rig = rig
        self.make, self.join = rig.step(make), rig.step(join)
        self.tasks: list[Any] = []
        for call in self.calls:
            self.submit(call)

    def submit(self, call: tuple[int, ...]) -> None:
        step = self.make if len(call) == 1 else self.join
        arguments = call if len(call) == 1 else [self.tasks[at] for at in call]
        self.tasks.append(self.rig.submit(step, *arguments))

    def expected(self, at: int) -> bytes:
        call = self.calls[at]
        return make(*call) if len(call) == 1 else join(*[self.expected(one) for one in call])

    @rule(outcomes=st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=6))
    def calls_of_the_store_will_go_wrong(self, outcomes: list[str]) -> None:
        self.fate.coming.extend(outcomes)

    @rule(n=st.integers(0, 3))
    def call_make(self, n: int) -> None:
        self.calls.append((n,))
        self.submit(self.calls[-1])

    @precondition(lambda self: self.calls)
    @rule(refs=st.tuples(_refs, _refs))
    def call_join(self, refs: tuple[int, int]) -> None:
        self.calls.append(tuple(ref % len(self.calls) for ref in refs))
        self.submit(self.calls[-1])

    @precondition(lambda self: self.calls)
    @rule(ref=_refs)
    def read(self, ref: int) -> None:
        at = ref % len(self.calls)
        assert self.rig.result(self.tasks[at], 60) == self.expected(at)
        self.seen.add(f"{self.rig.run.name}/{self.tasks[at].id}")

    @rule(soon=st.booleans())
    def log(self, soon: bool) -> None:
        self.points += 1
        chunk = MetricChunk(
            run_id=self.rig.run.id, step="", number=0, name="m", values=(1.0,), steps=(self.points,), times=(0.0,)
        )
        if soon:
            self.rig.loop.write_soon(chunk)
        else:
            self.rig.loop.write(chunk)
            self.written.append(self.points)

    @rule()
    def die_and_resume(self) -> None:
        self.fate.dead = True
        with contextlib.suppress(StoreError):
            self.rig.loop.close()
        self.fate = Fate()
        seen = set(self.seen)
        self.drive(resume(self.rig, wrap=lambda plain: FaultyMetadata(plain, self.fate)))
        for at, task in enumerate(self.tasks):
            assert self.rig.result(task, 60) == self.expected(at)
        assert not seen.intersection(self.rig.executor.executed), "a result that the flow had seen was lost"

    def teardown(self) -> None:
        if not hasattr(self, "rig"):
            return
        for at, task in enumerate(self.tasks):
            assert self.rig.result(task, 60) == self.expected(at)
        self.rig.close()
        run_id = self.rig.run.id
        assert Counter(str(row.state) for row in self.store.tasks(run_id)) == Counter(succeeded=len(self.calls))
        points = Counter(step for chunk in self.store.metrics(run_id) for step in chunk.steps)
        assert set(points.values()) <= {1}
        assert set(self.written) <= set(points)


TestDrivers = Drivers.TestCase
TestDrivers.settings = settings(
    max_examples=40, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
