"""Bytes of arguments that several tasks of a run have in common, stored once.

The first task with a value has it in its own row: most values belong to one task. From the second task on, rows hold
the digest of the bytes, and the bytes lie in ``shared_values``. Readers of tasks get whole values.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

from blake3 import blake3
from msgspec.structs import replace

from headrace.model.records import Input, TaskRecord
from headrace.stores.metadata import _rows
from headrace.stores.metadata._sql import Row

#: Shorter values stay in the rows of their tasks.
SHARE_FROM = 512
#: So many of the latest values are remembered; at 16 KiB each this is 2 MiB.
_REMEMBERED = 128


class SharedValues:
    """Which values this process wrote lately. A value counts as stored once the commit that stored it has succeeded."""

    def __init__(self) -> None:
        #: By run and bytes, oldest first: the digest under which they are stored, None if a single row has them so far.
        self._known: dict[tuple[int, bytes], bytes | None] = {}
        self._lock = threading.Lock()

    def task_rows(self, tasks: Sequence[TaskRecord]) -> tuple[list[Row], list[Row]]:
        """Rows of ``tasks``, and rows of ``shared_values`` that must be written with them."""
        rows: list[Row] = []
        fresh: dict[tuple[int, bytes], Row] = {}
        for task in tasks:
            row = _rows.task_row(task)
            for one in task.inputs:
                if len(one.value.inline) >= SHARE_FROM:
                    row = self._row(task, row, fresh)
                    break
            rows.append(row)
        return rows, list(fresh.values())

    def _row(self, task: TaskRecord, row: Row, fresh: dict[tuple[int, bytes], Row]) -> Row:
        """``row`` of ``task``, with digests instead of values that other rows have too."""
        parts = [(one, self._digest(task.run_id, one.value.inline, fresh)) for one in task.inputs]
        if not any(digest for _, digest in parts):
            return row
        stored = [(_without(one) if digest else one, digest) for one, digest in parts]
        at = _rows.INPUTS_AT
        return (*row[:at], _rows.SHARED + _rows.encode(stored), *row[at + 1 :])

    def _digest(self, run_id: int, data: bytes, fresh: dict[tuple[int, bytes], Row]) -> bytes:
        """What to write instead of ``data``; nothing if the row keeps it."""
        if len(data) < SHARE_FROM:
            return b""
        key = (run_id, data)
        with self._lock:
            seen = key in self._known
            digest = self._known.pop(key, None)
            self._known[key] = digest  # the youngest now
            if len(self._known) > _REMEMBERED:
                del self._known[next(iter(self._known))]
        if not seen:
            return b""
        if digest is None:
            digest = blake3(data).digest()
            fresh[run_id, digest] = (run_id, digest, data)
        return digest

    def confirm(self, fresh: Iterable[Row]) -> None:
        """Rows of ``task_rows`` are committed: the next tasks need not store them again."""
        with self._lock:
            for run_id, digest, data in fresh:
                if (run_id, data) in self._known:
                    self._known[run_id, data] = digest


def _without(one: Input) -> Input:
    return replace(one, value=replace(one.value, inline=b""))
