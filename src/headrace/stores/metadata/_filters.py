"""From a ``RunFilter`` to SQL. Names and operators of a request are checked here; its values only ever bind."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.model.errors import UsageError
from headrace.stores.metadata._rows import number_of
from headrace.stores.metadata.protocol import AnyOf, RunFilter, Where

_OPERATORS = frozenset({"=", "!=", "<", "<=", ">", ">="})

#: Subjects that are columns of the run itself: (expression, whether it is a number).
_COLUMNS = {
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

_SUBJECTS = "metrics.NAME, params.NAME, tags.NAME, " + ", ".join(_COLUMNS)


def conditions(want: RunFilter) -> tuple[str, list[object]]:
    """The ``WHERE`` (or nothing), ``ORDER BY`` and ``LIMIT`` for ``want``, with ``:value`` marks, and their values.

    Raises:
        UsageError: a subject or operator that does not exist, or a metric compared with a word.
    """
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
    text = f" WHERE {' AND '.join(parts)}" if parts else ""
    text += " ORDER BY r.id DESC"
    if want.limit is not None:
        text += " LIMIT :value"
        values.append(max(0, want.limit))
    return text, values


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
    if subject in _COLUMNS:
        expression, numeric = _COLUMNS[subject]
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
