"""The arguments of a run: from the command line, checked against what the pipeline takes."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from headrace.frontends.kfp.errors import PipelineError
from headrace.frontends.kfp.ir import InputParameter, Pipeline
from headrace.frontends.kfp.values import compact, fits, shown, whole, word


class Usage(msgspec.Struct, frozen=True):
    """A parameter in a listing."""

    option: str
    type: str
    default: str
    help: str


def usage(pipeline: Pipeline) -> list[Usage]:
    """The parameters of a pipeline, for its help."""
    found = []
    for name, one in pipeline.spec.root.input_definitions.parameters.items():
        default = "required" if _is_required(one) else "null"
        if one.default_value is not msgspec.UNSET:
            default = compact(one.default_value)
        found.append(Usage(f"--{name}", one.parameter_type, default, one.description))
    return found


def parse(pipeline: Pipeline, words: Sequence[str]) -> dict[str, Any]:
    """Arguments as people write them: ``--name value``, ``--name=value`` or ``name=value``; ``@FILE`` reads a file.

    Raises:
        PipelineError: one is unknown, lacks its value or does not fit its type.
    """
    declared = pipeline.spec.root.input_definitions.parameters
    found: dict[str, Any] = {}
    place = 0
    while place < len(words):
        text, equals, value = words[place].partition("=")
        place += 1
        name = text.removeprefix("--")
        if not text.startswith("--") and not equals:
            raise PipelineError(f"{text!r} is not a parameter: write --name value or name=value")
        if not equals:
            if place >= len(words):
                raise PipelineError(f"--{name} wants a value")
            value = words[place]
            place += 1
        if name == "params-file":
            found |= _file(pipeline, value)
            continue
        name = name if name in declared else name.replace("-", "_")
        found[name] = _value(name, _declared(pipeline, name), _read(value))
    return found


def bind(pipeline: Pipeline, given: Mapping[str, Any]) -> dict[str, Any]:
    """All arguments of a run: ``given`` and defaults; what is optional and not given is left out.

    Raises:
        PipelineError: one is unknown, missing, of another type, or not among the values that are allowed.
    """
    found: dict[str, Any] = {}
    for name, told in given.items():
        one, value = _declared(pipeline, name), whole(told)
        if value is None and not _is_required(one):
            continue
        if not fits(value, one.parameter_type):
            raise PipelineError(
                f"parameter {name!r} must be {word(one.parameter_type)} ({one.parameter_type}), and is {shown(value)}"
            )
        if one.literals and value not in one.literals:
            raise PipelineError(f"parameter {name!r} is {shown(value)}; it can be {_choices(one)}")
        found[name] = value
    for name, one in pipeline.spec.root.input_definitions.parameters.items():
        if name in found:
            continue
        if one.default_value is not msgspec.UNSET and one.default_value is not None:
            found[name] = one.default_value
        elif _is_required(one):
            kind = word(one.parameter_type)
            raise PipelineError(f"parameter {name!r} of {pipeline.name} is required: give --{name} VALUE, {kind}")
    return found


def _is_required(one: InputParameter) -> bool:
    return one.default_value is msgspec.UNSET and not one.is_optional


def _choices(one: InputParameter) -> str:
    return ", ".join(map(shown, one.literals))


def _declared(pipeline: Pipeline, name: str) -> InputParameter:
    declared = pipeline.spec.root.input_definitions.parameters
    if name not in declared:
        near = difflib.get_close_matches(name, declared, 1)
        hint = f"; did you mean {near[0]}?" if near else f"; its parameters: {', '.join(declared) or 'none'}"
        raise PipelineError(f"{pipeline.name} has no parameter {name!r}{hint}")
    return declared[name]


def _read(text: str) -> str:
    if not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise PipelineError(f"{text[1:]} cannot be read: {error}") from None


def _value(name: str, one: InputParameter, text: str) -> Any:
    """What a text of the command line means for a parameter: texts are themselves, all others JSON."""
    if one.parameter_type == "STRING":
        return text
    if one.parameter_type == "BOOLEAN" and text.strip().lower() in ("true", "false"):
        return text.strip().lower() == "true"
    try:
        return whole(msgspec.json.decode(text))
    except (msgspec.DecodeError, RecursionError):
        raise PipelineError(
            f"parameter {name!r} must be {word(one.parameter_type)} ({one.parameter_type}), and is {shown(text)}"
        ) from None


def _file(pipeline: Pipeline, path: str) -> dict[str, Any]:
    """Many arguments at once, from JSON or TOML."""
    try:
        data = Path(path).read_bytes()
        found = msgspec.toml.decode(data) if path.endswith(".toml") else msgspec.json.decode(data)
    except (OSError, msgspec.DecodeError, ValueError) as error:
        raise PipelineError(f"--params-file {path} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise PipelineError(f"--params-file {path} must hold a mapping of parameters")
    for name in found:
        _declared(pipeline, name)
    return found
