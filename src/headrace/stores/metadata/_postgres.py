"""PostgreSQL through ``psycopg``: for teams and clusters. Imported only when such a URL is opened.

The tables live in a schema of their own, ``headrace`` unless the URL says ``?schema=other``, so a database can be
shared. How durable a commit is, is the server's setting.
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

from headrace.model.errors import (
    HeadraceError,
    StoreAwayError,
    StoreDamagedError,
    StoreError,
    StoreFullError,
    StoreReadOnlyError,
    UsageError,
)
from headrace.stores.metadata._database import (
    ANSWER_SECONDS,
    DRIVER_SECONDS,
    LOCK_SECONDS,
    ConflictError,
    InOneProcess,
    RefusedStateError,
    UnfitTextError,
    hidden,
)
from headrace.stores.metadata._schema import check
from headrace.stores.metadata._sql import POSTGRES, Params, Row, Statements, schema_text

try:
    import psycopg
except ImportError as missing:
    raise UsageError("a PostgreSQL store needs the package psycopg: pip install 'headrace[postgres]'") from missing

from headrace.stores.metadata._pipeline import Pipeline, SilentError
from headrace.stores.metadata._readers import Connection, Readers

#: Held while the tables are made, so that two processes do not make them at once. Any constant will do.
_MAKING = 0x68656164

#: A server that does not answer is given up, unless the URL says otherwise: never wait for a machine that is gone.
_PATIENCE = {
    "connect_timeout": 5,
    "tcp_user_timeout": 20_000,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}

#: After so many seconds without use a connection is asked whether it still works.
_ASK_AFTER = 30.0

#: Where signals are announced. One channel for all schemas: they say theirs.
_CHANNEL = "headrace"

_FULL = frozenset({"53100", "53000"})
_READ_ONLY = frozenset({"42501"})
#: A server that takes over from another accepts no writes at first, nor does one whose disk is full on some clouds.
_STANDBY = "25006"
_DAMAGED = frozenset({"42P01", "42703", "XX001", "XX002"})
_CONFLICT = frozenset({"40001", "40P01"})
_NOT_NULL = "23502"
_LOCKED = frozenset({"55P03", "57014"})
#: The server shuts down, starts up, recovers, or has no connection left.
_AWAY = frozenset({"57P01", "57P02", "57P03", "57P05", "53300"})
_REFUSED = frozenset({"28000", "28P01", "3D000"})


def _explained(error: Exception, url: str) -> StoreError:
    """The Headrace error that says what ``error`` of psycopg means for the user."""
    code = getattr(error, "sqlstate", None)
    text = hidden(str(error).strip())
    if isinstance(error, UnicodeEncodeError) or "NUL (0x00)" in text:
        return UnfitTextError(f"{url}: {text}")
    if code in _CONFLICT:
        return ConflictError(f"{url}: {text}")
    if code == _NOT_NULL and '"state"' in text:
        return RefusedStateError(f"{url}: {text}")
    if code in _FULL:
        return StoreFullError(f"no space left for {url} ({text}). Free some; nothing half-written is left.")
    if code in _READ_ONLY:
        return StoreReadOnlyError(f"{url} cannot be written to ({text}). Grant this user the right, or use another.")
    if code in _DAMAGED:
        return StoreDamagedError(
            f"{url} does not hold a whole Headrace database ({text}). Restore it, or use another schema: ?schema=NAME"
        )
    if code in _LOCKED:
        return StoreAwayError(f"{url} was locked by another session for more than {LOCK_SECONDS:.0f} s ({text})")
    if code == _STANDBY:
        return StoreAwayError(f"{url} takes no writes now ({text}): it is a standby, or was made read-only")
    if code in _AWAY or (code or "").startswith("08") or isinstance(error, SilentError):
        return StoreAwayError(f"{url} does not answer ({text})")
    if code in _REFUSED or (code is None and isinstance(error, psycopg.OperationalError)):
        return (StoreError if code in _REFUSED else StoreAwayError)(
            f"cannot connect to {url} ({text}). Check that the server runs, that the database exists, and the user."
        )
    return StoreError(f"{url}: {text}")


def _split(url: str) -> tuple[str, str, int]:
    """The URL as PostgreSQL's own library takes it, the schema, and how many connections read at most."""
    head, _, query = url.partition("?")
    own = {"schema": "headrace", "readers": "4"}
    kept = []
    for item in filter(None, query.split("&")):
        name, _, value = item.partition("=")
        if name in own:
            own[name] = value
        else:
            kept.append(item)
    schema, readers = own["schema"], own["readers"]
    if not schema.isidentifier() or schema != schema.lower():
        raise UsageError(f"schema={schema} in {hidden(url)}: a schema is named by lower-case letters, digits and _")
    if not readers.isdecimal() or not 1 <= int(readers) <= 1000:
        raise UsageError(f"readers={readers} in {hidden(url)}: it is a number of connections, from 1 to 1000")
    return head + ("?" + "&".join(kept) if kept else ""), schema, int(readers)


