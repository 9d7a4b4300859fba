"""Runs as rows: taking one out, bringing one in, deleting one, and which blobs rows name."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from headrace.model.errors import StoreDamagedError, StoreVersionError
from headrace.model.records import FOREIGN_NUMBERS, RunDetails, lease_name
from headrace.model.states import RunState
from headrace.model.values import Blob
from headrace.stores.metadata import _rows
from headrace.stores.metadata._database import Database, Transaction
from headrace.stores.metadata._schema import SCHEMA_VERSION
from headrace.stores.metadata._sql import Row

_decode_details = functools.partial(msgspec.msgpack.decode, type=RunDetails)
_decode_row = msgspec.msgpack.Decoder(dict[str, Any]).decode

#: The columns of a run that an export holds, in the order of ``run_columns`` after the id.
RUN_COLUMNS = (
    *("project", "flow", "number", "state", "dialect", "entry", "created", "started", "finished", "session"),
    *("user_name", "host", "pid", "git_commit", "git_dirty", "failed_task", "error", "traceback"),
)

#: What an export holds beside the run itself: table -> (its columns after ``run_id``, the order rows go out in).
#: Leases and signals are about a live process, cache entries and flags about this store: they stay.
BELONGINGS: dict[str, tuple[tuple[str, ...], str]] = {
    "run_details": (("inputs", "details"), "run_id"),
    "tasks": (
        (
            *("step", "number", "state", "attempts", "session", "occurrence", "created", "started", "finished"),
            *("task_key", "code", "environment", "cache_key", "reused_from", "error", "tags", "inputs", "success"),
        ),
        "step, number",
    ),
    "shared_values": (("digest", "data"), "digest"),
    "attempts": (
        (
            *("step", "number", "attempt", "state", "started", "finished", "host", "pid", "cpu_seconds"),
            *("peak_memory", "failure", "exit_code", "error", "traceback", "exception"),
            *("session", "place", "token"),
        ),
        "step, number, attempt",
    ),
    "artifacts": (("step", "number", "name", "kind", "created", "preview", "value"), "step, number, name"),
    "edges": (
        ("child_step", "child_number", "parent_step", "parent_number"),
        "child_step, child_number, parent_step, parent_number",
    ),
    "logs": (("step", "number", "attempt", "seq", "stream", "written", "data", "segment"), "id"),
    "metrics": (("step", "number", "name", "vals", "steps", "times"), "id"),
    "metric_summaries": (("name", "last_value", "lowest", "highest", "points", "last_step"), "name"),
    "tags": (("name", "value", "number"), "name"),
    "params": (("name", "logged", "number", "plain", "body"), "name"),
    "waits": (("wait_key", "kind", "name", "prompt", "created", "ends", "done", "answer"), "wait_key"),
}

#: Columns that exports of older schemas lack, with what they hold then.
_ADDED: dict[str, dict[str, Any]] = {
    "tasks": {"success": None},
    "attempts": {"session": 0, "place": "local", "token": 0},
    "logs": {"segment": None},
}

#: All tables whose rows belong to a run.
OF_RUN = (*BELONGINGS, "cache", "signals", "queue", "run_flags")

#: Reading a row back is how an import knows that it is whole; the row starts with ``run_id``.
_READABLE: dict[str, Callable[[Row], object]] = {
    "runs": _rows.run_of,
    "attempts": _rows.attempt_of,
    "artifacts": _rows.artifact_of,
    "logs": _rows.log_of,
    "metrics": _rows.metric_of,
    "metric_summaries": _rows.summary_of,
    "waits": _rows.wait_of,
    "run_details": lambda row: (_rows.decode_inputs(row[1] or b"\x90"), _decode_details(row[2] or b"\x80")),
}


def export(database: Database, run_id: int) -> dict[str, list[bytes]]:
    """See ``MetadataStore.export``; an empty mapping when there is no such run."""
    text = f"SELECT id, {', '.join(RUN_COLUMNS)} FROM runs WHERE id = :run_id"
    run = database.rows(database.statements.compile(text).text, (run_id,))
    if not run:
        return {}
    rows: dict[str, list[Row]] = {}
    for table, (columns, order) in BELONGINGS.items():
        text = f"SELECT run_id, {', '.join(columns)} FROM {table} WHERE run_id = :run_id ORDER BY {order}"
        rows[table] = database.rows(database.statements.compile(text).text, (run_id,))
    return packed(run[0], rows)


def packed(run: Row, rows: Mapping[str, list[Row]]) -> dict[str, list[bytes]]:
    """Rows of the run and of all its tables, each starting with the run's id, as an export."""
    export = {
        "schema": [_rows.encode({"version": SCHEMA_VERSION})],
        "runs": [_rows.encode(dict(zip(RUN_COLUMNS, run[1:], strict=True)))],
    }
    for table, (columns, _) in BELONGINGS.items():
        export[table] = [_rows.encode(dict(zip(columns, row[1:], strict=True))) for row in rows[table]]
    return export


