"""Connections of PostgreSQL that read: as many as read at once, up to a limit.

Not ``psycopg_pool``: that keeps threads of its own, and a process with threads cannot fork its workers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg

from headrace.stores.metadata._pipeline import SilentError
from headrace.stores.metadata._sql import Params, Row

#: A connection that was not needed for so many seconds is closed when another is given back.
_IDLE_SECONDS = 60.0


class Connection(psycopg.Connection[Row]):
    """One that gives a server up which says nothing for ``seconds``; the connection is of no use then."""

    seconds: float | None = None

    def wait(self, gen: Any, *args: Any, **named: Any) -> Any:
        """See ``psycopg.Connection``."""
        return super().wait(gen if self.seconds is None else _limited(gen, self.seconds), *args, **named)


def _limited(gen: Any, seconds: float) -> Any:
    """``gen``, which asks for a socket to become ready; psycopg sends nothing every moment while it is not."""
    until = time.monotonic() + seconds
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() > until:
                raise SilentError(seconds)
            wanted = gen.send(ready)
    except StopIteration as end:
        return end.value


class Readers:
    """The pool. Any thread may read; one that finds all connections in use waits for its turn."""

    def __init__(self, connect: Callable[[], Connection], limit: int) -> None:
        self._connect = connect
        self._room = threading.Semaphore(limit)
        self._lock = threading.Lock()
        self._idle: list[tuple[float, Connection]] = []  # the one used last is last
        self._closed = False

    def rows(self, text: str, params: Params, seconds: float) -> list[Row]:
        """Run a query; one that an old connection cannot answer, because it broke, is run on a new one.

        Raises:
            psycopg.Error: as the server, or the new connection, has it; ``SilentError`` after ``seconds`` without a
                word of it.
        """
        if not self._room.acquire(timeout=seconds):
            raise SilentError(seconds)
        try:
            while (old := self._take()) is not None:
                old.seconds = seconds
                try:
                    return self._read(old, text, params)
                except SilentError:
                    raise
                except psycopg.OperationalError:
                    if not old.closed:
                        raise
            new = self._connect()
            new.seconds = seconds
            return self._read(new, text, params)
        finally:
            self._room.release()

    def _take(self) -> Connection | None:
        with self._lock:
            return self._idle.pop()[1] if self._idle else None

    def _read(self, connection: Connection, text: str, params: Params) -> list[Row]:
        try:
            return connection.execute(text, params, binary=True).fetchall()
        finally:
            self._give_back(connection)

    def _give_back(self, connection: Connection) -> None:
        now = time.monotonic()
        if connection.pgconn.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            connection.close()
        unwanted = []
        with self._lock:
            if not connection.closed:
                self._idle.append((now, connection))
            while self._idle and (self._closed or now - self._idle[0][0] > _IDLE_SECONDS):
                unwanted.append(self._idle.pop(0)[1])
        for one in unwanted:
            one.close()

    def close(self) -> None:
        """Close what is idle now, and the rest when it is given back."""
        with self._lock:
            self._closed = True
            unwanted, self._idle = self._idle, []
        for _, one in unwanted:
            one.close()