class _Writer:
    """The writing connection with its lock, and the transaction it is in.

    Statements that return nothing wait here until one is asked for rows or the transaction ends, and go together: a
    commit is one round trip to the server.
    """

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._pipeline: Pipeline | None = None
        self._used = 0.0
        self._seconds = 0.0
        self._waiting: list[tuple[str, Params]] = []
        self._refusal: HeadraceError | None = None

    def begin(self, seconds: float) -> None:
        self._database.check_process()
        self._lock.acquire()
        self._seconds = seconds
        try:
            if self._connection is not None:
                self._connection.seconds = seconds
                if not self._is_alive(self._connection):
                    self._drop()
            if self._connection is None:
                self._connection = self._database.connect()
                self._connection.seconds = seconds
                self._pipeline = Pipeline(self._connection)
        except BaseException as error:
            self._lock.release()
            if isinstance(error, psycopg.Error):
                raise _explained(error, self._database.url) from error
            raise
        self._waiting = [("BEGIN", ())]
        self._refusal = None

    def _is_alive(self, connection: Connection) -> bool:
        """Whether the connection can be relied on: later, it could not be told whether the server got a commit.

        A server that closed it has said something by now. One that may have vanished without a word is asked.
        """
        if connection.closed:
            return False
        try:
            ear = select.poll()
            ear.register(connection.fileno(), select.POLLIN)
            if ear.poll(0) or time.monotonic() - self._used > _ASK_AFTER:
                connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def end(self, error: BaseException | None) -> None:
        raised = error
        try:
            if error is None:
                try:
                    self._waiting.append(("COMMIT", ()))
                    self._send()
                except (psycopg.Error, UnicodeEncodeError, HeadraceError) as failed:
                    error = failed
            if error is not None:
                self._roll_back()
                if isinstance(error, psycopg.Error | UnicodeEncodeError):
                    raise _explained(error, self._database.url) from error
                if raised is None:
                    raise error
            self._used = time.monotonic()
        finally:
            self._waiting = []
            self._lock.release()

    def _roll_back(self) -> None:
        if self._connection is None:
            return
        try:
            if self._connection.pgconn.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                self._connection.execute("ROLLBACK")
        except psycopg.Error:
            self._drop()  # the server rolls back what a connection leaves behind

    def _send(self) -> None:
        """Send all that waits."""
        assert self._pipeline is not None
        waiting, self._waiting = self._waiting, []
        try:
            self._pipeline.run(waiting, self._seconds)
        except BaseException as error:
            self._drop()
            if self._refusal is not None and isinstance(error, psycopg.errors.DivisionByZero):
                raise self._refusal from error
            raise

    def rows(self, text: str, params: Params) -> list[Row]:
        self._send()
        assert self._connection is not None
        return self._connection.execute(text, params, binary=True).fetchall()

    def change(self, text: str, params: Params) -> None:
        self._waiting.append((text, params))

    def must_change(self, text: str, params: Params, refusal: HeadraceError) -> None:
        # The server must refuse by itself, because the COMMIT is on its way before we know: it divides by zero.
        self._refusal = refusal
        self._waiting.append((f"WITH changed AS ({text} RETURNING 1) SELECT 1 / count(*) FROM changed", params))

    def many(self, text: str, params: Sequence[Params]) -> None:
        self._waiting += [(text, one) for one in params]

    def in_order(self, run_id: int) -> None:
        self.change("SELECT pg_advisory_xact_lock(%s, %s)", (_MAKING, run_id & 0x7FFFFFFF))

    def announce(self) -> None:
        self.change("SELECT pg_notify(%s, %s)", (_CHANNEL, self._database.schema))

    def close(self) -> None:
        with self._lock:
            self._drop()


class _Write:
    """See ``_database.Write``."""

    def __init__(self, writer: _Writer, seconds: float) -> None:
        self._writer = writer
        self._seconds = seconds

    def __enter__(self) -> _Writer:
        self._writer.begin(self._seconds)
        return self._writer

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._writer.end(error)


