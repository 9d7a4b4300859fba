"""SQLite: one file, no set-up. The default store.

Write-ahead logging lets readers go on while somebody writes. One connection of the process writes, guarded by a lock;
another reads, so that a long listing does not hold up the engine. ``synchronous=OFF`` hands every commit to the
operating system before it returns: the death of the process loses nothing, a power loss may cost the last commits.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

from headrace.model.errors import (
    StoreDamagedError,
    StoreError,
    StoreFullError,
    StoreReadOnlyError,
)
from headrace.stores.metadata._database import LOCK_SECONDS
from headrace.stores.metadata._schema import check
from headrace.stores.metadata._sql import SQLITE, Params, Row, Statements, schema_text

_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}


def _explained(error: Exception, path: str) -> StoreError:
    """The error of ours that says what ``error`` of the driver means for the user."""
    code = getattr(error, "sqlite_errorcode", None)
    code = None if code is None else code & 0xFF
    if code in _DAMAGED or isinstance(error, UnicodeDecodeError):
        return StoreDamagedError(
            f"{path} is not readable as a Headrace database ({error}). Move the file away: a new one is made when "
            "it is gone. The blobs of the artifact store are not touched by that."
        )
    if code == sqlite3.SQLITE_FULL:
        return StoreFullError(f"no space left for {path} ({error}). Free some; nothing half-written is left.")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return StoreReadOnlyError(
            f"{path} cannot be written to ({error}). The file and its folder must be writable for this user."
        )
    if code == sqlite3.SQLITE_CANTOPEN:
        return StoreError(f"{path} cannot be opened ({error}). Check that the folder exists and its permissions.")
    if code in _BUSY:
        return StoreError(
            f"{path} was locked by another process for more than {LOCK_SECONDS:.0f} s ({error}). "
            "A program that holds it open in a transaction, such as a database browser, must let go."
        )
    return StoreError(f"{path}: {error}")


class _Writer:
    """The writing connection with its lock; both the transaction and what opens and closes it."""

    def __init__(self, database: SqliteDatabase, connection: sqlite3.Connection) -> None:
        self._database = database
        self._connection = connection
        self._lock = threading.Lock()
        self.execute = connection.execute

    def __enter__(self) -> _Writer:
        self._database.check_process()
        self._lock.acquire()
        try:
            self.execute("BEGIN IMMEDIATE")
        except BaseException as error:
            self._lock.release()
            if isinstance(error, sqlite3.Error):
                raise _explained(error, self._database.path) from error
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        try:
            if error is None:
                try:
                    self.execute("COMMIT")
                except sqlite3.Error as failed:
                    error = failed
            if error is not None:
                self._roll_back()
                if isinstance(error, sqlite3.Error | OverflowError):
                    raise _explained(error, self._database.path) from error
        finally:
            self._lock.release()

    def _roll_back(self) -> None:
        # A full disk makes SQLite roll back by itself; rolling back twice is an error.
        if self._connection.in_transaction:
            self.execute("ROLLBACK")

    def rows(self, text: str, params: Params) -> list[Row]:
        return self.execute(text, params).fetchall()

    def change(self, text: str, params: Params) -> int:
        return self.execute(text, params).rowcount

    def many(self, text: str, params: Sequence[Params]) -> None:
        if len(params) == 1:
            self.execute(text, params[0])
        else:
            self._connection.executemany(text, params)

    def in_order(self, run_id: int) -> None:
        """There is one writer at a time anyway."""

    def vacuum(self) -> None:
        with self._lock:
            self.execute("VACUUM")
            self.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        with self._lock:
            self._connection.close()


class SqliteDatabase:
    """A database file. ``synchronous`` is SQLite's word: ``OFF`` or ``FULL``."""

    def __init__(self, path: Path, synchronous: str) -> None:
        self.path = str(path)
        self.url = f"sqlite:///{path}"
        self.statements = Statements(SQLITE)
        self._synchronous = synchronous
        self._pid = os.getpid()
        self._read_lock = threading.Lock()
        self._reader: sqlite3.Connection | None = None
        self._closed = False
        try:
            self._writer = _Writer(self, self._connect())
        except sqlite3.Error as error:
            raise _explained(error, self.path) from error
        self._prepare()

    def _prepare(self) -> None:
        """Make the schema when there is none; check its version when there is."""
        if self.rows("SELECT 1 FROM sqlite_master WHERE name = 'headrace_schema'"):
            self._check_version()
            return
        with self.write() as transaction:
            if transaction.rows("SELECT name FROM sqlite_master LIMIT 1", ()):
                # Another process was faster, or it is somebody else's database: both show outside.
                fresh = False
            else:
                fresh = True
                for statement in SQLITE.schema(schema_text()):
                    transaction.change(statement, ())
        if not fresh:
            self._check_version()

    def _check_version(self) -> None:
        found = self.rows("SELECT version_num FROM headrace_schema")
        check(found[0][0], self.path)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            connection.execute(f"PRAGMA synchronous={self._synchronous}")
            connection.execute("PRAGMA journal_mode=WAL").fetchall()
        except BaseException:
            connection.close()
            raise
        return connection

    def check_process(self) -> None:
        """Refuse use after ``close`` and in a forked child, where SQLite's locks would no longer hold."""
        if os.getpid() != self._pid:
            raise StoreError(
                f"{self.path} was opened before a fork and cannot be used in the child process. Open the store again here."
            )
        if self._closed:
            raise StoreError(f"{self.path} is closed")

    def write(self) -> _Writer:
        return self._writer

    def rows(self, text: str, params: Params = ()) -> list[Row]:
        self.check_process()
        with self._read_lock:
            try:
                if self._reader is None:
                    self._reader = self._connect()
                return self._reader.execute(text, params).fetchall()
            except (sqlite3.Error, OverflowError) as error:
                raise _explained(error, self.path) from error

    def stream(self, text: str, params: Params, size: int) -> Iterator[list[Row]]:
        self.check_process()
        try:
            connection = self._connect()
        except sqlite3.Error as error:
            raise _explained(error, self.path) from error
        try:
            cursor = connection.execute(text, params)
            while rows := cursor.fetchmany(size):
                yield rows
        except sqlite3.Error as error:
            raise _explained(error, self.path) from error
        finally:
            connection.close()

    def compact(self) -> int:
        before = self._size()
        self.check_process()
        try:
            self._writer.vacuum()
        except sqlite3.Error as error:
            raise _explained(error, self.path) from error
        return max(0, before - self._size())

    def _size(self) -> int:
        return sum([file.stat().st_size for file in map(Path, (self.path, self.path + "-wal")) if file.exists()])

    def close(self) -> None:
        if self._closed or os.getpid() != self._pid:
            return
        self._closed = True
        with self._read_lock:
            if self._reader is not None:
                self._reader.close()
        self._writer.close()
