"""The preview of a table that is a plain list of rows or a dictionary of columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headrace._base.attributes import on_type
from headrace.model.errors import UsageError
from headrace.model.values import Preview

_ROWS, _COLUMNS, _CELL = 5, 20, 60


def preview_rows(name: str, rows: Sequence[Any] | Mapping[str, Any]) -> Preview:
    """The head of a list of dictionaries or a dictionary of columns of equal length.

    Raises:
        UsageError: it is neither.
    """
    if isinstance(rows, Mapping):
        columns = [str(column) for column in rows]
        sequences = list(rows.values())
        if not all(isinstance(values, Sequence) or on_type(values, "__array__") for values in sequences) or not columns:
            raise UsageError(f"artifact {name!r}: a table as a dictionary has a list of values for each column")
        lengths = {len(values) for values in sequences}
        if len(lengths) > 1 or any(isinstance(values, (str, bytes)) for values in sequences):
            sizes = ", ".join(f"{c}: {len(v)}" for c, v in zip(columns, sequences, strict=True))
            raise UsageError(f"artifact {name!r}: the columns of a table have one length, these have {sizes}")
        count = lengths.pop()
        head = [[values[place] for values in sequences[:_COLUMNS]] for place in range(min(count, _ROWS))]
    else:
        if not all(isinstance(row, Mapping) for row in rows):
            raise UsageError(f"artifact {name!r}: a table as a list has a dictionary for each row")
        columns = list(dict.fromkeys(str(column) for row in rows for column in row))
        count = len(rows)
        head = [[row.get(column, "") for column in columns[:_COLUMNS]] for row in rows[:_ROWS]]
    table = (tuple(columns[:_COLUMNS]), *[tuple(_cell(value) for value in row) for row in head])
    facts = (("shape", f"({count}, {len(columns)})"),)
    return Preview(type(rows).__name__, f"{count} rows x {len(columns)} columns", facts, table)


def _cell(value: object) -> str:
    text = str(value)
    return text if len(text) <= _CELL else text[: _CELL - 3] + "..."
