"""The filters of lists: predicates over the fields of a document, all of which must hold."""

from __future__ import annotations

import datetime
import operator
from collections.abc import Callable
from typing import Any

import msgspec


class FilterError(ValueError):
    """A text that is not a filter of the API."""


def _is_member(value: Any, given: Any) -> bool:
    members = given.get("values") if isinstance(given, dict) else given
    if not isinstance(members, list):
        raise FilterError("IN wants a list of values")
    return any(_is_equal(value, one) for one in members)


def _is_equal(value: Any, given: Any) -> bool:
    return str(value) == str(given)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    """A comparison of numbers, of times, and else of texts."""

    def holds(value: Any, given: Any) -> bool:
        if value is None:
            return False
        for read in (float, _moment):
            try:
                return compare(read(value), read(given))
            except (ValueError, TypeError):
                continue
        return compare(str(value), str(given))

    return holds


def _moment(value: Any) -> float:
    """The seconds of a time as RFC 3339; without a zone it is UTC."""
    read = datetime.datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    return (read if read.tzinfo else read.replace(tzinfo=datetime.timezone.utc)).timestamp()


#: By number and by name, as clients send them.
_OPERATIONS: dict[Any, Callable[[Any, Any], bool]] = {
    1: _is_equal,
    2: lambda value, given: not _is_equal(value, given),
    3: _ordered(operator.gt),
    5: _ordered(operator.ge),
    6: _ordered(operator.lt),
    7: _ordered(operator.le),
    8: _is_member,
    9: lambda value, given: str(given) in str(value),
}
_NAMES = {
    "EQUALS": 1,
    "NOT_EQUALS": 2,
    "GREATER_THAN": 3,
    "GREATER_THAN_EQUALS": 5,
    "LESS_THAN": 6,
    "LESS_THAN_EQUALS": 7,
    "IN": 8,
    "IS_SUBSTRING": 9,
}


def matches(document: dict[str, Any], text: str) -> bool:
    """Whether a document is one that the filter ``text`` (JSON) asks for; an empty text asks for all.

    Raises:
        FilterError: it is not a filter.
    """
    if not text:
        return True
    try:
        return all(_holds(document, one) for one in msgspec.json.decode(text)["predicates"])
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FilterError(f"the filter {text[:200]!r} is not one of the API") from error


def _holds(document: dict[str, Any], predicate: dict[str, Any]) -> bool:
    suffixes = ("value", "values")
    given = next((predicate[key] for key in predicate if key.lower().replace("_", "").endswith(suffixes)), None)
    name = predicate["key"]
    value = document.get("display_name" if name == "name" else name)
    asked = predicate.get("operation", 1)
    operation = _OPERATIONS.get(_NAMES.get(asked, asked))
    if operation is None:
        raise FilterError(f"filters have no operation {asked!r}; there are: {', '.join(_NAMES)}")
    return operation(value, given)
