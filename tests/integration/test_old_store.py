"""A store as commit d06bfe5 left it (schema 1): every run in it can be read, resumed and explained by this version.

``stores/d06bfe5.tar.xz`` holds the flow's file, the database and the artifacts of four runs: two that succeeded, the
second with a cached result; one that failed; one whose driver was killed while a task ran.
"""

from __future__ import annotations

import json
import sqlite3
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from headrace._base.process import process_owner
from headrace.model.records import TaskId
from headrace.model.states import AttemptState
from headrace.stores.metadata._schema import SCHEMA_VERSION

if TYPE_CHECKING:
    from tests.integration.conftest import Project

STORE = Path(__file__).parent / "stores" / "d06bfe5.tar.xz"
MADE_IN = "/tmp/train-store"


@pytest.fixture
def old(project: Project) -> Project:
    with tarfile.open(STORE) as archive:
        archive.extractall(project.path, filter="data")
    project.home.chmod(0o700)
    with sqlite3.connect(database(project)) as connection:
        connection.execute("UPDATE runs SET entry = replace(entry, ?, ?)", (MADE_IN, str(project.path)))
    connection.close()
    return project


def database(project: Project) -> str:
    return str(project.home / "metadata.db")


def version(project: Project) -> str:
    with sqlite3.connect(database(project)) as connection:
        found: str = connection.execute("SELECT version_num FROM headrace_schema").fetchone()[0]
    connection.close()
    return found


def command(project: Project, *argv: str) -> str:
    done = project.finish(project.start("-m", "headrace.cli", *argv))
    assert done.code == 0, done.err
    return done.out


def asked(project: Project, *argv: str) -> Any:
    return json.loads(command(project, *argv, "--json"))


def test_every_run_of_an_old_store_is_read(old: Project) -> None:
    assert version(old) == "0001"
    rows = {row["name"]: row["state"] for row in asked(old, "runs")}
    assert rows == {
        "train/1": "succeeded",
        "train/2": "succeeded",
        "train/3": "failed",
        "train/4": "crashed",
    }
    assert version(old) == f"{SCHEMA_VERSION:04d}"
    for name in rows:
        view = asked(old, "show", name)
        assert view["running"] == []
        assert view["run"]["tags"] == {"kind": "old"}
        for step in view["steps"]:
            for task in asked(old, "show", f"{name}/{step['step']}"):
                assert asked(old, "show", task["name"])["key"]
                assert asked(old, "explain", task["name"])["verdict"]
    crashed = {step["step"]: step["counts"] for step in asked(old, "show", "train/4")["steps"]}
    assert crashed["square"] == {"succeeded": 2, "lost": 1}
    script = "import headrace; print(headrace.Run('train/1').result, len(headrace.Run('train/2')['text'][1].result))"
    done = old.finish(old.start("-c", script))
    assert done.out.split() == ["5", "27000"], done.err
    assert "loading 3" in command(old, "logs", "train/1")


def test_every_run_of_an_old_store_is_resumed(old: Project) -> None:
    (old.path / "mended").touch()
    for name in ("train/4", "train/3", "train/1"):
        command(old, "resume", name, "--reuse-changed")
    assert {row["state"] for row in asked(old, "runs")} == {"succeeded"}
    crashed = old.metadata.run("train", 4)
    assert crashed is not None
    attempts = old.metadata.attempts(crashed.id, TaskId("square", 3))
    assert [(one.attempt, one.state) for one in attempts] == [(1, AttemptState.LOST), (2, AttemptState.SUCCEEDED)]
    assert [one.attempt for one in old.metadata.attempts(crashed.id, TaskId("square", 1))] == [1]
    failed = old.metadata.run("train", 3)
    assert failed is not None
    attempts = old.metadata.attempts(failed.id, TaskId("square", 4))
    assert [one.state for one in attempts] == [AttemptState.FAILED, AttemptState.FAILED, AttemptState.SUCCEEDED]


def test_run_exported_by_an_old_version_has_the_columns_that_came_later(old: Project) -> None:
    """Rows of an export of schema 1 lack what schema 3 added; they come in with what holds for them."""
    run = old.metadata.run("train", 1)
    assert run is not None
    rows = {table: list(content) for table, content in old.metadata.export(run.id).items()}
    import msgspec

    added = {"attempts": ("session", "place", "token"), "logs": ("segment",)}
    for table, columns in added.items():
        decoded = [msgspec.msgpack.decode(row) for row in rows[table]]
        rows[table] = [msgspec.msgpack.encode({k: v for k, v in row.items() if k not in columns}) for row in decoded]
    del rows["shared_values"]
    rows["schema"] = [msgspec.msgpack.encode({"version": 1})]
    copy = old.metadata.import_rows(rows, "default")
    assert [one.place for one in old.metadata.attempts(copy.id)] == ["local"] * len(old.metadata.attempts(run.id))
    assert len(old.metadata.logs(copy.id, None)) == len(old.metadata.logs(run.id, None))


def test_old_store_is_not_migrated_while_an_older_process_drives_a_run_in_it(old: Project) -> None:
    """One message, nothing changed; once that process has ended, the store is migrated and its run goes on."""
    with sqlite3.connect(database(old)) as connection:
        connection.execute("UPDATE leases SET owner = ?, expires = ?", (process_owner(), time.time() + 600))
    connection.close()
    done = old.finish(old.start("-m", "headrace.cli", "runs"))
    assert done.code != 0
    assert "still drives a run in it" in done.err
    assert "Traceback" not in done.err
    assert version(old) == "0001"
    with sqlite3.connect(database(old)) as connection:
        connection.execute("UPDATE leases SET expires = 0, owner = 'elsewhere:1:1'")
    connection.close()
    (old.path / "mended").touch()
    command(old, "resume", "train/4", "--reuse-changed")
    assert version(old) == f"{SCHEMA_VERSION:04d}"