class _Ear:
    """Listens for what ``announce`` says, and asks now and then in case a connection broke without a word."""

    interval = 5.0

    def __init__(self, database: PostgresDatabase) -> None:
        self._url, self._schema = database.url, database.schema
        self._asked = time.monotonic()
        try:
            self._connection = database.connect()
            self._connection.seconds = DRIVER_SECONDS
            self._connection.execute(f"LISTEN {_CHANNEL}")
        except psycopg.Error as error:
            raise _explained(error, self._url) from error

    def fileno(self) -> int:
        return self._connection.fileno()

    def changed(self) -> bool:
        try:
            heard = [one.payload for one in self._connection.notifies(timeout=0)]
        except psycopg.Error as error:
            raise _explained(error, self._url) from error
        return self._schema in heard or time.monotonic() - self._asked >= self.interval

    def rows(self, text: str, params: Params) -> list[Row]:
        self._asked = time.monotonic()
        try:
            return self._connection.execute(text, params, binary=True).fetchall()
        except psycopg.Error as error:
            raise _explained(error, self._url) from error

    def close(self) -> None:
        self._connection.close()


class PostgresDatabase(InOneProcess):
    """A schema of a PostgreSQL database."""

    def __init__(self, url: str) -> None:
        super().__init__(hidden(url))
        self.url = hidden(url)
        self._target, self.schema, readers = _split(url)
        self.statements = Statements(POSTGRES)
        self.one_writer = False
        self._writer = _Writer(self)
        self._readers = Readers(self.connect, readers)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def connect(self, seconds: float = ANSWER_SECONDS) -> Connection:
        """A new connection that finds our tables, on which no statement takes longer than ``seconds``; 0: any time."""
        settings: dict[str, Any] = {name: value for name, value in _PATIENCE.items() if name not in self._target}
        connection: Connection = Connection.connect(self._target, autocommit=True, **settings)
        session = {
            "search_path": self.schema,
            "lock_timeout": f"{LOCK_SECONDS:g}s",
            "statement_timeout": f"{seconds:g}s",
            "idle_in_transaction_session_timeout": f"{ANSWER_SECONDS:g}s",
        }
        try:
            chosen = [f"set_config('{name}', '{value}', false)" for name, value in session.items()]
            connection.execute("SELECT " + ", ".join(chosen))
            connection.seconds = seconds or None
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self) -> None:
        """Make the tables when there are none; check their version when there are."""
        there = "SELECT to_regclass('headrace_schema') IS NOT NULL"
        if not self.rows(there)[0][0]:
            with self.write(ANSWER_SECONDS) as transaction:
                transaction.rows("SELECT pg_advisory_xact_lock(%s)", (_MAKING,))
                if not transaction.rows(there, ())[0][0]:
                    transaction.change(f"CREATE SCHEMA IF NOT EXISTS {self.schema}", ())
                    for statement in POSTGRES.schema(schema_text()):
                        transaction.change(statement, ())
        found = self.rows("SELECT version_num FROM headrace_schema")
        if not found:
            raise StoreDamagedError(f"{self.url} does not say which version it is of")
        if check(found[0][0], self.url):
            from headrace.stores.metadata._migrate import migrate_postgres

            migrate_postgres(lambda: self.connect(0), self.url)

    def write(self, seconds: float) -> _Write:
        return _Write(self._writer, seconds)

    def rows(self, text: str, params: Params = (), seconds: float = ANSWER_SECONDS) -> list[Row]:
        self.check_process()
        try:
            return self._readers.rows(text, params, seconds)
        except (psycopg.Error, UnicodeEncodeError) as error:
            raise _explained(error, self.url) from error

    def ear(self) -> _Ear:
        self.check_process()
        return _Ear(self)

    def stream(self, text: str, params: Params, size: int) -> Iterator[list[Row]]:
        self.check_process()
        try:
            with (
                self.connect() as connection,
                connection.transaction(),
                connection.cursor("headrace_stream", binary=True) as cursor,
            ):
                cursor.execute(text, params)
                while rows := cursor.fetchmany(size):
                    yield rows
        except psycopg.Error as error:
            raise _explained(error, self.url) from error

    def compact(self) -> int:
        """The server's autovacuum does that."""
        return 0

    def _disconnect(self) -> None:
        self._readers.close()
        self._writer.close()
