"""The graph of a run: counted where that is quick, estimated from the ends of its steps in a very large run."""

from __future__ import annotations

import pytest

from headrace.model.records import Edge
from headrace.services.describe import ALL_ROWS
from headrace.services.run_graph import StepEdge, step_edges
from headrace.testing._metadata_samples import new_run, task
from headrace.testing.metadata import MemoryMetadata


@pytest.mark.parametrize(("tasks", "exact"), [(100, True), (ALL_ROWS + 1, False)])
def test_edges_between_steps_are_counted_or_estimated(tasks: int, exact: bool) -> None:
    store = MemoryMetadata()
    run = new_run(store)
    store.commit(
        [task(run.id, "load", 1), *(task(run.id, "work", n) for n in range(1, tasks + 1)), task(run.id, "join")]
    )
    pairs = [one for n in range(1, tasks + 1) for one in (("load", 1, "work", n), ("work", n, "join", 1))]
    store.commit([Edge(run.id, *one) for one in pairs])
    assert sorted(step_edges(store, run.id), key=lambda one: one.child) == [
        StepEdge(parent="work", child="join", count=tasks, exact=exact),
        StepEdge(parent="load", child="work", count=tasks, exact=exact),
    ]


def test_task_with_many_parents_is_looked_at_in_part() -> None:
    """However many tasks of a step went into it, the other steps are found, and counted where they are few."""
    store = MemoryMetadata()
    run = new_run(store)
    steps = {"a": 400, "b": 3_000, "c": 700, "d": ALL_ROWS}
    store.commit(
        [task(run.id, "join"), *(task(run.id, s, n) for s, count in steps.items() for n in range(1, count + 1))]
    )
    store.commit([Edge(run.id, s, n, "join", 1) for s, count in steps.items() for n in range(1, count + 1)])
    read = []
    listing = store.edges

    def edges(run_id: int, *, after: Edge | None = None, limit: int = 0) -> list[Edge]:
        page = listing(run_id, after=after, limit=limit)
        read.append(len(page))
        return page

    store.edges = edges  # type: ignore[method-assign]
    found = {one.parent: (one.count, one.exact) for one in step_edges(store, run.id)}
    assert found == {step: (count, False) for step, count in steps.items()}
    assert sum(read) <= 12_000
