"""Placeholders, ``{{$.inputs.parameters['n']}}`` and the like, in constants, commands and variables.

A text is replaced once: what a value brings in is never looked at for placeholders. Text that only looks similar
(``{braces}``, ``{{other}}``) stays.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from headrace.frontends.kfp.values import compact, whole

_PLACEHOLDER = re.compile(r"\{\{\$(?P<path>(?:\.[A-Za-z_]\w*|\[''?[^'\]]*''?\]|\[\"[^\"\]]*\"\])*)\}\}")
_PART = re.compile(r"\.([A-Za-z_]\w*)|\[''?([^'\]]*)''?\]|\[\"([^\"\]]*)\"\]")

#: The parts of a placeholder behind ``$``: ``("inputs", "parameters", "n")``.
Path = tuple[str, ...]


def replace(text: str, lookup: Callable[[Path], str]) -> str:
    """``text`` with each placeholder replaced by what ``lookup`` says of its parts; ``()`` is ``{{$}}``."""
    if "{{$" not in text:
        return text
    return _PLACEHOLDER.sub(lambda found: lookup(parts(found["path"])), text)


def replace_deep(value: Any, lookup: Callable[[Path], str]) -> Any:
    """``value`` with the placeholders in its texts replaced, at any depth; keys of dictionaries too."""
    if isinstance(value, str):
        return replace(value, lookup)
    if isinstance(value, list):
        return [replace_deep(one, lookup) for one in value]
    if isinstance(value, dict):
        return {replace(name, lookup): replace_deep(one, lookup) for name, one in value.items()}
    return value


def parts(path: str) -> Path:
    """``(".inputs.parameters['n']")`` as its parts."""
    return tuple(one[0] or one[1] or one[2] for one in _PART.findall(path))


def find(value: Any) -> Iterator[Path]:
    """The placeholders in the texts of ``value``, at any depth."""
    if isinstance(value, str):
        if "{{$" in value:
            yield from (parts(one["path"]) for one in _PLACEHOLDER.finditer(value))
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from find(one)
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from find(name)
            yield from find(one)


def as_text(value: Any) -> str:
    """A value as it stands in a text: texts as they are, others as compact JSON, ``3.0`` as ``3``; None is ``null``."""
    return value if isinstance(value, str) else compact(whole(value))
