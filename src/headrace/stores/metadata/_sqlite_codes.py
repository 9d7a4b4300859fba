"""SQLite's result codes, which the ``sqlite3`` of Python 3.10 neither names nor tells."""

from __future__ import annotations

import sqlite3

ERROR, PERM, BUSY, LOCKED, READONLY, CORRUPT, FULL, CANTOPEN = 1, 3, 5, 6, 8, 11, 13, 14
AUTH, FORMAT, NOTADB, IOERR_WRITE, CONSTRAINT_NOTNULL = 23, 24, 26, 778, 1299

#: How the messages of SQLite begin that tell a code from ``ERROR``.
_MESSAGES = {
    "database is locked": BUSY,
    "database table is locked": LOCKED,
    "attempt to write a readonly database": READONLY,
    "database disk image is malformed": CORRUPT,
    "database or disk is full": FULL,
    "unable to open database file": CANTOPEN,
    "file is not a database": NOTADB,
    "NOT NULL constraint failed": CONSTRAINT_NOTNULL,
}


def code_of(error: Exception) -> int | None:
    """The extended result code of an error of the driver; None for one that does not come from SQLite."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return message_code(error) if code is None and isinstance(error, sqlite3.DatabaseError) else code


def message_code(error: Exception) -> int:
    """The code that the message of an error stands for."""
    return next((code for text, code in _MESSAGES.items() if str(error).startswith(text)), ERROR)
