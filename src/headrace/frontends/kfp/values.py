"""Values of parameters: whole numbers as integers, and what a declared type makes of a value.

Used in the driver and in workers.
"""

from __future__ import annotations

from typing import Any

import msgspec

#: Doubles from here on do not tell neighbouring integers apart.
_EXACT = 2.0**53
#: The types of parameters, and how people call their values.
_WORDS = {
    "NUMBER_INTEGER": "a whole number",
    "NUMBER_DOUBLE": "a number",
    "STRING": "a text",
    "BOOLEAN": "true or false",
    "LIST": "a list",
    "STRUCT": "a mapping",
    "TASK_FINAL_STATUS": "a final status",
    "TASK_CONFIG": "a task's configuration",
}


class WrongTypeError(ValueError):
    """A value that is not of the type that a parameter declares."""


def whole(value: Any) -> Any:
    """``value`` with every float that is a whole number as an ``int``, at any depth."""
    kind = type(value)
    if kind is float:
        return int(value) if value.is_integer() and -_EXACT < value < _EXACT else value
    if kind is list:
        return [whole(one) for one in value]
    if kind is dict:
        return {name: whole(one) for name, one in value.items()}
    return value


def compact(value: Any) -> str:
    """``value`` as JSON without blanks."""
    return msgspec.json.encode(value).decode()


def word(kind: str) -> str:
    """How people call values of a type."""
    return _WORDS.get(kind, "a value")


def fits(value: Any, kind: str) -> bool:
    """Whether a value is of a type, without any conversion."""
    if kind == "NUMBER_INTEGER":
        return type(value) is int
    if kind == "NUMBER_DOUBLE":
        return type(value) in (int, float)
    if kind == "STRING":
        return isinstance(value, str)
    if kind == "BOOLEAN":
        return isinstance(value, bool)
    if kind == "LIST":
        return isinstance(value, list)
    if kind in ("STRUCT", "TASK_FINAL_STATUS", "TASK_CONFIG"):
        return isinstance(value, dict)
    return True


def coerced(value: Any, kind: str) -> Any:
    """``value`` as a parameter of the type ``kind`` takes it.

    A text takes any value, as compact JSON. A text that is the JSON of the wanted type is read: that is how numbers and
    mappings travel through inputs that the compiler declared as texts.

    Raises:
        WrongTypeError: it does not fit.
    """
    value = whole(value)
    if kind == "STRING":
        return value if isinstance(value, str) else compact(value)
    if not fits(value, kind):
        read = _read(value, kind) if isinstance(value, str) else value
        if not fits(read, kind):
            raise WrongTypeError(f"{shown(value)} is not {word(kind)} ({kind})")
        value = read
    return float(value) if kind == "NUMBER_DOUBLE" else value


def _read(text: str, kind: str) -> Any:
    if kind == "BOOLEAN" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return whole(msgspec.json.decode(text))
    except (msgspec.DecodeError, RecursionError):
        return text


def shown(value: Any) -> str:
    """The beginning of a value, for messages."""
    try:
        text = compact(value)
    except (TypeError, msgspec.EncodeError):
        text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
