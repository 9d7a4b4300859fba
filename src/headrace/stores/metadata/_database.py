"""What the store needs of a database: one writer that runs transactions, and reads beside it.

``_sqlite`` and ``_postgres`` provide it; ``store`` uses it. Everything raised from here is one of
``headrace.model.errors``: no driver's exception passes.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Protocol, TypeVar

from headrace.model.errors import HeadraceError, StoreAwayError, StoreError
from headrace.stores.metadata._sql import Params, Row, Statements

R = TypeVar("R")

#: How long a writer waits for a lock in one try. Shorter than a lease, so that a driver that waits can renew its own.
LOCK_SECONDS = 3.0
#: How long a driver waits for a server that says nothing: like ``LOCK_SECONDS``, less than a lease.
DRIVER_SECONDS = 8.0
#: How long everybody else does: some statements take long.
ANSWER_SECONDS = 60.0
#: How long calls try again while the database does not answer, unless the caller wants to hear of it at once.
PATIENCE_SECONDS = 30.0
_PAUSE = 0.05


class ConflictError(StoreAwayError):
    """The transaction lost against another; the same again will do."""


class UnfitTextError(StoreError):
    """A text holds what the database cannot keep: half a surrogate pair, or NUL in PostgreSQL."""


class RefusedStateError(StoreError):
    """A state was set to NULL because it must not follow the recorded one: see ``_transitions``."""


class Transaction(Protocol):
    """Statements within one transaction of the writer."""

    def rows(self, text: str, params: Params) -> list[Row]:
        """Run a statement and take all it returns."""

    def change(self, text: str, params: Params) -> None:
        """Run a statement that returns nothing, at the latest when the transaction ends."""

    def must_change(self, text: str, params: Params, refusal: HeadraceError) -> None:
        """Like ``change``, for one that changes a row at most: if it changes none, nothing of the transaction is
        written, and ``refusal`` is raised, here or at its end."""

    def many(self, text: str, params: Sequence[Params]) -> None:
        """Run a statement once for each of ``params``."""

    def in_order(self, run_id: int) -> None:
        """From here to the end, others that call this for the run wait: their rows get greater ids and appear later.

        A reader that follows a table by id would otherwise miss a row whose transaction ended after that of a greater
        id.
        """

    def announce(self) -> None:
        """Tell processes that wait for signals, once the transaction has ended, that there is one."""


class InOneProcess:
    """A database as one process opened it. In a child that it forks, locks and connections would be shared."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._pid = os.getpid()
        self._closed = False

    def check_process(self) -> None:
        """Refuse use after ``close`` and in a forked child."""
        if os.getpid() != self._pid:
            raise StoreError(
                f"{self._name} was opened before a fork and cannot be used in the child process. Open the store again."
            )
        if self._closed:
            raise StoreError(f"{self._name} is closed")

    def close(self) -> None:
        """Release connections; calling twice is the same as once."""
        if not self._closed and os.getpid() == self._pid:
            self._closed = True
            self._disconnect()

    def _disconnect(self) -> None:
        raise NotImplementedError


class Write(Protocol):
    """``with database.write() as transaction``: commits at the end, rolls back when anything is raised."""

    def __enter__(self) -> Transaction:
        """Wait for the writer and begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Commit or roll back, and let the next one in."""


class PatientWrite:
    """A ``Write`` that goes on trying to begin for ``PATIENCE_SECONDS``."""

    def __init__(self, write: Write) -> None:
        self._write = write

    def __enter__(self) -> Transaction:
        return patiently(self._write.__enter__)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._write.__exit__(kind, error, where)


def patiently(call: Callable[[], R]) -> R:
    """What ``call`` returns, tried again for ``PATIENCE_SECONDS`` while the database does not answer."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return call()
        except StoreAwayError:
            if time.monotonic() > until:
                raise
        time.sleep(_PAUSE)


class Ear(Protocol):
    """A connection that learns when something was written. Used by one thread."""

    #: Seconds after which ``changed`` is asked, if nothing is heard before.
    interval: float

    def fileno(self) -> int | None:
        """The descriptor that becomes readable when the database says something, if it ever does."""

    def changed(self) -> bool:
        """Whether there may be signals that ``rows`` did not return before."""

    def rows(self, text: str, params: Params) -> list[Row]:
        """Run a query."""

    def close(self) -> None:
        """Release the connection."""


class Database(Protocol):
    """One open database. Safe for threads; refuses to be used in a forked child."""

    url: str
    statements: Statements
    #: Whether transactions come strictly one after the other, so that what one has read cannot change before it ends.
    one_writer: bool

    def write(self, seconds: float) -> Write:
        """A transaction of the one writer of this process; a server that says nothing for ``seconds`` is away."""

    def rows(self, text: str, params: Params = (), seconds: float = ANSWER_SECONDS) -> list[Row]:
        """Read, in a transaction of its own that does not hold up the writer."""

    def stream(self, text: str, params: Params, size: int) -> Iterator[list[Row]]:
        """Read much: lists of up to ``size`` rows, all of one moment, without holding up anybody."""

    def ear(self) -> Ear:
        """A connection of its own that learns of writes."""

    def compact(self) -> int:
        """Give free space back; how many bytes the database shrank."""

    def close(self) -> None:
        """Release connections; calling twice is the same as once."""


def hidden(url: str) -> str:
    """``url`` with the password blotted out, fit for messages."""
    url = re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:***@", url)
    return re.sub(r"(?i)(password=)[^&\s]+", r"\1***", url)
