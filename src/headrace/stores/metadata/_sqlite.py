"""SQLite: one file, no set-up. The default store.

Write-ahead logging lets readers go on while a process writes. One connection of the process writes, guarded by a lock;
another reads, so that a long listing does not hold up the engine. ``synchronous=OFF`` hands every commit to the
operating system before it returns: the death of the process loses nothing, a power loss may cost the last commits.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

from headrace.model.errors import (
    HeadraceError,
    StoreAwayError,
    StoreDamagedError,
    StoreError,
    StoreFullError,
    StoreReadOnlyError,
)
from headrace.stores.metadata import _sqlite_codes as codes
from headrace.stores.metadata._database import LOCK_SECONDS, InOneProcess, RefusedStateError, UnfitTextError
from headrace.stores.metadata._fork_guard import guard
from headrace.stores.metadata._schema import check
from headrace.stores.metadata._sql import SQLITE, Params, Row, Statements, schema_text

#: What ``sqlite3`` raises: also where a value fits no column or a text is not Unicode.
_OF_THE_DRIVER = (sqlite3.Error, OverflowError, UnicodeEncodeError)

#: How often the file is looked for.
_LOOK_SECONDS = 1.0

_BUSY = {codes.BUSY, codes.LOCKED}
_READ_ONLY = {codes.READONLY, codes.PERM, codes.AUTH}
_DAMAGED = {codes.CORRUPT, codes.NOTADB, codes.FORMAT}


def _explained(error: Exception, path: str) -> StoreError:
    """The Headrace error that says what ``error`` of sqlite3 means for the user."""
    if isinstance(error, UnicodeEncodeError):
        return UnfitTextError(f"{path}: {error}")
    extended = codes.code_of(error)
    code = None if extended is None else extended & 0xFF
    if extended == codes.CONSTRAINT_NOTNULL and str(error).endswith(".state"):
        return RefusedStateError(f"{path}: {error}")
    if code in _DAMAGED or "Could not decode" in str(error):
        return StoreDamagedError(
            f"{path} is not readable as a Headrace database ({error}). Restore it from a backup, or move it away: "
            "a new one is made when it is gone. The blobs of the artifact store are not touched by that."
        )
    if code == codes.FULL:
        return StoreFullError(f"no space left for {path} ({error}). Free some; nothing half-written is left.")
    if extended == codes.IOERR_WRITE and (limit := _file_size_limit()) is not None:
        return StoreFullError(
            f"no space left for {path}: files of this process may have {limit} bytes at most (`ulimit -f`). "
            "Raise the limit; nothing half-written is left."
        )
    unwritable = code == codes.CANTOPEN and Path(path).parent.is_dir() and not os.access(Path(path).parent, os.W_OK)
    if unwritable or code in _READ_ONLY:
        return StoreReadOnlyError(
            f"{path} cannot be written to ({error}). The file and its folder must be writable for this user."
        )
    if code == codes.CANTOPEN:
        return StoreError(f"{path} cannot be opened ({error}). Check that its folder exists and may be entered.")
    if code in _BUSY:
        return StoreAwayError(
            f"{path} is locked by another process ({error}). "
            "Whatever holds it open in a transaction, such as a database browser, must let go."
        )
    return StoreError(f"{path}: {error}")


def _file_size_limit() -> int | None:
    """How large files of this process may get, if there is a limit. SQLite does not say why it could not write."""
    import resource

    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to write-ahead logging, which a file then keeps. SQLite does not wait here for others that do the same."""
    until = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").fetchall()
            return
        except sqlite3.OperationalError as error:
            if (codes.code_of(error) or 0) & 0xFF not in _BUSY or time.monotonic() > until:
                raise
            time.sleep(0.005)


