"""A fresh schema equals all migrations applied, and a store of an older version is brought up to date on opening."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from headrace.model.errors import StoreError, StoreVersionError
from headrace.stores.metadata import _migrate, _schema, _sqlite
from headrace.stores.metadata._postgres import PostgresDatabase
from headrace.stores.metadata.open import open_metadata
from headrace.testing.metadata import new_run, task
from headrace.testing.postgres import postgres_server

SECOND = """
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("tasks", sa.Column("colour", sa.Text, nullable=False, server_default="red"))
    op.create_index("tasks_by_colour", "tasks", ["colour"])
"""

BROKEN = SECOND + '    op.execute("INSERT INTO nowhere VALUES (1)")\n'


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres_server() as url:
        yield url


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "headrace.db")


def second_version(folder: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on this is a Headrace whose newest schema is version 2."""
    location = folder / "migrations"
    shutil.copytree(_migrate.LOCATION, location)
    (location / "versions" / "v0002_colour.py").write_text(source)
    monkeypatch.setattr(_migrate, "LOCATION", location)
    monkeypatch.setattr(_schema, "SCHEMA_VERSION", 2)


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
    second_version(tmp_path, SECOND, monkeypatch)
    store = open_metadata(path)
    assert store.tasks(run.id) == [task(run.id)]
    assert store._database.rows("SELECT colour FROM tasks") == [("red",)]
    assert store._database.rows("SELECT version_num FROM headrace_schema") == [("0002",)]
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
    second_version(tmp_path, SECOND, monkeypatch)
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
    second_version(tmp_path, BROKEN, monkeypatch)
    with pytest.raises(StoreError, match=r"headrace\.db could not be migrated and is as it was"):
        open_metadata(path)
    assert sqlite_shape(path) == before


def test_migration_without_alembic(tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    open_metadata(path).close()
    second_version(tmp_path, SECOND, monkeypatch)
    monkeypatch.setitem(sys.modules, "alembic", None)
    with pytest.raises(StoreVersionError, match=r"headrace\[migrations\]"):
        open_metadata(path)


def test_version_and_migrations_agree() -> None:
    names = sorted(file.name for file in (_migrate.LOCATION / "versions").glob("v*.py"))
    assert [int(name[1:5]) for name in names] == list(range(1, _schema.SCHEMA_VERSION + 1))
    assert sqlalchemy.__version__ >= "2"
    assert _sqlite.SQLITE.name == "sqlite"


def test_migrations_are_in_the_package() -> None:
    """What an installed Headrace needs lies beside the code."""
    for name in ("schema.sql", "queries.sql", "migrations/env.py", "migrations/versions/v0001_initial.sql"):
        assert (Path(_schema.__file__).parent / name).is_file(), name
