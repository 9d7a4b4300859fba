"""Two projects in one database: what belongs to one is not there for the other, whatever is asked or changed.

The oracle: for a run of another project, every method of the store answers as for a run that does not exist. New
methods of the store must join the table here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.walls import fill_two_projects

from headrace import wiring
from headrace.model.errors import HeadraceError
from headrace.model.records import Param, Request, RunRecord, Tag, TaskId
from headrace.model.states import RunState
from headrace.settings import Settings
from headrace.stores.metadata.project import ProjectStore
from headrace.stores.metadata.protocol import CacheEntry, MetadataStore, NewRun, RunChange, RunFilter
from headrace.testing._metadata_samples import digest
from headrace.testing.metadata import MemoryMetadata

GHOST = 10**9
NOW = 1_000.0
FIT = TaskId("fit", 1)


@pytest.fixture(params=["sqlite", "memory"])
def whole(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MetadataStore]:
    """A database of two projects; ``ours`` has one run with one of everything, ``theirs`` has one run."""
    workspace = wiring.Workspace(Settings(home=str(tmp_path)))
    store = MemoryMetadata() if request.param == "memory" else workspace.metadata
    fill_two_projects(store, "nobody:1:1", 0.0)
    yield store
    workspace.close()


def heard(store: MetadataStore, run: int) -> None:
    """Subscribe to the messages of a run, and end that at once."""
    store.subscribe(run, 0, lambda _: None).close()


def run_of_ours(whole: MetadataStore) -> RunRecord:
    found = whole.run("train", 1, "ours")
    assert found is not None
    return found


#: Every method of a metadata store that takes a run, and how it is asked about one.
BY_RUN: dict[str, Callable[[MetadataStore, int], Any]] = {
    "acquire": lambda store, run: store.acquire(f"run:{run}", "me:1:1", 1.0),
    "lease": lambda store, run: store.lease(f"run:{run}"),
    "commit": lambda store, run: store.commit([Tag(run, "seen", "yes")]),
    "run_by_id": lambda store, run: store.run_by_id(run),
    "delete_run": lambda store, run: store.delete_run(run),
    "tasks": lambda store, run: store.tasks(run),
    "task": lambda store, run: store.task(run, FIT),
    "step_counts": lambda store, run: store.step_counts(run),
    "attempts": lambda store, run: store.attempts(run),
    "queue": lambda store, run: store.queue([run]),
    "artifacts": lambda store, run: store.artifacts(run),
    "outputs": lambda store, run: store.outputs(run, [FIT]),
    "parents": lambda store, run: store.parents(run, FIT),
    "children": lambda store, run: store.children(run, TaskId("load", 1)),
    "edges": lambda store, run: store.edges(run),
    "logs": lambda store, run: store.logs(run, None),
    "segments": lambda store, run: store.segments(run),
    "log_position": lambda store, run: store.log_position(run),
    "metrics": lambda store, run: store.metrics(run),
    "metric_summaries": lambda store, run: store.metric_summaries([run]),
    "tags": lambda store, run: store.tags([run]),
    "flags": lambda store, run: store.flags([run]),
    "params": lambda store, run: store.params([run]),
    "waits": lambda store, run: store.waits(run),
    "cached_of_run": lambda store, run: store.cached_of_run(run),
    "send": lambda store, run: store.send(run, "cancel", "", b"", "me", NOW),
    "signals": lambda store, run: store.signals(run),
    "subscribe": lambda store, run: (heard(store, run), "heard"),
    "export": lambda store, run: dict(store.export(run)),
}
#: Those that name a project or nothing; each has a test below.
BY_PROJECT = {
    "create_run",
    "open_run",
    "run",
    "latest_run",
    "runs",
    "flows",
    "projects",
    "requests",
    "cached",
    "forget_cached",
    "import_rows",
}
#: Those that concern the database as a whole, or only what a caller was handed before.
OF_ALL = {"hasty", "release", "referenced_blobs", "code_packages", "compact", "close"}


def everything(whole: MetadataStore, run: RunRecord) -> Any:
    """What there is of a run."""
    held = whole.lease(f"run:{run.id}")
    return dict(whole.export(run.id)), whole.signals(run.id), None if held is None else held.token


def outcome(call: Callable[[], Any]) -> Any:
    """What a call gives, or how it is refused."""
    try:
        return call()
    except HeadraceError as error:
        return type(error)


def test_every_method_of_a_store_has_its_wall() -> None:
    methods = {name for name, _ in inspect.getmembers(MetadataStore, inspect.isfunction) if not name.startswith("_")}
    assert methods == set(BY_RUN) | BY_PROJECT | OF_ALL
    assert methods <= set(vars(ProjectStore)), "each is written out: nothing passes the wall by default"


@pytest.mark.parametrize("method", sorted(BY_RUN))
def test_run_of_another_project_is_not_there(whole: MetadataStore, method: str) -> None:
    run = run_of_ours(whole)
    before = everything(whole, run)
    ours, theirs = ProjectStore(whole, "ours"), ProjectStore(whole, "theirs")
    ask = BY_RUN[method]
    assert outcome(lambda: ask(theirs, run.id)) == outcome(lambda: ask(theirs, GHOST))
    assert outcome(lambda: ask(theirs.hasty(), run.id)) == outcome(lambda: ask(theirs, GHOST))
    assert everything(whole, run) == before
    seen = outcome(lambda: ask(ours, run.id))  # and the question is one that a run answers
    assert seen != outcome(lambda: ask(ours, GHOST)) or everything(whole, run) != before


def test_names_and_listings_are_of_one_project(whole: MetadataStore) -> None:
    theirs = ProjectStore(whole, "theirs")
    mine = theirs.run("train", 1)
    assert mine is not None
    assert mine.project == "theirs"
    assert theirs.run("train", 1, "ours") is None
    assert theirs.latest_run() == mine
    assert theirs.latest_run("train", "ours") is None
    assert [run.project for run in theirs.runs(RunFilter())] == ["theirs"]
    assert theirs.runs(RunFilter(project="ours")) == []
    assert [(name, count) for name, count, _ in theirs.flows()] == [("train", 1)]
    assert theirs.flows("ours") == []
    assert (theirs.projects(), ProjectStore(whole, "empty").projects()) == (["theirs"], [])
    assert whole.projects() == ["ours", "theirs"]
    run = run_of_ours(whole)
    whole.commit([Request(run.id, "ours", run.name, "tag", "x", "ada", NOW)])
    assert (theirs.requests(), theirs.requests("ours"), len(whole.requests("ours"))) == ([], [], 1)


def test_runs_and_imports_go_to_no_other_project(whole: MetadataStore) -> None:
    theirs = ProjectStore(whole, "theirs")
    new = NewRun(project="ours", flow="x", dialect="native", entry="", created=1.0)
    with pytest.raises(HeadraceError, match="theirs"):
        theirs.create_run(new)
    with pytest.raises(HeadraceError, match="theirs"):
        theirs.open_run(new, "me:1:1", 60.0)
    rows = whole.export(run_of_ours(whole).id)
    with pytest.raises(HeadraceError, match="theirs"):
        theirs.import_rows(rows, "ours")
    assert theirs.import_rows(rows).project == "theirs"
    assert whole.flows("ours") == [("train", 1, 1.0)]


def test_cache_of_another_project_is_neither_used_nor_forgotten(whole: MetadataStore) -> None:
    run = run_of_ours(whole)
    ours, theirs = ProjectStore(whole, "ours"), ProjectStore(whole, "theirs")
    key = digest(run.id)
    entry = ours.cached(key)
    assert entry is not None
    assert theirs.cached(key) is None
    assert theirs.cached(key, "ours") is None
    theirs.forget_cached(entry)
    theirs.forget_cached(entry, result=True)
    with pytest.raises(HeadraceError):
        theirs.forget_cached(entry, "ours")
    assert ours.cached(key) == entry
    with pytest.raises(HeadraceError):
        theirs.commit([CacheEntry(digest(77), run.id, "fit", 1, 1.0)])


def test_batch_with_one_row_of_another_project_is_refused_whole(whole: MetadataStore) -> None:
    theirs = ProjectStore(whole, "theirs")
    mine = theirs.latest_run()
    assert mine is not None
    with pytest.raises(HeadraceError):
        theirs.commit([Param(mine.id, "x", "1"), RunChange(run_id=run_of_ours(whole).id, state=RunState.FAILED)])
    assert theirs.params([mine.id]) == []
