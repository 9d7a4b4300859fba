"""Entries of the audit log that are written with the change they are about, in one transaction.

Who changes something says ahead what is to be recorded (``AccountStore.recorded``); the first transaction that this
thread makes in the database afterwards writes it too, whichever store makes it. So no change is without its entry, and
no entry without its change.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from types import TracebackType

from headrace.stores.metadata._database import Database, Transaction, Write
from headrace.stores.metadata._sql import Params


class Pending:
    """An entry that waits for its change; ``written`` once that is made."""

    def __init__(self, database: Database, text: str, params: Params) -> None:
        self.database = database
        self.text = text
        self.params = params
        self.written = False


_pending: ContextVar[Pending | None] = ContextVar("headrace_audit_entry", default=None)


@contextlib.contextmanager
def pending(entry: Pending) -> Iterator[Pending]:
    """Let the next change write ``entry``."""
    token = _pending.set(entry)
    try:
        yield entry
    finally:
        _pending.reset(token)


def audited(write: Write, database: Database) -> Write:
    """``write``, which also writes the entry that waits, if one does."""
    entry = _pending.get()
    return write if entry is None or entry.written or entry.database is not database else _AuditedWrite(write, entry)


class _AuditedWrite:
    def __init__(self, write: Write, entry: Pending) -> None:
        self._write = write
        self._entry = entry
        self._transaction: Transaction | None = None

    def __enter__(self) -> Transaction:
        self._transaction = self._write.__enter__()
        return self._transaction

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if error is None and self._transaction is not None:
            try:
                self._transaction.change(self._entry.text, self._entry.params)
            except BaseException as failed:
                self._write.__exit__(type(failed), failed, failed.__traceback__)
                raise
        self._write.__exit__(kind, error, where)
        self._entry.written = error is None
