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
        StepEdge(parent="work", child="join", count=tasks),
        StepEdge(parent="load", child="work", count=tasks, exact=exact),
    ]
