"""The statements, the rows and the schema agree with each other; rows are grouped without changing what they do."""

from __future__ import annotations

import math
import re
import sqlite3

import pytest

from headrace.model.records import ArtifactRecord, MetricChunk, Param, Tag, TaskRecord
from headrace.model.values import Packed, Preview
from headrace.stores.metadata import _rows, _transfer, _writes
from headrace.stores.metadata._database import hidden
from headrace.stores.metadata._sql import POSTGRES, SQLITE, Statements, schema_text
from headrace.stores.metadata.protocol import CacheEntry, DropOutputs, Untag


@pytest.fixture
def database() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for statement in SQLITE.schema(schema_text()):
        connection.execute(statement)
    return connection


def columns(database: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in database.execute(f"PRAGMA table_info({table})")]


def test_every_statement_is_understood(database: sqlite3.Connection) -> None:
    for file, least in (("queries.sql", 41), ("accounts.sql", 20)):
        statements = Statements(SQLITE, file)
        names = [one for one in statements.names() if re.match("SELECT|INSERT|UPDATE|DELETE", statements.source(one))]
        assert len(names) >= least
        for name in names:
            statement = statements(name)
            database.execute(f"EXPLAIN {statement.text}", (None,) * len(statement.names)).fetchall()
    database.close()


def test_inserts_name_all_columns_in_order(database: sqlite3.Connection) -> None:
    statements = Statements(SQLITE)
    for name in statements.names():
        match = re.match(r"INSERT INTO (\w+) \(([^)]*)\)\s+VALUES \(([^)]*)\)", statements.source(name))
        if match is None or not name.startswith("put_"):
            continue
        named = [column.strip() for column in match[2].split(",")]
        assert named == [column for column in columns(database, match[1]) if column != "id"], name
        assert statements(name).names == tuple(named), name
    database.close()


def test_exports_hold_all_columns(database: sqlite3.Connection) -> None:
    assert list(_transfer.RUN_COLUMNS) == columns(database, "runs")[1:]
    for table, (named, _) in _transfer.BELONGINGS.items():
        assert ["run_id", *named] == [column for column in columns(database, table) if column != "id"], table
    tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    belonging = {table for table in tables if "run_id" in columns(database, table)}
    assert belonging - {"requests"} == set(_transfer.OF_RUN)  # who deleted a run stays known
    database.close()


def test_postgres_words() -> None:
    text = "\n".join(POSTGRES.schema(schema_text()))
    assert "ROWID" not in text
    assert "BLOB" not in text
    assert "AUTOINCREMENT" not in text
    assert 'TEXT COLLATE "C"' in text
    statement = Statements(POSTGRES)("lease")
    assert statement.text.endswith("name = %s")
    assert statement.names == ("name",)


def test_writes_are_grouped_by_kind() -> None:
    def task(number: int) -> TaskRecord:
        return TaskRecord(
            run_id=1,
            step="s",
            number=number,
            key=b"",
            state=None,
            inputs=(),
            occurrence=0,
            code=b"",  # type: ignore[arg-type]
        )

    artifact = ArtifactRecord(
        run_id=1, step="s", number=1, name="a", value=Packed("c", b"", 0), preview=Preview("t"), created=0.0
    )
    drop, entry = DropOutputs(1, "s", 1), CacheEntry(b"", 1, "s", 1, 0.0)
    writes = [task(1), artifact, task(2), Tag(1, "x"), artifact, entry, drop, Untag(1, "x"), task(3), artifact]
    writes += [Tag(1, "x"), entry]
    found = [(kind.__name__, len(members)) for kind, members in _writes.grouped(writes)]
    assert found == [
        ("TaskRecord", 3),
        ("ArtifactRecord", 2),
        ("Tag", 1),
        ("CacheEntry", 1),
        ("DropOutputs", 1),
        ("Untag", 1),
        ("ArtifactRecord", 1),
        ("Tag", 1),
        ("CacheEntry", 1),
    ]


def test_summaries_join_chunks() -> None:
    def chunk(*values: float) -> MetricChunk:
        steps = tuple(range(len(values)))
        return MetricChunk(run_id=1, step="", number=0, name="m", values=values, steps=steps, times=values)

    assert _rows.summary_rows([chunk(1.0, 5.0), chunk(), chunk(math.nan), chunk(-1.0, 2.0)]) == [
        (1, "m", 2.0, -1.0, 5.0, 5, 1)
    ]
    assert _rows.summary_rows([chunk(math.nan)]) == [(1, "m", None, None, None, 1, 0)]
    assert _rows.summary_rows([chunk(math.inf, -math.inf)]) == [(1, "m", -math.inf, -math.inf, math.inf, 2, 1)]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1.0),
        ("-1e3", -1000.0),
        ("", None),
        ("nan", None),
        ("inf", None),
        ("1_0", None),
        ('"1"', None),
        ("true", None),
    ],
)
def test_what_is_a_number(text: str, number: float | None) -> None:
    assert _rows.number_of(text) == number


def test_params_are_compared_without_quotes() -> None:
    assert _rows.param_row(Param(1, "p", '"a\\"b"')) == (1, "p", 0, None, 'a"b', '"a\\"b"')
    assert _rows.param_row(Param(1, "p", '"broken')) == (1, "p", 0, None, '"broken', '"broken')


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:secret@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u@h/db?password=secret&x=1", "postgresql://u@h/db?password=***&x=1"),
        ("postgresql://h/db", "postgresql://h/db"),
        ("postgresql://u:a:b@h/db", "postgresql://u:***@h/db"),
    ],
)
def test_passwords_are_hidden(url: str, shown: str) -> None:
    assert hidden(url) == shown
