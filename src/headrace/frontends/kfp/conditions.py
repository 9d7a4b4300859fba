"""Conditions and selectors of tasks: expressions of CEL over the values of the task's own inputs.

Values are given to the expression as values. Expressions are evaluated by cel-python, which is imported when the first
one is met; the one form of selector that the SDK writes needs no evaluation.
"""

from __future__ import annotations

import functools
import re
from typing import Any

import msgspec

from headrace.frontends.kfp.errors import TaskInputError
from headrace.frontends.kfp.values import compact, shown, whole

_INPUT = re.compile(r"""\binputs\.parameter_values\[(?P<quote>['"])(?P<name>[^'"\\]*)(?P=quote)\]""")
_FIELD = re.compile(r"""parseJson\(string_value\)\[(?:"([^"\\]*)"|'([^'\\]*)')\]""")


def holds(condition: str, values: dict[str, Any]) -> bool:
    """Whether a condition is true for inputs with these values.

    Raises:
        TaskInputError: it cannot be evaluated, or gives something that is neither true nor false.
    """
    result = _evaluated(condition, "condition", {"inputs": {"parameter_values": values}})
    if not isinstance(result, int) or type(result).__name__ != "BoolType":
        raise TaskInputError(f"the condition {condition!r} gives {result!r}, which is neither true nor false")
    return bool(result)


def select(selector: str, value: Any) -> Any:
    """The part of a value that a ``parameterExpressionSelector`` names.

    Raises:
        TaskInputError: there is no such part.
    """
    text = value if isinstance(value, str) else compact(value)
    simple = _FIELD.fullmatch(selector.strip())
    if simple is None:
        return _plain(_evaluated(selector, "selector", {"string_value": text}))
    name = simple[1] if simple[1] is not None else simple[2]
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError:
        raise TaskInputError(f"{shown(value)} is not JSON, so that its part {name!r} cannot be taken") from None
    if not isinstance(found, dict) or name not in found:
        raise TaskInputError(f"{shown(value)} has no part {name!r}")
    return whole(found[name])


def check(expression: str) -> str:
    """What is wrong with the syntax of an expression; empty if nothing is."""
    try:
        _program(expression)
    except _cel().CELParseError as error:
        return " ".join(str(error.args[0] if error.args else error).split())
    return ""


def inputs_of(condition: str) -> list[str]:
    """The inputs of its task that a condition names."""
    return [one["name"] for one in _INPUT.finditer(condition)]


def _evaluated(expression: str, what: str, values: dict[str, Any]) -> Any:
    celpy = _cel()
    try:
        return _program(expression).evaluate({name: celpy.json_to_cel(_doubles(one)) for name, one in values.items()})
    except (celpy.CELParseError, celpy.CELEvalError, ValueError, TypeError) as error:
        reason = " ".join(str(error.args[0] if error.args else error).split())
        raise TaskInputError(f"the {what} {expression!r} cannot be evaluated: {reason}") from None


def _doubles(value: Any) -> Any:
    """Numbers as the backend has them in expressions: all are doubles, ``int()`` makes integers of them."""
    kind = type(value)
    if kind is int:
        return float(value)
    if kind is list:
        return [_doubles(one) for one in value]
    if kind is dict:
        return {name: _doubles(one) for name, one in value.items()}
    return value


def _plain(value: Any) -> Any:
    return whole(msgspec.json.decode(_cel().CELJSONEncoder().encode(value)))


@functools.cache
def _cel() -> Any:
    try:
        import celpy
    except ImportError:
        raise TaskInputError(
            "conditions of pipelines need the package cel-python, which is not installed: pip install 'headrace[kfp]'"
        ) from None
    return celpy


def _parse_json(text: Any) -> Any:
    celpy = _cel()
    try:
        return celpy.json_to_cel(_doubles(msgspec.json.decode(str(text))))
    except msgspec.DecodeError as error:
        raise celpy.CELEvalError(f"parseJson: {error}") from None


@functools.cache
def _program(expression: str) -> Any:
    celpy = _cel()
    environment = celpy.Environment()
    return environment.program(environment.compile(expression), functions={"parseJson": _parse_json})
