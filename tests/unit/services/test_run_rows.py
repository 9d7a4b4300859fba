"""Which runs a listing shows, by the state that it shows."""

from __future__ import annotations

import pytest

from headrace._base.process import process_owner
from headrace.model.states import RunState
from headrace.services.query import parse_query
from headrace.services.run_rows import as_recorded, parse_states
from headrace.stores.metadata.protocol import NewRun, RunChange, RunFilter
from headrace.testing.metadata import MemoryMetadata

NOW = 1e9


@pytest.fixture
def store() -> MemoryMetadata:
    """Runs 1 and 2 crashed, 3 runs, 4 failed, 5 succeeded."""
    store = MemoryMetadata()
    for state in (*[RunState.RUNNING] * 3, RunState.FAILED, RunState.SUCCEEDED):
        run = store.create_run(NewRun(project="p", flow="f", dialect="native", entry="", created=NOW - 100))
        store.commit([RunChange(run_id=run.id, state=state)])
    assert store.acquire("run:3", process_owner(), 10.0)
    return store


@pytest.mark.parametrize(
    ("where", "states", "numbers"),
    [
        ("", (), [5, 4, 3, 2, 1]),
        ("", ("crashed",), [2, 1]),
        ("", ("running", "failed"), [4, 3]),
        ("state = crashed", ("crashed", "failed"), [2, 1]),
        ("state = crashed", ("failed",), []),
        ("state = running", (), [3]),
        ("state != crashed", (), [5, 4, 3]),
        ("state != running", (), [5, 4, 2, 1]),
        ("state = succeeded or state = crashed and number = 2", (), [5, 2]),
        ("state not in (crashed, failed) and (state = running or number = 5)", (), [5, 3]),
        ("state = failed and state = succeeded", (), []),
    ],
)
def test_states_are_those_that_are_shown(
    store: MemoryMetadata, where: str, states: tuple[str, ...], numbers: list[int]
) -> None:
    want = RunFilter(project="p", where=parse_query(where))
    found = store.runs(as_recorded(store, want, parse_states(states)))
    assert [run.number for run in found] == numbers


def test_with_a_limit_the_newest_are_shown(store: MemoryMetadata) -> None:
    want = RunFilter(limit=1)
    (run,) = store.runs(as_recorded(store, want, parse_states(["crashed"])))
    assert run.number == 2