class _Writer:
    """The writing connection with its lock; both the transaction and what opens and closes it."""

    def __init__(self, database: SqliteDatabase, connection: sqlite3.Connection, lock: threading.Lock) -> None:
        self._database: SqliteDatabase = weakref.proxy(database)  # which has this writer, and goes with its last user
        self._connection = connection
        self._lock = lock
        self._file = Path(database.path).stat().st_ino
        self._looked = time.monotonic()
        # One cursor for all statements: making one takes as long as a small statement.
        self._cursor = connection.cursor()
        self.execute = self._cursor.execute

    def _look(self, now: float) -> None:
        """Notice that the file is gone: SQLite would go on writing to a file without a name."""
        try:
            there = Path(self._database.path).stat().st_ino == self._file
        except FileNotFoundError:
            there = False
        if not there:
            raise StoreDamagedError(
                f"{self._database.path} was deleted or replaced while it was in use. What was recorded in it is gone."
            )
        self._looked = now

    def __enter__(self) -> _Writer:
        self._database.check_process()
        now = time.monotonic()
        if now - self._looked > _LOOK_SECONDS:
            self._look(now)
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
                if isinstance(error, _OF_THE_DRIVER):
                    raise _explained(error, self._database.path) from error
        finally:
            self._lock.release()

    def _roll_back(self) -> None:
        # A full disk makes SQLite roll back by itself; rolling back twice is an error.
        if self._connection.in_transaction:
            self.execute("ROLLBACK")

    def rows(self, text: str, params: Params) -> list[Row]:
        return self.execute(text, params).fetchall()

    def change(self, text: str, params: Params) -> None:
        self.execute(text, params)

    def must_change(self, text: str, params: Params, refusal: HeadraceError) -> None:
        if self.execute(text, params).rowcount != 1:
            raise refusal

    def many(self, text: str, params: Sequence[Params]) -> None:
        if len(params) == 1:
            self.execute(text, params[0])
        else:
            self._cursor.executemany(text, params)

    def in_order(self, run_id: int) -> None:
        """There is one writer at a time anyway."""

    def announce(self) -> None:
        """Others look."""

    def vacuum(self) -> None:
        with self._lock:
            self.execute("VACUUM")
            self.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        with self._lock:
            self._connection.close()


class _Ear:
    """Asks SQLite for the number that changes with every commit of another connection; that costs microseconds."""

    interval = 0.1

    def __init__(self, database: SqliteDatabase) -> None:
        self._path = database.path
        self._lock = database.ear_lock
        try:
            with self._lock:
                self._connection = database.open()
        except _OF_THE_DRIVER as error:
            raise _explained(error, self._path) from error
        self._version = -1

    def fileno(self) -> None:
        """SQLite says nothing by itself."""

    def changed(self) -> bool:
        [(version,)] = self.rows("PRAGMA data_version", ())
        before, self._version = self._version, version
        return bool(version != before)

    def rows(self, text: str, params: Params) -> list[Row]:
        try:
            with self._lock:
                return self._connection.execute(text, params).fetchall()
        except _OF_THE_DRIVER as error:
            raise _explained(error, self._path) from error

    def close(self) -> None:
        with self._lock:
            self._connection.close()


def _close_all(connections: list[sqlite3.Connection], pid: int) -> None:
    """Close the connections of a database that is not used any more; in a forked child, do nothing."""
    if os.getpid() == pid:
        for connection in connections:
            connection.close()


