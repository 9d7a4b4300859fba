"""Many statements to PostgreSQL and back in one round trip.

On libpq as psycopg wraps it: psycopg's own pipeline costs more time per statement than a server next door needs to
run it. Only for statements whose rows are not needed; values go as text, bytes as they are.
"""

from __future__ import annotations

import itertools
import re
import select
from collections.abc import Sequence
from typing import TYPE_CHECKING

import psycopg
from psycopg import pq

from headrace.stores.metadata._sql import Params

if TYPE_CHECKING:
    from psycopg.abc import Buffer
    from psycopg.pq.abc import PGconn, PGresult

#: Statements beyond this are not prepared: what is put together from parts must not fill up the server.
_PREPARED = 200
#: What goes as it is.
_BYTES = (bytes, bytearray)

_FINE = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK)


class SilentError(psycopg.OperationalError):
    """The server said nothing for too long."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no answer for {seconds:g} s")


class Pipeline:
    """Runs statements on one connection. After an error the connection is of no use and must be closed."""

    def __init__(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        self._libpq: PGconn = connection.pgconn
        self._names: dict[str, bytes] = {}
        self._ear = select.poll()
        self._ear.register(connection.fileno(), select.POLLIN)
        self._seconds = 0.0

    def run(self, statements: Sequence[tuple[str, Params]], seconds: float) -> None:
        """Run them in order, to the first that fails; its error is raised.

        Raises:
            psycopg.Error: as the server, or the connection, has it; ``SilentError`` when the server takes and says
                nothing for ``seconds``.
            UnicodeEncodeError: a text cannot be written in UTF-8.
        """
        libpq = self._libpq
        self._seconds = seconds
        libpq.enter_pipeline_mode()
        answers = sum([self._queue(text, params) for text, params in statements])
        libpq.pipeline_sync()
        while libpq.flush():
            self._ear.modify(libpq.socket, select.POLLIN | select.POLLOUT)
            self._await()
            self._ear.modify(libpq.socket, select.POLLIN)
            libpq.consume_input()
        for _ in range(answers):
            answer = self._next()
            if answer is None or answer.status not in _FINE:
                raise _error(answer)
            self._next()  # None, which ends the answer to one statement
        answer = self._next()
        if answer is None or answer.status != pq.ExecStatus.PIPELINE_SYNC:
            raise _error(answer)
        libpq.exit_pipeline_mode()

    def _queue(self, text: str, params: Params) -> int:
        """Send one statement; how many answers there will be."""
        values = [_written(value) for value in params]
        formats = [int(isinstance(value, _BYTES)) for value in params]
        name = self._names.get(text)
        if name is not None:
            self._libpq.send_query_prepared(name, values, formats)
            return 1
        numbers = itertools.count(1)
        numbered = re.sub("%s", lambda _: f"${next(numbers)}", text).encode()
        if len(self._names) >= _PREPARED:
            self._libpq.send_query_params(numbered, values, param_formats=formats)
            return 1
        name = self._names[text] = f"headrace_{len(self._names)}".encode()
        self._libpq.send_prepare(name, numbered)
        self._libpq.send_query_prepared(name, values, formats)
        return 2

    def _await(self) -> None:
        if not self._ear.poll(self._seconds * 1000):
            raise SilentError(self._seconds)

    def _next(self) -> PGresult | None:
        while self._libpq.is_busy():
            self._await()
            self._libpq.consume_input()
        return self._libpq.get_result()


def _written(value: object) -> Buffer | None:
    if value is None or isinstance(value, _BYTES):
        return value
    written = value.encode() if isinstance(value, str) else str(value).encode()
    if b"\0" in written:  # which would end the text for libpq
        raise psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
    return written


def _error(answer: PGresult | None) -> psycopg.Error:
    if answer is None:
        return psycopg.OperationalError("the connection is lost")
    return psycopg.errors.error_from_result(answer)
