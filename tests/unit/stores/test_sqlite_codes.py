"""Result codes of SQLite where its driver does not tell them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from headrace.stores.metadata import _sqlite_codes as codes


def test_codes_are_those_of_sqlite() -> None:
    names = [name for name in vars(codes) if name.isupper() and not name.startswith("_")]
    assert len(names) == 13
    assert {name: getattr(codes, name) for name in names} == {
        name: getattr(sqlite3, f"SQLITE_{name}") for name in names
    }


def test_message_tells_the_code_that_the_driver_does_not(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    one, other = [sqlite3.connect(file, timeout=0, isolation_level=None) for _ in range(2)]
    one.execute("CREATE TABLE t (state TEXT NOT NULL)")
    one.execute("BEGIN IMMEDIATE")
    (tmp_path / "b.db").write_bytes(b"no database at all" * 100)
    cases = [
        (other, "BEGIN IMMEDIATE"),
        (one, "INSERT INTO t VALUES (NULL)"),
        (one, "SELECT * FROM nothing"),
        (sqlite3.connect(tmp_path / "b.db"), "SELECT * FROM t"),
        (sqlite3.connect(f"file:{file}?mode=ro", uri=True), "INSERT INTO t VALUES ('x')"),
    ]
    for connection, sql in cases:
        with pytest.raises(sqlite3.DatabaseError) as caught:
            connection.execute(sql)
        assert codes.message_code(caught.value) & 0xFF == caught.value.sqlite_errorcode & 0xFF
        assert codes.code_of(caught.value) == caught.value.sqlite_errorcode
    for connection, _ in cases:
        connection.close()
    with pytest.raises(sqlite3.OperationalError) as caught:
        sqlite3.connect(tmp_path / "gone/c.db")
    assert codes.message_code(caught.value) == codes.CANTOPEN
    assert codes.code_of(ValueError()) is None
