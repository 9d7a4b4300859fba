"""Collections that load what they hold when it is asked for, and show themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, Generic, TypeVar

from headrace.client.html import html_table, html_text, text_table
from headrace.client.object_loader import load_input
from headrace.client.source import RunReader
from headrace.model.errors import NotFoundError
from headrace.model.records import Input, TaskId

V = TypeVar("V")

#: A prompt or notebook shows this many of a longer list.
_SHOWN = 100


class Named(Mapping[str, V], Generic[V]):
    """A read-only dictionary that says which names there are when one is missing."""

    def __init__(self, what: str, owner: str, values: Mapping[str, V], describe: Callable[[V], str] = repr) -> None:
        self._what = what
        self._owner = owner
        self._values = values
        self._describe = describe

    def __getitem__(self, name: str) -> V:
        try:
            return self._values[name]
        except KeyError:
            raise missing(self._what, name, self._owner, list(self._values)) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def _rows(self) -> list[tuple[str, str]]:
        return [(name, self._describe(value)) for name, value in islice(self._values.items(), _SHOWN)]

    def _rest(self) -> str:
        return f"... {len(self)} {self._what}s" if len(self) > _SHOWN else ""

    def __repr__(self) -> str:
        if not self:
            return f"<no {self._what}s of {self._owner}>"
        return "\n".join(part for part in (text_table((self._what, ""), self._rows()), self._rest()) if part)

    def _repr_html_(self) -> str:
        return html_table(f"{self._what}s of {self._owner}", (self._what, ""), self._rows(), self._rest())


class MissingError(NotFoundError, KeyError):
    """A name that is not there: a ``KeyError`` for who uses the mapping as one."""

    __str__ = Exception.__str__


def missing(what: str, name: object, owner: str, there: list[str]) -> MissingError:
    """The error for a name that is not there."""
    from difflib import get_close_matches

    near = get_close_matches(str(name), there, 1)
    if near:
        return MissingError(f"{owner} has no {what} {name!r}; did you mean {near[0]!r}?")
    listed = ", ".join(there[:20]) + (", ..." if len(there) > 20 else "")
    return MissingError(f"{owner} has no {what} {name!r}; it has {listed or 'none'}")


class Inputs(Mapping[str, Any]):
    """The arguments of a task, or the parameters of a run, as objects; each is loaded when it is asked for."""

    def __init__(self, run: RunReader, owner: str, inputs: tuple[Input, ...]) -> None:
        self._run = run
        self._owner = owner
        self._inputs = {one.name.lstrip("/*"): one for one in inputs}

    def __getitem__(self, name: str) -> Any:
        one = self._inputs.get(name)
        if one is None:
            raise missing("input", name, self._owner, list(self._inputs))
        return load_input(one, self._run)

    def __iter__(self) -> Iterator[str]:
        return iter(self._inputs)

    def __len__(self) -> int:
        return len(self._inputs)

    def sources(self, name: str) -> list[str]:
        """The outputs that an argument is, or is made of: ``["train/42/load/1/result"]``; empty for a plain value."""
        one = self._inputs.get(name)
        found = one.sources if one is not None else ()
        return [f"{self._run.name}/{TaskId(s.step, s.number)}/{s.output}" for s in found]

    def _rows(self) -> list[tuple[str, str]]:
        rows = []
        for name, one in self._inputs.items():
            plain = one.value.codec in ("json", "str") and not one.value.blobs
            text = one.value.inline.decode(errors="replace") if plain and not one.sources else ""
            rows.append((name, ", ".join(self.sources(name)) or text or f"<{one.value.codec}>"))
        return rows

    def __repr__(self) -> str:
        return text_table(("input", ""), self._rows()) if self else f"<no inputs of {self._owner}>"

    def _repr_html_(self) -> str:
        return html_table(f"inputs of {self._owner}", ("input", ""), self._rows())


class LogText(str):
    """Output of a program. It is a ``str`` that a prompt and a notebook show as it was printed."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return html_text(self)
