"""Bring a database of an older version up to date, with Alembic. Imported only when there is one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.model.errors import StoreError, StoreVersionError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

#: The migrations of this version.
LOCATION = Path(__file__).parent / "migrations"

#: Any constant: held on PostgreSQL while one process migrates.
_MIGRATING = 0x68656165


def migrate_sqlite(path: str) -> None:
    """Migrate the database file at ``path``: completely, or not at all.

    Raises:
        StoreVersionError: Alembic is not installed.
        StoreError: a migration failed; the database is as it was.
    """
    sqlalchemy = _needed(path)
    engine = sqlalchemy.create_engine("sqlite://", creator=lambda: _sqlite_connection(path))
    _migrate(engine, "BEGIN IMMEDIATE", path)


def migrate_postgres(connect: Callable[[], Any], url: str) -> None:
    """Migrate the database that ``connect`` connects to; the contract is that of ``migrate_sqlite``."""
    sqlalchemy = _needed(url)

    def connection() -> Any:
        made = connect()
        made.autocommit = False
        return made

    engine = sqlalchemy.create_engine("postgresql+psycopg://", creator=connection)
    _migrate(engine, f"SELECT pg_advisory_xact_lock({_MIGRATING})", url)


def _needed(url: str) -> Any:
    try:
        import alembic  # noqa: F401 - that it is there
        import sqlalchemy
    except ImportError as missing:
        raise StoreVersionError(
            f"{url} was written by an older Headrace and must be migrated, which needs two packages: "
            "pip install 'headrace[migrations]'"
        ) from missing
    return sqlalchemy


def _sqlite_connection(path: str) -> Any:
    import sqlite3

    from headrace.stores.metadata._database import LOCK_SECONDS

    # Transactions by hand: the driver would commit before every CREATE and ALTER.
    return sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False)


def _migrate(engine: Engine, begin: str, url: str) -> None:
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with engine.connect() as connection, connection.begin():
            connection.exec_driver_sql(begin)
            upgrade(connection)
    except SQLAlchemyError as error:
        raise StoreError(f"{url} could not be migrated and is as it was: {error}") from error
    finally:
        engine.dispose()


def upgrade(connection: Connection) -> None:
    """Run all migrations that are missing, in the transaction that ``connection`` is in."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(LOCATION).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
