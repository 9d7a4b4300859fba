"""``headrace.connect``: clients of several workspaces and projects in one process, and the default one beside them."""

from __future__ import annotations

import os
import pickle
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

import headrace
from headrace import flow, step
from headrace.model.errors import NotFoundError, StoreVersionError, UsageError


@step(cache=True)
def double(x: int) -> int:
    print("doubling", x)
    headrace.log_metric("x", float(x))
    return 2 * x


@flow
def doubled(x: int = 1) -> int:
    headrace.set_tag("kind", "demo")
    return double(x)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in [name for name in os.environ if name.startswith("HEADRACE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    from headrace import wiring

    wiring.scope_here().workspace.close()


def test_two_projects_of_one_database_see_nothing_of_each_other(here: Path) -> None:
    with headrace.connect(home="shared", project="one") as one, headrace.connect(home="shared", project="two") as two:
        run = one.start(doubled, 4)
        assert (run.name, run.result) == ("doubled/1", 8)
        for look in (
            lambda: two.run("doubled/1"),
            lambda: two.run("doubled"),
            lambda: two.task("doubled/1/double/1"),
            lambda: two.artifact("doubled/1"),
            lambda: two.artifacts("doubled/1"),
            lambda: two.logs("doubled/1"),
            lambda: two.tags("doubled/1"),
            lambda: two.flow("doubled"),
            lambda: two.delete("doubled/1"),
        ):
            with pytest.raises(NotFoundError):
                look()
        assert two.flows == []
        assert list(two.runs()) == []

        again = two.start(doubled, 4)  # its own number, and nothing of the other's cache
        assert (again.name, again["double"][1].reused_from) == ("doubled/1", "")
        assert one.start(doubled, 4)["double"][1].reused_from == "doubled/1/double/1"
        assert [r.name for r in one.runs()] == ["doubled/2", "doubled/1"]
        assert [r.name for r in two.runs()] == ["doubled/1"]
        assert run != again

        two.delete("doubled/1")
        assert two.flows == []
        assert one.run("doubled/1").result == 8


def test_gc_keeps_what_another_project_needs(here: Path) -> None:
    @flow
    def keeps(text: str) -> bytes:
        return text.encode() * 50_000

    with headrace.connect(home="shared", project="one") as one:
        two = one.in_project("two")
        kept, gone = one.start(keeps, "kept"), two.start(keeps, "gone")
        plan = two.gc(older_than=0, grace=0)
        assert (plan.runs, plan.deleted) == (["keeps/1"], False)
        assert two.flows == ["keeps"]
        done = two.gc(older_than=0, grace=0, delete=True)
        assert done.runs == ["keeps/1"]
        assert done.blobs >= 1
        assert two.flows == []
        assert kept.result == b"kept" * 50_000
        with pytest.raises(NotFoundError):
            two.run(gone.name)


def test_everything_that_is_read_comes_from_the_client_s_workspace(here: Path) -> None:
    doubled(1)  # the default workspace has runs of the same names
    with headrace.connect(home=here / "other") as client:
        run = client.start(doubled, 21)
        assert run.name == "doubled/1"
        assert client.run("doubled").result == 42
        assert client.task("doubled/1/double/1").result == 42
        assert client.artifact("doubled/1/double/1").value == 42
        assert client.artifacts("doubled/1")["result"].value == 42
        assert "doubling 21" in client.logs("doubled/1")
        assert client.tags("doubled/1") == {"kind": "demo"}
        assert client.flow("doubled").latest.result == 42
        assert client.flow("doubled")[1].result == 42
        assert client.flow("doubled")[-1].result == 42
        assert [one.result for one in client.runs("doubled", where="metrics.x = 21")] == [42]
        assert client.flows == ["doubled"]
        assert pickle.loads(pickle.dumps(run)).result == 42
        assert pickle.loads(pickle.dumps(run["double"][1])).result == 42
        assert headrace.resume(run).result == 42
        assert client.run("doubled/1").record.session == 2
        assert headrace.Run("doubled/1").result == 2
        assert headrace.Run("doubled/1") != run


def test_nothing_is_made_by_connecting_or_reading(here: Path) -> None:
    with headrace.connect(home="nowhere") as client:
        with pytest.raises(NotFoundError, match="no runs yet"):
            client.runs()
        with pytest.raises(NotFoundError, match="no runs yet"):
            _ = client.flows
    assert not list(here.iterdir())


def test_what_is_named_counts_more_than_the_surroundings(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_DATABASE", str(here / "env.db"))
    monkeypatch.setenv("HEADRACE_PROJECT", "env")
    assert headrace.connect().settings.database == str(here / "env.db")
    named = headrace.connect(home="mine").settings
    assert (named.home, named.database, named.project) == (str(here / "mine"), "", "env")
    assert headrace.connect(database="x.db", project="p").settings.database == str(here / "x.db")
    for wrong in ({"project": ""}, {"home": ""}, {"database": " "}, {"artifacts": "s3://"}):
        with pytest.raises(UsageError):
            headrace.connect(**wrong)


def test_password_of_the_database_is_not_pickled_with_a_run(here: Path) -> None:
    from headrace.settings import Settings, without_password

    settings = Settings(home="h", database="postgresql://ada:s3cret@db/runs")
    assert without_password(settings).database == "postgresql://ada@db/runs"
    assert "s3cret" not in repr(headrace.connect(database="postgresql://ada:s3cret@db/runs"))


def test_database_of_a_newer_schema_is_refused_and_left_alone(here: Path) -> None:
    with headrace.connect(home="new") as client:
        client.start(doubled, 1)
    with sqlite3.connect(here / "new/metadata.db") as connection:
        connection.execute("UPDATE headrace_schema SET version_num = '9999'")
    before = (here / "new/metadata.db").read_bytes()
    with headrace.connect(home="new") as client:
        for use in (lambda: client.runs()[:1], lambda: client.run("doubled"), lambda: client.start(doubled, 2)):
            with pytest.raises(StoreVersionError, match="newer"):
                list(use())  # type: ignore[call-overload]
    assert (here / "new/metadata.db").read_bytes() == before


def test_actor_of_every_change_is_recorded_also_of_a_deletion(here: Path) -> None:
    with headrace.connect(home="shared", project="p") as client:
        run = client.start(doubled, 2)
        run.add_tag("team", "vision")
        run.remove_tag("kind")
        client.delete("doubled/1")
        who = str(client._scope.actor)
        assert "@" in who
        told = [(one.run, one.action, one.detail, one.actor) for one in client.requests()]
        assert told == [
            ("doubled/1", "delete", "", who),
            ("doubled/1", "untag", "kind", who),
            ("doubled/1", "tag", "team=vision", who),
        ]
        with pytest.raises(NotFoundError, match=f"doubled/1 was deleted by {who}"):
            client.run("doubled/1")
        assert client.in_project("other").requests() == []
        client.start(doubled, 3)
        assert client.gc(older_than=0, grace=0, delete=True).runs == ["doubled/2"]
        assert [(one.run, one.action, one.actor) for one in client.requests(limit=1)] == [("doubled/2", "delete", who)]


@step
def names_in_step() -> list[str]:
    return [run.name for run in headrace.runs()] + [headrace.Run("looks").name]


@flow
def looks() -> list[list[str]]:
    first = names_in_step()
    os.environ["SOMETHING"] = "other"
    try:
        return [first, names_in_step(), [run.name for run in headrace.runs()]]
    finally:
        del os.environ["SOMETHING"]


def test_code_of_a_run_finds_the_workspace_of_its_client(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    doubled(1)
    monkeypatch.setenv("HEADRACE_DATABASE", str(here / "misleading.db"))
    with headrace.connect(home="elsewhere", project="p") as client:
        assert client.start(looks).result == [["looks/1", "looks/1"], ["looks/1", "looks/1"], ["looks/1"]]
    assert not (here / "misleading.db").exists()


def test_missing_home_is_named(here: Path) -> None:
    with pytest.raises(NotFoundError, match=r"there are no runs yet: .*nowhere/metadata\.db does not exist"):
        headrace.connect(home="nowhere").runs()
    with pytest.raises(NotFoundError, match=r"no \.headrace folder with any in "):
        headrace.connect().runs()


def test_client_that_was_closed_refuses_every_use() -> None:
    with headrace.connect(home="shared") as client:
        run = client.start(doubled, 4)
        beside = client.in_project("other")
        assert beside.flows == []
    for use in (
        lambda: client.runs(),
        lambda: client.flows,
        lambda: client.run("doubled/1"),
        lambda: client.start(doubled, 5),
        lambda: client.gc(),
        lambda: run.tasks,
        lambda: beside.flows,
        client.__enter__,
    ):
        with pytest.raises(UsageError, match="this client was closed"):
            list(use())  # type: ignore[call-overload]
    client.close()
    assert headrace.connect(home="shared").run("doubled/1").result == 8