def read_export(rows: Mapping[str, Iterable[bytes]]) -> dict[str, list[Row]]:
    """The rows of an export as values in the order of the columns, all checked; nothing was written yet.

    Raises:
        StoreDamagedError: it is not an export, or not a whole one.
        StoreVersionError: a newer Headrace made it.
    """
    read: dict[str, list[Row]] = {}
    version = [_decoded("schema", row).get("version") for row in rows.get("schema", ())]
    if len(version) != 1 or not isinstance(version[0], int):
        raise StoreDamagedError("this is not a Headrace export: it does not say which version it is of")
    if version[0] > SCHEMA_VERSION:
        raise StoreVersionError(
            f"the run was exported by a newer Headrace (schema {version[0]}; this one knows up to {SCHEMA_VERSION}). "
            "Upgrade: pip install --upgrade headrace"
        )
    known = {"runs": RUN_COLUMNS} | {table: columns for table, (columns, _) in BELONGINGS.items()}
    for table, columns in known.items():
        added = _ADDED.get(table, {}) if version[0] < 3 else {}
        read[table] = [_checked(table, columns, added | _decoded(table, row)) for row in rows.get(table, ())]
    shared = shared_of(read)
    for row in read["tasks"]:
        _check_row("tasks", (0, *row), lambda row: _rows.task_of(row, shared))
    if unknown := set(rows) - set(known) - {"schema"}:
        raise StoreDamagedError(f"the exported run has rows of an unknown table: {', '.join(sorted(unknown))}")
    if len(read["runs"]) != 1:
        raise StoreDamagedError(f"the exported run has {len(read['runs'])} runs in it, not one")
    return read


def _decoded(table: str, row: bytes) -> dict[str, Any]:
    try:
        return _decode_row(row)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreDamagedError(f"the exported run has an unreadable row of {table}: {error}") from error


def _checked(table: str, columns: tuple[str, ...], row: dict[str, Any]) -> Row:
    if row.keys() != set(columns):
        raise StoreDamagedError(
            f"the exported run has a row of {table} with columns {sorted(row)} instead of {sorted(columns)}"
        )
    values = tuple([row[column] for column in columns])
    if table in _READABLE:
        _check_row(table, (0, *values), _READABLE[table])
    return values


def _check_row(table: str, row: Row, read: Callable[[Row], object]) -> None:
    try:
        read(row)
    except (msgspec.DecodeError, ValueError, TypeError, KeyError) as error:
        raise StoreDamagedError(f"the exported run has a row of {table} that makes no sense: {error!r}") from error


def shared_of(read: Mapping[str, list[Row]]) -> dict[bytes, bytes]:
    """The shared values of an export by digest; tasks are read with them."""
    return dict(read["shared_values"])


