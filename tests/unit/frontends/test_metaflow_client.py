"""The Client API of the Metaflow dialect on records that no flow was run for: many runs, wide joins, deleted runs."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace import wiring
from headrace.frontends.metaflow.client import runs as client
from headrace.frontends.metaflow.exceptions import MetaflowNotFound
from headrace.frontends.metaflow.names import INPUTS, TRANSITION
from headrace.model.records import Edge, Input, RunRecord, Source, Tag
from headrace.model.states import RunState, TaskState
from headrace.model.values import Packed
from headrace.settings import Settings
from headrace.stores.metadata.protocol import MetadataStore, RunChange
from headrace.testing.metadata import artifact, new_run, task

NOTHING = Packed("json", b"\0" * 32, 1, b"1")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MetadataStore]:
    """The store of a folder that is the working directory; all namespaces are looked at."""
    for name in Settings.__struct_fields__:
        monkeypatch.delenv(f"HEADRACE_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)
    scope = wiring.scope_here()
    client.namespace(None)
    yield scope.metadata
    client.default_namespace()
    scope.workspace.close()


def numbers(runs: Iterator[client.Run]) -> list[int]:
    return [int(run.id) for run in runs]


def test_runs_come_newest_first_and_by_tags_over_many_pages(
    store: MetadataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_PAGE", 3)
    for number in range(1, 12):
        run = new_run(store, "Many", created=float(number))
        new_run(store, "Other")
        store.commit([Tag(run.id, "user", "ann" if number % 2 else "bob"), Tag(run.id, f"tag{number % 3}")])
    flow = client.Flow("Many")
    assert numbers(iter(flow)) == list(range(11, 0, -1))
    assert numbers(flow.runs("tag1")) == [10, 7, 4, 1]
    assert numbers(flow.runs("tag1", "user:ann")) == [7, 1]
    assert numbers(flow.runs("no such tag")) == []
    assert flow.latest_run == client.Run("Many/11")
    created = flow.created_at
    assert created is not None and created.timestamp() == 1.0
    client.namespace("user:bob")
    assert numbers(iter(client.Flow("Many"))) == [10, 8, 6, 4, 2]
    assert [one.id for one in client.Metaflow()] == ["Many"]


@pytest.mark.parametrize("runs", [3, 6])
def test_pages_that_are_full_to_the_last(store: MetadataStore, monkeypatch: pytest.MonkeyPatch, runs: int) -> None:
    monkeypatch.setattr(client, "_PAGE", 3)
    for _ in range(runs):
        new_run(store, "Full")
    assert len(list(client.Flow("Full"))) == runs


def wide(store: MetadataStore, state: TaskState, splits: int = 20) -> RunRecord:
    """A run that split and joined; ``state`` is that of the join."""
    run = new_run(store, "Wide")
    led = tuple(Source("each", number, TRANSITION, b"") for number in range(1, splits + 1))
    given = (Input(INPUTS, NOTHING, led, template=True),)
    store.commit([task(run.id, "each", number) for number in range(1, splits + 1)])
    store.commit([task(run.id, "join", inputs=given, state=state)])
    if state is TaskState.SUCCEEDED:
        store.commit([Edge(run.id, "each", number, "join", 1) for number in range(1, splits + 1)])
    store.commit([RunChange(run_id=run.id, state=RunState.FAILED, started=1.0, session=1, finished=2.0)])
    return run


@pytest.mark.parametrize("state", [TaskState.SUCCEEDED, TaskState.FAILED])
def test_a_join_of_many_is_read_once_for_all_that_led_there(
    store: MetadataStore, monkeypatch: pytest.MonkeyPatch, state: TaskState
) -> None:
    run = client.Run(f"Wide/{wide(store, state).number}")
    read: list[Any] = []
    whole, listed = store.task, store.tasks
    monkeypatch.setattr(store, "task", lambda *args: read.append(args) or whole(*args))
    monkeypatch.setattr(store, "tasks", lambda *args, **how: read.append(args) or listed(*args, **how))
    branches = list(run["each"])
    assert [[one.id for one in branch.child_tasks] for branch in branches] == [["1"]] * 20
    assert len(list(run["join"].task.parent_tasks)) == 20
    assert len(read) < 8


def test_what_is_known_of_children_is_forgotten_when_the_run_goes_on(store: MetadataStore) -> None:
    record = wide(store, TaskState.SUCCEEDED)
    branch = client.Run("Wide/1")["each"]["1"]
    assert [one.pathspec for one in branch.child_tasks] == ["Wide/1/join/1"]
    store.commit([RunChange(run_id=record.id, state=RunState.RUNNING, started=3.0, session=2)])
    again = (Input(TRANSITION, NOTHING, (Source("each", 1, TRANSITION, b""),)),)
    store.commit([task(record.id, "more", inputs=again, state=TaskState.RUNNING)])
    assert branch._run.record(fresh=True).state is RunState.RUNNING
    assert [one.pathspec for one in branch.child_tasks] == ["Wide/1/join/1", "Wide/1/more/1"]


@pytest.mark.parametrize(
    "look",
    [
        lambda run: run.created_at,
        lambda run: run.successful,
        lambda run: run.data,
        lambda run: run.add_tag("late"),
        lambda run: client.Run(run.pathspec),
        lambda run: pickle.loads(pickle.dumps(run)),
    ],
)
def test_a_run_that_was_deleted_meanwhile(store: MetadataStore, look: Callable[[client.Run], Any]) -> None:
    record = new_run(store, "Gone")
    store.commit([task(record.id, "start"), artifact(record.id, "start"), Tag(record.id, "user", "ann")])
    run = client.Run("Gone/1")
    assert "result" in run["start"].task
    store.delete_run(record.id)
    with pytest.raises(MetaflowNotFound, match=r"was deleted|does not exist"):
        look(run)
    assert store.tags([record.id]) == []
    assert list(run) == [] and "start" not in run


@pytest.mark.parametrize("run", ["²", "9" * 30, "-1", " 1", "1\0", ""])
def test_ids_that_no_run_or_task_has(store: MetadataStore, run: str) -> None:
    store.commit([task(new_run(store, "Odd").id, "start")])
    with pytest.raises(MetaflowNotFound):
        client.Run(f"Odd/{run}")
    with pytest.raises(MetaflowNotFound):
        client.Task(f"Odd/1/start/{run}")
