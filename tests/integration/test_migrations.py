"""A fresh schema equals all migrations applied, and a store of an older version is brought up to date on opening."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace._base.process import process_owner
from headrace.model.errors import StoreError, StoreVersionError
from headrace.model.records import LogChunk, TaskId
from headrace.stores.metadata import _migrate, _schema
from headrace.stores.metadata._postgres import PostgresDatabase
from headrace.stores.metadata._sql import POSTGRES
from headrace.stores.metadata.open import open_metadata
from headrace.stores.metadata.protocol import MetadataStore, RunFilter
from headrace.testing.metadata import attempt, new_run, task
from headrace.testing.postgres import postgres_server

NEXT = """
-- Tasks get a colour.
ALTER TABLE tasks ADD COLUMN colour TEXT NOT NULL DEFAULT 'red';
CREATE INDEX tasks_by_colour ON tasks (colour);
"""

BROKEN = NEXT + "INSERT INTO nowhere VALUES (1);\n"

#: A store as version 1 left it: runs of two projects, of which the second took a result of the first.
OLD = (Path(__file__).parent / "stores" / "schema1.sql").read_text("utf-8")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres_server() as url:
        yield url


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "headrace.db")


def next_version(folder: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """From here on this is a Headrace whose newest schema is one more; the name of that version."""
    location = folder / "migrations"
    version = _schema.SCHEMA_VERSION + 1
    shutil.copytree(_migrate.LOCATION, location)
    (location / f"{version:04d}_colour.sql").write_text(source)
    monkeypatch.setattr(_migrate, "LOCATION", location)
    monkeypatch.setattr(_schema, "SCHEMA_VERSION", version)
    return f"{version:04d}"


def sqlite_shape(path: str) -> dict[str, Any]:
    """All that a schema is in SQLite, without the words it was written in."""
    shape: dict[str, Any] = {}
    with sqlite3.connect(path) as connection:
        for name, kind in connection.execute("SELECT name, type FROM sqlite_master ORDER BY name").fetchall():
            pragma = "table_xinfo" if kind == "table" else "index_xinfo"
            shape[name] = connection.execute(f"PRAGMA {pragma}({name})").fetchall()
            if kind == "table":
                shape[name, "indexes"] = sorted(row[1:] for row in connection.execute(f"PRAGMA index_list({name})"))
        shape["tables"] = sorted(connection.execute("PRAGMA table_list").fetchall())
        shape["rows"] = [connection.execute(f"SELECT * FROM {t}").fetchall() for t in ("counters", "headrace_schema")]
    connection.close()
    return shape


def test_sqlite_fresh_equals_migrated(tmp_path: Path, path: str) -> None:
    open_metadata(path).close()
    migrated = str(tmp_path / "migrated.db")
    _migrate.migrate_sqlite(migrated)
    assert sqlite_shape(path) == sqlite_shape(migrated)
    assert len(sqlite_shape(path)) > 40


def postgres_shape(url: str, schema: str) -> list[Any]:
    """All that a schema is in PostgreSQL."""
    import psycopg

    with psycopg.connect(url) as connection:
        columns = connection.execute(
            "SELECT table_name, ordinal_position, column_name, data_type, is_nullable, column_default, collation_name, "
            "is_identity, character_maximum_length FROM information_schema.columns "
            "WHERE table_schema = %s ORDER BY 1, 2",
            (schema,),
        ).fetchall()
        indexes = connection.execute(
            "SELECT tablename, indexname, replace(indexdef, schemaname || '.', '') FROM pg_indexes "
            "WHERE schemaname = %s ORDER BY 1, 2",
            (schema,),
        ).fetchall()
        rows = [connection.execute(f"SELECT * FROM {schema}.{t}").fetchall() for t in ("counters", "headrace_schema")]
    return [columns, indexes, rows]


def test_postgres_fresh_equals_migrated(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import psycopg

    open_metadata(f"{server}&schema=fresh").close()
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA migrated")

    def connect() -> Any:
        return psycopg.connect(server, autocommit=True, options="-c search_path=migrated")

    _migrate.migrate_postgres(connect, server)
    fresh, migrated = postgres_shape(server, "fresh"), postgres_shape(server, "migrated")
    assert fresh == migrated
    assert len(fresh[0]) > 100


def test_sqlite_of_an_older_version_is_migrated_on_opening(
    tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_metadata(path)
    run = new_run(store)
    store.commit([task(run.id)])
    store.close()
    version = next_version(tmp_path, NEXT, monkeypatch)
    store = open_metadata(path)
    assert store.tasks(run.id) == [task(run.id)]
    assert store._database.rows("SELECT colour FROM tasks") == [("red",)]
    assert store._database.rows("SELECT version_num FROM headrace_schema") == [(version,)]
    store.commit([task(run.id, number=2)])
    store.close()
    monkeypatch.undo()
    with pytest.raises(StoreVersionError, match="newer"):
        open_metadata(path)


def test_postgres_of_an_older_version_is_migrated_on_opening(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{server}&schema=older"
    store = open_metadata(url)
    run = new_run(store)
    store.commit([task(run.id)])
    store.close()
    next_version(tmp_path, NEXT, monkeypatch)
    store = open_metadata(url)
    assert store.tasks(run.id) == [task(run.id)]
    assert store._database.rows("SELECT colour FROM tasks") == [("red",)]
    store.close()
    monkeypatch.undo()
    with pytest.raises(StoreVersionError, match="newer"):
        PostgresDatabase(url)


def test_migration_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_metadata(path).close()
    before = sqlite_shape(path)
    next_version(tmp_path, BROKEN, monkeypatch)
    with pytest.raises(StoreError, match=r"headrace\.db could not be migrated and is as it was"):
        open_metadata(path)
    assert sqlite_shape(path) == before


def old_store(path: str) -> None:
    """A database of version 1 at ``path``."""
    connection = sqlite3.connect(path)
    connection.executescript(OLD)
    connection.close()


def check_contents(store: MetadataStore) -> None:
    """What ``OLD`` holds is there, and its cache answers by project."""
    assert [run.name for run in store.runs(RunFilter(project="default"))] == ["work/3", "work/2", "work/1"]
    assert [run.name for run in store.runs(RunFilter(project="other"))] == ["second/1", "work/1"]
    first, second, third = (store.run("work", number) for number in (1, 2, 3))
    other = store.run("second", 1, "other")
    assert first is not None
    assert second is not None
    assert third is not None
    assert other is not None
    made = store.task(first.id, TaskId("load", 1))
    elsewhere = store.task(other.id, TaskId("load", 1))
    assert made is not None
    assert elsewhere is not None
    # The entry is of the project whose run made it, and runs of that project that took it hold it too.
    own, theirs = store.cached(made.cache_key, "default"), store.cached(elsewhere.cache_key, "other")
    assert own is not None
    assert theirs is not None
    assert (own.run_id, theirs.run_id) == (first.id, other.id)
    assert store.cached(made.cache_key, "other") is None
    assert store.cached(elsewhere.cache_key, "default") is None
    for run, holder in ((first, second), (second, third)):
        store.delete_run(run.id)
        entry = store.cached(made.cache_key, "default")
        assert entry is not None
        assert entry.run_id == holder.id
    store.delete_run(third.id)
    assert store.cached(made.cache_key, "default") is None
    run = new_run(store)
    store.commit([task(run.id)])
    assert store.tasks(run.id) == [task(run.id)]


def test_sqlite_store_of_version_1(path: str) -> None:
    old_store(path)
    store = open_metadata(path)
    check_contents(store)
    store.close()
    fresh = f"{path}-fresh"
    open_metadata(fresh).close()
    ours, theirs = sqlite_shape(path), sqlite_shape(fresh)
    assert {k: v for k, v in ours.items() if k != "rows"} == {k: v for k, v in theirs.items() if k != "rows"}


def test_postgres_store_of_version_1(server: str, path: str) -> None:
    import psycopg

    old_store(path)
    with psycopg.connect(server, autocommit=True, options="-c search_path=version1") as connection:
        connection.execute("CREATE SCHEMA version1")
        for statement in POSTGRES.schema((_migrate.LOCATION / "0001_initial.sql").read_text("utf-8")):
            connection.execute(statement)
        with sqlite3.connect(path) as old:
            for table in ("runs", "run_details", "tasks", "artifacts", "cache", "flows"):
                cursor = old.execute(f"SELECT * FROM {table}")
                names = [column[0] for column in cursor.description]
                for row in cursor.fetchall():
                    marks = ", ".join(["%s"] * len(row))
                    connection.execute(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", row)
        old.close()
        connection.execute("SELECT setval(pg_get_serial_sequence('version1.runs', 'id'), 100)")
    store = open_metadata(f"{server}&schema=version1")
    check_contents(store)
    store.close()


def test_store_is_not_migrated_under_a_live_run(path: str) -> None:
    old_store(path)
    for owner, expires, refused in (
        (process_owner(), time.time() + 60, True),
        ("elsewhere:17:4711-x", time.time() + 60, True),
        ("elsewhere:17:4711-x", time.time() - 1, False),
    ):
        with sqlite3.connect(path) as connection:
            connection.execute("DELETE FROM leases")
            connection.execute("INSERT INTO leases VALUES ('run:3', ?, 5, ?)", (owner, expires))
        connection.close()
        if refused:
            with pytest.raises(StoreVersionError, match="still drives a run"):
                open_metadata(path)
        else:
            open_metadata(path).close()


CHANGED = "ALTER TABLE attempts RENAME TO tries;"


def meet_a_newer_schema(store: MetadataStore, migrate: Callable[[], None]) -> None:
    """``store`` stays open while a newer Headrace migrates its database: it stops with one message, nothing is lost."""
    run = new_run(store)
    store.commit([task(run.id)])
    migrate()
    with pytest.raises(StoreVersionError, match=r"written by a newer Headrace.*Upgrade.*start again"):
        store.acquire("run:1", process_owner(), 10)
    with pytest.raises(StoreVersionError, match="written by a newer Headrace"):
        store.commit([task(run.id, number=2), attempt(run.id)])
    assert store.lease("run:1") is None
    assert store.tasks(run.id) == [task(run.id)]
    store.close()


def test_older_process_stops_when_its_sqlite_store_was_migrated(path: str) -> None:
    def migrate() -> None:
        with sqlite3.connect(path) as connection:
            connection.executescript(f"{CHANGED} UPDATE headrace_schema SET version_num = '0099';")
        connection.close()

    meet_a_newer_schema(open_metadata(path), migrate)


def test_older_process_stops_when_its_postgres_store_was_migrated(server: str) -> None:
    import psycopg

    def migrate() -> None:
        with psycopg.connect(server, autocommit=True, options="-c search_path=newer") as connection:
            connection.execute(CHANGED)
            connection.execute("UPDATE headrace_schema SET version_num = '0099'")

    meet_a_newer_schema(open_metadata(f"{server}&schema=newer"), migrate)


def test_process_of_version_2_can_end_what_it_does_after_a_migration(path: str) -> None:
    """A run that an older Headrace began after the migration, in a store that it had open before, is recorded."""
    open_metadata(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(
            "INSERT INTO attempts (run_id, step, number, attempt, state, started, finished, host, pid, cpu_seconds, "
            "peak_memory, failure, exit_code, error, traceback, exception) "
            "VALUES (1, 'fit', 1, 1, 'succeeded', 1.0, NULL, 'h', 1, 0.0, 0, '', NULL, '', '', NULL)"
        )
        connection.execute(
            "INSERT INTO logs (run_id, step, number, attempt, seq, stream, written, data) "
            "VALUES (1, 'fit', 1, 1, 0, 'out', 1.0, x'61')"
        )
    connection.close()
    store = open_metadata(path)
    [ended] = store.attempts(1)
    assert (ended.place, ended.token) == ("local", 0)
    [said] = store.logs(1, None)
    assert isinstance(said, LogChunk)
    assert said.data == b"a"
    store.close()


def test_many_processes_open_an_old_store_at_once(path: str) -> None:
    old_store(path)
    code = f"from headrace.stores.metadata.open import open_metadata; open_metadata({path!r}).close()"
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(6)]
    assert [process.wait(60) for process in processes] == [0] * 6


def test_version_and_migrations_agree() -> None:
    names = sorted(file.name for file in _migrate.LOCATION.glob("*.sql"))
    assert [int(name[:4]) for name in names] == list(range(1, _schema.SCHEMA_VERSION + 1))


def test_migrations_are_in_the_package() -> None:
    """What an installed Headrace needs lies beside the code."""
    for name in ("schema.sql", "queries.sql", "migrations/0001_initial.sql"):
        assert (Path(_schema.__file__).parent / name).is_file(), name
