"""Bring a database of an older version up to date. Imported only when there is one.

A migration is a file ``migrations/NNNN_name.sql`` in the portable dialect of ``_sql``. To write one: change
``schema.sql``, add the file, raise ``SCHEMA_VERSION``; a test compares the two ways to get there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from headrace._base.process import owner_alive
from headrace.model.errors import StoreError, StoreVersionError
from headrace.stores.metadata._sql import POSTGRES, SQLITE, Dialect

#: The migrations of this version.
LOCATION = Path(__file__).parent / "migrations"

#: Any constant: held on PostgreSQL while one process migrates.
_MIGRATING = 0x68656165

#: Runs one statement and returns its rows, if it has any.
_Execute = Callable[[str], Sequence[Any]]


def migrate_sqlite(path: str) -> None:
    """Migrate the database file at ``path``: completely, or not at all. One without tables gets all of them.

    Raises:
        StoreVersionError: a run is live that an older Headrace drives.
        StoreError: a migration failed; the database is as it was.
    """
    import sqlite3

    from headrace.stores.metadata._database import PATIENCE_SECONDS

    connection = sqlite3.connect(path, timeout=PATIENCE_SECONDS, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        _migrate(lambda text: connection.execute(text).fetchall(), SQLITE, path)
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise StoreError(f"{path} could not be migrated and is as it was: {error}") from error
    finally:
        connection.close()  # which rolls back what was not committed


def migrate_postgres(connect: Callable[[], Any], url: str) -> None:
    """Migrate the database that ``connect`` connects to; the contract is that of ``migrate_sqlite``."""
    import psycopg

    connection = connect()

    def execute(text: str) -> Sequence[Any]:
        done = connection.execute(text)
        return done.fetchall() if done.description else ()

    try:
        with connection.transaction():
            execute(f"SELECT pg_advisory_xact_lock({_MIGRATING})")
            _migrate(execute, POSTGRES, url)
    except psycopg.Error as error:
        raise StoreError(f"{url} could not be migrated and is as it was: {error}") from error
    finally:
        connection.close()


def _migrate(execute: _Execute, dialect: Dialect, url: str) -> None:
    """Apply what is missing, in the transaction that ``execute`` is in."""
    version = _version(execute, dialect)
    if version:
        _refuse_live(execute, url)
    for file in sorted(LOCATION.glob("[0-9]*.sql")):
        number = int(file.name[:4])
        if number > version:
            for statement in dialect.schema(file.read_text("utf-8")):
                execute(statement)
            execute(f"UPDATE headrace_schema SET version_num = '{number:04d}'")


def _version(execute: _Execute, dialect: Dialect) -> int:
    there = {
        "sqlite": "SELECT 1 FROM sqlite_master WHERE name = 'headrace_schema'",
        "postgresql": "SELECT 1 WHERE to_regclass('headrace_schema') IS NOT NULL",
    }[dialect.name]
    return int(execute("SELECT version_num FROM headrace_schema")[0][0]) if execute(there) else 0


def _refuse_live(execute: _Execute, url: str) -> None:
    """An older Headrace that drives a run writes to tables as it knows them: let it end first."""
    now = time.time()
    live = [
        owner
        for owner, expires in execute("SELECT owner, expires FROM leases")
        if expires > now and owner_alive(owner) is not False
    ]
    if live:
        host, _, rest = live[0].partition(":")
        raise StoreVersionError(
            f"{url} was written by an older Headrace and must be migrated, but process {rest.partition(':')[0]} on "
            f"{host} still drives a run in it. Wait for its end, or stop it, and try again"
        )
