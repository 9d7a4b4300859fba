"""Templates in the language Mustache, which card types of users are written with: ``render(template, data)``."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from headrace.frontends.metaflow.exceptions import MetaflowException

_TAG = r"{open}\s*(?:{{(?P<raw>.+?)}}|=(?P<set>.+?)=|(?P<kind>[#^/>!&]?)(?P<name>.*?))\s*{close}"
_MISSING = object()


class _Section(NamedTuple):
    kind: str
    name: str
    parts: list[Any]
    text: str  # as it stands in the template, for functions


class _Value(NamedTuple):
    name: str
    escaped: bool


class _Partial(NamedTuple):
    name: str
    indent: str


def render(
    template: Any = "",
    data: Any = None,
    partials_path: str = ".",
    partials_ext: str = "mustache",
    partials_dict: Mapping[str, str] | None = None,
    **more: Any,
) -> str:
    """The template with the data in it. Partials are those of the dictionary, or files in ``partials_path``.

    Raises:
        MetaflowException: a section has no end, or no beginning.
    """
    text = template if isinstance(template, str) else template.read()

    def partial(name: str) -> str:
        if partials_dict and name in partials_dict:
            return partials_dict[name]
        try:
            with open(f"{partials_path}/{name}.{partials_ext}") as file:  # noqa: PTH123
                return file.read()
        except OSError:
            return ""

    return _rendered(_parse(text), [{} if data is None else data], partial)


def _pattern(left: str, right: str) -> re.Pattern[str]:
    text = _TAG.replace("{open}", re.escape(left)).replace("{close}", re.escape(right))
    return re.compile(text.replace("{{(?P<raw>", r"\{(?P<raw>").replace("}}|=", r"\}|="), re.DOTALL)


def _parse(text: str) -> list[Any]:
    """The parts of a template: texts, values, partials, sections."""
    pattern = _pattern("{{", "}}")
    parts: list[Any] = []
    open_sections: list[tuple[_Section, list[Any], int]] = []
    at = 0
    while (found := pattern.search(text, at)) is not None:
        start, end, kind = found.start(), found.end(), found["kind"] or ""
        indent = ""
        if found["raw"] is None and (kind in tuple("#^/>!") or found["set"]):
            start, end, indent = _alone(text, start, end)
        if start > at:
            parts.append(text[at:start])
        at = end
        if found["set"]:
            pattern = _pattern(*found["set"].split())
        elif kind in ("#", "^"):
            open_sections.append((_Section(kind, found["name"], [], ""), parts, at))
            parts = open_sections[-1][0].parts
        elif kind == "/":
            if not open_sections or open_sections[-1][0].name != found["name"]:
                raise MetaflowException(f"The template closes a section {found['name']!r} that is not open.")
            section, parts, began = open_sections.pop()
            parts.append(section._replace(text=text[began : found.start()]))
        elif kind == ">":
            parts.append(_Partial(found["name"], indent))
        elif kind != "!":
            raw = found["raw"]
            parts.append(_Value((raw or found["name"]).strip(), raw is None and kind != "&"))
    if open_sections:
        raise MetaflowException(f"The template does not close its section {open_sections[-1][0].name!r}.")
    return [*parts, text[at:]]


def _alone(text: str, start: int, end: int) -> tuple[int, int, str]:
    """Where a tag ends that has a line for itself: it takes the line with it."""
    line = text.rfind("\n", 0, start) + 1
    behind = re.compile(r"[ \t]*(\r?\n|\Z)").match(text, end)
    if behind is not None and not text[line:start].strip(" \t"):
        return line, behind.end(), text[line:start]
    return start, end, ""


def _rendered(parts: list[Any], scopes: list[Any], partial: Any) -> str:
    out = []
    for part in parts:
        if isinstance(part, str):
            out.append(part)
        elif isinstance(part, _Value):
            value = _look_up(part.name, scopes)
            shown = "" if value is None or value is _MISSING else str(value() if callable(value) else value)
            out.append(html.escape(shown, quote=False).replace('"', "&quot;") if part.escaped else shown)
        elif isinstance(part, _Partial):
            text = re.sub(r"^(?=.)", part.indent, partial(part.name), flags=re.MULTILINE)
            out.append(_rendered(_parse(text), scopes, partial))
        else:
            out.append(_section(part, scopes, partial))
    return "".join(out)


def _section(section: _Section, scopes: list[Any], partial: Any) -> str:
    value = _look_up(section.name, scopes)
    there = value is not _MISSING and bool(value)
    if section.kind == "^":
        return "" if there else _rendered(section.parts, scopes, partial)
    if not there:
        return ""
    if callable(value):
        return str(value(section.text, lambda text, data=None: _rendered(_parse(text), [data or {}, *scopes], partial)))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "".join(_rendered(section.parts, [one, *scopes], partial) for one in value)
    return _rendered(section.parts, [value, *scopes], partial)


def _look_up(name: str, scopes: list[Any]) -> Any:
    """What a name stands for: in the nearest scope that has it."""
    if name == ".":
        return scopes[0]
    for scope in scopes:
        value = scope
        for word in name.split("."):
            value = _item(value, word)
            if value is _MISSING:
                break
        if value is not _MISSING:
            return value
    return _MISSING


def _item(value: Any, word: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(word, _MISSING)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return value[int(word)] if word.isdigit() and int(word) < len(value) else _MISSING
    return getattr(value, word, _MISSING)


__all__ = ["render"]