def bring_in(transaction: Transaction, database: Database, read: Mapping[str, list[Row]], project: str) -> int:
    """Insert what ``read_export`` returned; the new run's id."""
    statements = database.statements
    run = dict(zip(RUN_COLUMNS, read["runs"][0], strict=True))
    taken = statements.compile("SELECT 1 FROM runs WHERE project = :project AND flow = :flow AND number = :number")
    reserve = statements("reserve_number")
    run["project"] = project
    # Its driver is elsewhere: a run that is left as running would wait for ever.
    if run["state"] == RunState.RUNNING.value:
        run["state"] = RunState.INTERRUPTED.value
    if run["number"] < FOREIGN_NUMBERS:
        transaction.change(reserve.text, reserve.bind(run))
    if transaction.rows(taken.text, taken.bind(run)):
        following = statements("next_number")
        run["number"] = transaction.rows(following.text, following.bind(run))[0][0]
    marks = ", ".join([f":{column}" for column in RUN_COLUMNS])
    insert = statements.compile(f"INSERT INTO runs ({', '.join(RUN_COLUMNS)}) VALUES ({marks}) RETURNING id")
    run_id: int = transaction.rows(insert.text, insert.bind(run))[0][0]
    for table, (columns, _) in BELONGINGS.items():
        rows = read[table]
        if rows:
            marks = ", ".join([f":{column}" for column in ("run_id", *columns)])
            text = f"INSERT INTO {table} (run_id, {', '.join(columns)}) VALUES ({marks})"
            transaction.many(statements.compile(text).text, [(run_id, *row) for row in rows])
    return run_id


def delete(transaction: Transaction, database: Database, run_id: int) -> None:
    """Delete a run and all that belongs to it.

    Its lease and its row go first: whoever commits for it has ended before, or finds that it is gone.
    """
    compiled = database.statements.compile
    transaction.change(compiled("DELETE FROM leases WHERE name = :name").text, (lease_name(run_id),))
    transaction.change(compiled("DELETE FROM runs WHERE id = :run_id").text, (run_id,))
    for table in OF_RUN:
        transaction.change(compiled(f"DELETE FROM {table} WHERE run_id = :run_id").text, (run_id,))


def delete_orphans(transaction: Transaction) -> None:
    """Delete rows of runs that are gone, which processes of earlier versions left that were still writing."""
    for table in OF_RUN:
        transaction.change(f"DELETE FROM {table} WHERE run_id NOT IN (SELECT id FROM runs)", ())


def referenced_blobs(database: Database) -> Iterator[bytes]:
    """See ``MetadataStore.referenced_blobs``."""
    for rows in database.stream("SELECT value FROM artifacts", (), 1000):
        for (value,) in rows:
            for blob in _rows.decode_packed(value).blobs:
                yield blob.digest
    for rows in database.stream("SELECT exception FROM attempts WHERE exception IS NOT NULL", (), 1000):
        for (value,) in rows:
            for blob in _rows.decode_packed(value).blobs:
                yield blob.digest
    for rows in database.stream("SELECT segment FROM logs WHERE segment IS NOT NULL", (), 1000):
        for (segment,) in rows:
            yield _rows.decode_segment(segment)[0].digest
    for rows in database.stream("SELECT inputs FROM tasks", (), 1000):
        for (inputs,) in rows:
            yield from _blobs_of_inputs(inputs)
    for rows in database.stream("SELECT inputs, details FROM run_details", (), 100):
        for inputs, details in rows:
            yield from _blobs_of_inputs(inputs)
            if details:
                known = _decode_details(details)
                yield from [blob.digest for blob in known.sources.values()]
                if known.git_diff is not None:
                    yield known.git_diff.digest
                if known.code is not None:
                    yield known.code.package.digest


def code_packages(database: Database) -> Iterator[Blob]:
    """See ``MetadataStore.code_packages``."""
    seen = set()
    for rows in database.stream("SELECT details FROM run_details", (), 100):
        for (details,) in rows:
            code = _decode_details(details).code if details else None
            if code is not None and code.package.digest not in seen:
                seen.add(code.package.digest)
                yield code.package


def _blobs_of_inputs(inputs: bytes) -> Iterator[bytes]:
    if inputs:
        for item in _rows.inputs_of(inputs):
            for blob in item.value.blobs:
                yield blob.digest
