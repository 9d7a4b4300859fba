"""Every call of a store may be refused, lost after it was made, or slow: a run ends as it does without."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.engine import journal
from headrace.model.errors import StoreAwayError
from headrace.model.policy import Retry
from headrace.model.records import MetricChunk, Tag
from headrace.stores.artifacts.memory import MemoryStore
from headrace.testing.engine import Rig
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
    # Joins get their numbers as their inputs finish, which is a matter of luck: tasks are compared by their keys.
    keys = {(row.step, row.number): row.key for row in store.tasks(run_id)}
    rows = {row.key: (row.step, str(row.state), row.error) for row in store.tasks(run_id)}
    made = {(keys[one.step, one.number], one.name): one.value for one in store.artifacts(run_id)}
    edges = {
        (keys[one.child_step, one.child_number], keys[one.parent_step, one.parent_number])
        for one in store.edges(run_id)
    }
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