class SqliteDatabase(InOneProcess):
    """A database file, closed at the latest with its last user.

    ``synchronous`` is SQLite's word: ``OFF`` or ``FULL``.
    """

    def __init__(self, path: Path, synchronous: str) -> None:
        super().__init__(str(path))
        self.path = str(path)
        self.url = f"sqlite:///{path}"
        self.statements = Statements(SQLITE)
        self.one_writer = True
        self._synchronous = synchronous
        self._read_lock = threading.Lock()
        self._reader: sqlite3.Connection | None = None
        writing = threading.Lock()
        self.ear_lock = threading.Lock()
        self.locks = (writing, self._read_lock, self.ear_lock)
        guard(self)
        try:
            with writing:
                self._make_file()
                connection = self.open()
                try:
                    self._prepare(connection)
                except BaseException:
                    connection.close()
                    raise
        except sqlite3.Error as error:
            raise _explained(error, self.path) from error
        self._writer = _Writer(self, connection, writing)
        self._connections = [connection]
        weakref.finalize(self, _close_all, self._connections, self._pid).atexit = False

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Make the schema when there is none; check its version, and migrate, when there is."""
        try:
            found = connection.execute("SELECT version_num FROM headrace_schema").fetchall()
        except sqlite3.OperationalError as error:
            if codes.code_of(error) != codes.ERROR:  # which it is when there is no such table
                raise
            self._make(connection)
            found = connection.execute("SELECT version_num FROM headrace_schema").fetchall()
        if not found:
            raise StoreDamagedError(f"{self.path} does not say which version it is of; restore it from a backup")
        # One that may only be read is read as it is: older versions have all that reading needs.
        if check(found[0][0], self.path) and os.access(self.path, os.W_OK):
            from headrace.stores.metadata._migrate import migrate_sqlite

            migrate_sqlite(self.path)

    def _make(self, connection: sqlite3.Connection) -> None:
        try:
            connection.execute("BEGIN IMMEDIATE")
            there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master").fetchall()}
            if there and "headrace_schema" not in there:
                raise StoreDamagedError(
                    f"{self.path} is a database, but not one of Headrace (it has {', '.join(sorted(there)[:3])}, ...). "
                    "Choose another file."
                )
            if not there:  # else another process was faster
                for statement in SQLITE.schema(schema_text()):
                    connection.execute(statement)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _make_file(self) -> None:
        """Make the file, empty, for this user; in a folder that a group shares, for the group."""
        try:
            shared = os.stat(os.path.dirname(self.path)).st_mode & 0o2020 == 0o2020  # noqa: PTH116, PTH120
            mode = 0o660 if shared else 0o600
            descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, mode)
        except OSError:
            return  # it is there, or SQLite will say why it cannot be made
        try:
            if shared:
                os.fchmod(descriptor, mode)
        finally:
            os.close(descriptor)

    def open(self) -> sqlite3.Connection:
        """A connection; for reading only, when the file or its folder allow no more."""
        try:
            return self._connect(self.path)
        except sqlite3.OperationalError as error:
            code = (codes.code_of(error) or 0) & 0xFF
            path, log = Path(self.path), Path(self.path + "-wal")
            readable = path.is_file() and os.access(path, os.R_OK) and path.stat().st_size > 0
            if code not in (*_READ_ONLY, codes.CANTOPEN) or not readable or log.exists():
                raise
            # Write-ahead logging needs files beside the database, which cannot be made here. Nobody else can be
            # writing then either, so that the file may be read as it is.
            return self._connect(f"{path.as_uri()}?immutable=1")

    def _connect(self, target: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            target,
            timeout=LOCK_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            uri=target.startswith("file:"),
        )
        try:
            connection.execute(f"PRAGMA synchronous={self._synchronous}")
            _use_wal(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def write(self, seconds: float) -> _Writer:
        return self._writer

    def rows(self, text: str, params: Params = (), seconds: float = 0.0) -> list[Row]:
        self.check_process()
        with self._read_lock:
            try:
                if self._reader is None:
                    self._reader = self.open()
                    self._connections.append(self._reader)
                return self._reader.execute(text, params).fetchall()
            except _OF_THE_DRIVER as error:
                raise _explained(error, self.path) from error

    def stream(self, text: str, params: Params, size: int) -> Iterator[list[Row]]:
        self.check_process()
        try:
            connection = self.open()
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

    def ear(self) -> _Ear:
        self.check_process()
        return _Ear(self)

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

    def _disconnect(self) -> None:
        with self._read_lock:
            if self._reader is not None:
                self._reader.close()
        self._writer.close()
