"""From a ``RunFilter`` to SQL. Names and operators of a request are checked here; its values only ever bind."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.model.errors import UsageError
from headrace.stores.metadata._rows import number_of
from headrace.stores.metadata.protocol import AnyOf, RunFilter, SortKey, Where
from headrace.stores.metadata.sorting import COLUMNS, LONGEST_TEXT, NOTHING, NUMBER, TEXT, parse_sort

_OPERATORS = frozenset({"=", "!=", "<", "<=", ">", ">="})

#: Subjects that are columns of the run itself: (expression, whether it is a number).
_SUBJECT_COLUMNS = {
    "state": ("r.state", False),
    "flow": ("r.flow", False),
    "id": ("r.id", True),
    "number": ("r.number", True),
    "created": ("r.created", True),
    "duration": ("(r.finished - r.started)", True),
}

#: Subjects with a name behind the dot: (table, column as text, column as a number).
_NAMED = {
    "params": ("params", "plain", "number"),
    "tags": ("tags", "value", "number"),
}

_SUBJECTS = "metrics.NAME, params.NAME, tags.NAME, " + ", ".join(_SUBJECT_COLUMNS)


def conditions(want: RunFilter) -> tuple[str, list[object]]:
    """The joined table and the ``WHERE`` (or nothing), ``ORDER BY`` and ``LIMIT`` for ``want``, with ``:value`` marks,
    and their values.

    Raises:
        UsageError: a subject or operator that does not exist, or a metric compared with a word.
    """
    order = _Order(want.sort) if want.sort else None
    parts: list[str] = []
    values: list[object] = []
    for column, value in (("project", want.project), ("flow", want.flow)):
        if value is not None:
            parts.append(f"r.{column} = :value")
            values.append(value)
    if want.states:
        parts.append(f"r.state IN ({', '.join([':value'] * len(want.states))})")
        values += [state.value for state in want.states]
    if want.before_id is not None:
        parts.append("r.id < :value")
        values.append(want.before_id)
    for tag in want.tags:
        name, valued, value = tag.partition("=")
        parts.append(f"r.id IN (SELECT run_id FROM tags WHERE name = :value{' AND value = :value' if valued else ''})")
        values += [name, value] if valued else [name]
    parts += [_marked(mark) for mark in want.marks]
    if want.where:
        part, used = _all(want.where)
        parts.append(part)
        values += used
    if order is not None and want.after is not None:
        part, used = order.behind(want.after)
        parts.append(part)
        values += used
    text = f" WHERE {' AND '.join(parts)}" if parts else ""
    if order is None:
        text += " ORDER BY r.id DESC"
    else:
        text, values = order.join + text + order.by, [*order.names, *values]
    if want.limit is not None:
        text += " LIMIT :value"
        values.append(max(0, want.limit))
    return text, values


class _Order:
    """The SQL of an order: ``join`` with the values ``names``, ``by``, and the condition for what is behind a key.

    Args:
        sort: as ``RunFilter`` has it.

    Raises:
        UsageError: lists cannot be sorted by it.
    """

    def __init__(self, sort: str) -> None:
        subject, descending = parse_sort(sort)
        self.join, self.names = "", list[object]()
        self._number, self._text = "", ""
        if subject in COLUMNS:
            expression, numeric = COLUMNS[subject]
            self._number, self._text = (expression, "") if numeric else ("", expression)
        else:
            group, _, name = subject.partition(".")
            table, text, self._number = _SORTED[group]
            self._text = text and f"CASE WHEN {self._number} IS NULL THEN {text} END"
            self.join, self.names = f" LEFT JOIN {table} o ON o.run_id = r.id AND o.name = :value", [name]
        if self._text:
            self._text = f"SUBSTR({self._text}, 1, {LONGEST_TEXT})"
        self._way, self._sign = ("DESC", "<") if descending else ("ASC", ">")
        ranks = [f"WHEN {one} IS NOT NULL THEN {n}" for n, one in enumerate((self._number, self._text)) if one]
        keys = [f"CASE {' '.join(ranks)} ELSE {NOTHING} END"]
        keys += [f"{one} {self._way}" for one in (self._number, self._text) if one]
        self.by = f" ORDER BY {', '.join(keys)}, r.id DESC"

    def behind(self, key: SortKey) -> tuple[str, list[object]]:
        """The condition that a run comes behind ``key``, and its values."""
        number, text = self._number or "NULL", self._text or "NULL"
        if key.rank == NUMBER and self._number:
            return self._greater(number, key.number, key.run_id)
        if key.rank == TEXT and self._text:
            part, values = self._greater(text, key.text, key.run_id)
            return (f"({number} IS NULL AND {part})" if self._number else part), values
        return f"({number} IS NULL AND {text} IS NULL AND r.id < :value)", [key.run_id]

    def _greater(self, expression: str, value: float | str, run_id: int) -> tuple[str, list[object]]:
        part = (
            f"({expression} {self._sign} :value OR ({expression} = :value AND r.id < :value) OR {expression} IS NULL)"
        )
        return part, [value, value, run_id]


#: Table, column as text (or nothing), column as a number.
_SORTED = {
    "metrics": ("metric_summaries", "", "o.last_value"),
    "params": ("params", "o.plain", "o.number"),
    "tags": ("tags", "o.value", "o.number"),
}


#: How a mark of a run is recognised.
_MARKS = {"pinned": "pinned = 1", "archived": "archived = 1", "deleted": "deleted IS NOT NULL"}


def _marked(mark: str) -> str:
    name = mark.removeprefix("!")
    if name not in _MARKS:
        raise UsageError(f"{mark!r} is not a mark of runs; there are: {', '.join(_MARKS)}")
    return f"r.id {'NOT IN' if mark != name else 'IN'} (SELECT run_id FROM run_flags WHERE {_MARKS[name]})"


def _all(where: Sequence[Where]) -> tuple[str, list[object]]:
    made = [_any(one) if isinstance(one, AnyOf) else _condition(*one) for one in where]
    return _joined([text for text, _ in made], "AND") or "1 = 1", [value for _, used in made for value in used]


def _any(condition: AnyOf) -> tuple[str, list[object]]:
    made = [_all(one) for one in condition.alternatives]
    return _joined([text for text, _ in made], "OR") or "1 = 0", [value for _, used in made for value in used]


def _joined(parts: Sequence[str], word: str) -> str:
    """Halves of halves, because databases bound how deep an expression may be."""
    if len(parts) < 2:
        return "".join(parts)
    middle = len(parts) // 2
    return f"({_joined(parts[:middle], word)} {word} {_joined(parts[middle:], word)})"


def _condition(subject: str, operator: str, operand: float | str) -> tuple[str, list[object]]:
    if operator not in _OPERATORS:
        raise UsageError(f"{operator!r} is not an operator of a filter; use one of = != < <= > >=")
    number = number_of(operand) if isinstance(operand, str) else float(operand)
    if subject in _SUBJECT_COLUMNS:
        expression, numeric = _SUBJECT_COLUMNS[subject]
        if not numeric:
            return f"{expression} {operator} :value", [str(operand)]
        return f"{expression} {operator} :value", [_needed(number, subject, operand)]
    group, _, name = subject.partition(".")
    if group == "metrics" and name:
        return (
            f"r.id IN (SELECT run_id FROM metric_summaries WHERE name = :value AND last_value {operator} :value)",
            [name, _needed(number, subject, operand)],
        )
    if group not in _NAMED or not name:
        raise UsageError(f"unknown filter field {subject!r}; known fields: {_SUBJECTS}")
    table, text, numeric_column = _NAMED[group]
    head = f"r.id IN (SELECT run_id FROM {table} WHERE name = :value AND "
    word = operand if isinstance(operand, str) else f"{operand:g}"
    if number is None:
        return f"{head}{text} {operator} :value)", [name, word]
    return (
        f"{head}({numeric_column} {operator} :value OR ({numeric_column} IS NULL AND {text} {operator} :value)))",
        [name, number, word],
    )


def _needed(number: float | None, subject: str, operand: float | str) -> float:
    if number is None:
        raise UsageError(f"{subject} is a number, so it cannot be compared with {operand!r}")
    return number
