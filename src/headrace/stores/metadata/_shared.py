"""Bytes of arguments that several tasks of a run have in common, stored once.

The first task with a value has it in its own row: most values belong to one task. From the second task on, rows hold
the digest of the bytes, and the bytes lie in ``shared_values``. Whoever reads tasks gets whole values.
"""

from __future__ import annotations

from collections.abc import Sequence

from blake3 import blake3
from msgspec.structs import replace

from headrace.model.records import Input, TaskRecord
from headrace.stores.metadata import _rows
from headrace.stores.metadata._sql import Row

#: Shorter values stay in the rows of their tasks.
SHARE_FROM = 512
#: So many of the latest values are remembered; at 16 KiB each this is 2 MiB.
_REMEMBERED = 128
_Key = tuple[int, bytes]


class SharedValues:
    """Which values were written lately, by this process. Used by one writer at a time."""

    def __init__(self) -> None:
        #: By run and bytes, oldest first: the digest under which they are stored, None if a single row has them so far.
        self._known: dict[_Key, bytes | None] = {}
        self._pending: list[tuple[_Key, bytes | None]] = []

    def task_rows(self, tasks: Sequence[TaskRecord]) -> tuple[list[Row], list[Row]]:
        """Rows of ``tasks``, and rows of ``shared_values`` that must be written before them."""
        self._pending = []
        fresh: list[Row] = []
        return [self._row(task, fresh) for task in tasks], fresh

    def _row(self, task: TaskRecord, fresh: list[Row]) -> Row:
        row = _rows.task_row(task)
        for one in task.inputs:
            if len(one.value.inline) >= SHARE_FROM:
                break
        else:
            return row
        parts = [(one, self._digest(task.run_id, one.value.inline, fresh)) for one in task.inputs]
        if not any(digest for _, digest in parts):
            return row
        stored = [(_without(one) if digest else one, digest) for one, digest in parts]
        return (*row[:-1], _rows.SHARED + _rows.encode(stored))

    def _digest(self, run_id: int, data: bytes, fresh: list[Row]) -> bytes:
        """What to write instead of ``data``; nothing if the row keeps it."""
        if len(data) < SHARE_FROM:
            return b""
        key = (run_id, data)
        if key not in self._known:
            self._remember(key, None)
            return b""
        digest = self._known[key]
        if digest is None:
            digest = blake3(data).digest()
            fresh.append((run_id, digest, data))
        self._remember(key, digest)
        return digest

    def _remember(self, key: _Key, digest: bytes | None) -> None:
        self._known.pop(key, None)
        self._known[key] = digest
        if len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]

    def forget(self) -> None:
        """Nothing is known any more: a transaction failed, and with it what it was to store."""
        self._known.clear()


def _without(one: Input) -> Input:
    return replace(one, value=replace(one.value, inline=b""))
