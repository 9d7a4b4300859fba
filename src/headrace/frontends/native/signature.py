"""Matching the arguments of a call with a function's parameters, without ``inspect`` (15 ms to import) where it goes.

The result is what identifies a call: ``fit(frame, 3)`` and ``fit(frame, depth=3)`` are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

from headrace._base.attributes import own
from headrace.model.errors import CallError

_VARARGS = 0x04
_VARKEYWORDS = 0x08


class Signature:
    """The parameters of a function. Values of positional-only ones and ``*args`` are named ``/name``, ``*args[i]``."""

    def __init__(self, function: Callable[..., Any]) -> None:
        code = own(function, "__code__")
        if code is None:
            raise TypeError(f"{function!r} is not a Python function; wrap it in one: def name(...): return ...")
        names = code.co_varnames
        count = code.co_argcount
        self._name = function.__qualname__.rpartition(".<locals>.")[2]
        self._positional_only = frozenset(names[: code.co_posonlyargcount])
        self._positional = names[:count]
        self._keyword_only = names[count : count + code.co_kwonlyargcount]
        self._known = frozenset(self._positional + self._keyword_only) - self._positional_only
        self.names = self._positional
        at = count + code.co_kwonlyargcount
        self._rest = ""
        if code.co_flags & _VARARGS:
            self._rest = names[at]
            at += 1
        self._extra = bool(code.co_flags & _VARKEYWORDS)
        defaults = function.__defaults__ or ()
        required = self._positional[: count - len(defaults)]
        optional = function.__kwdefaults__ or {}
        self._required = frozenset(required) | {name for name in self._keyword_only if name not in optional}
        self._order = {name: place for place, name in enumerate((*self._positional, *self._keyword_only))}

    def take_names(self, name: str, names: tuple[str, ...]) -> None:
        """Be the signature of something called ``name`` that takes one argument for each of ``names``."""
        self._name = name
        self._positional_only = frozenset()
        self._positional = self.names = names
        self._keyword_only = ()
        self._known = self._required = frozenset(names)
        self._rest = ""
        self._extra = False
        self._order = {one: place for place, one in enumerate(names)}

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[str, Any]]:
        """Name every argument of a call, in the order of the signature.

        Raises:
            CallError: the call does not fit.
        """
        positional = self._positional
        bound: list[tuple[str, Any]]
        if len(args) > len(positional):
            if not self._rest:
                raise CallError(self._too_many(len(args)))
            bound = [("/" + name, value) for name, value in zip(positional, args, strict=False)]
            bound += [(f"*{self._rest}[{i}]", value) for i, value in enumerate(args[len(positional) :])]
        elif self._positional_only:
            only = self._positional_only
            bound = [("/" + n if n in only else n, v) for n, v in zip(positional, args, strict=False)]
        else:
            bound = list(zip(positional, args, strict=False))
        given = set(positional[: len(args)])
        if kwargs:
            order, only = self._order, self._positional_only
            for name in sorted(kwargs, key=lambda n: order.get(n, len(order))):
                if name in given and name not in only:
                    raise CallError(f"{self._name}() got multiple values for argument {name!r}")
                if name not in self._known and not self._extra:
                    raise CallError(self._unexpected(name))
                bound.append((name, kwargs[name]))
                if name not in only:  # else it is one of the extra keywords that bears the same name
                    given.add(name)
        if not self._required <= given:
            raise CallError(self._missing([n for n in self._order if n in self._required and n not in given]))
        return bound

    def open_place(self, shared: Mapping[str, Any]) -> str:
        """Which parameter an item of ``map`` fills: the first that ``shared`` leaves; empty for the first of all."""
        if not self._positional or self._positional[0] not in shared or self._positional[0] in self._positional_only:
            return ""
        return next((name for name in self._order if name not in shared), "")

    def _too_many(self, count: int) -> str:
        takes = len(self._positional)
        return f"{self._name}() takes {takes} positional argument{'s' * (takes != 1)} but {count} were given"

    def _missing(self, names: list[str]) -> str:
        listed = ", ".join(repr(name) for name in names)
        return f"{self._name}() missing {len(names)} required argument{'s' * (len(names) != 1)}: {listed}"

    def _unexpected(self, name: str) -> str:
        from difflib import get_close_matches

        near = get_close_matches(name, list(self._known), 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"{self._name}() got an unexpected keyword argument {name!r}{hint}"


def unwrapped(function: Any) -> Any:
    """The function that ``functools.wraps`` says ``function`` stands for; ``function`` itself if there is none."""
    seen: list[Any] = [function]
    while isinstance(inner := own(seen[-1], "__wrapped__"), FunctionType) and inner not in seen:
        seen.append(inner)
    return seen[-1]


def parameters_of(function: Any) -> Any:
    """The function whose parameters are those of ``function``: the inner one, where a wrapper passes keywords on."""
    passed = function
    while passed.__code__.co_flags & _VARKEYWORDS:
        inner = own(passed, "__wrapped__")
        if not isinstance(inner, FunctionType) or inner is passed:
            break
        passed = inner
    return passed


def defaults_of(function: Any) -> dict[str, Any]:
    """The defaults of ``function``, by the names that ``bind`` gives to arguments."""
    code = function.__code__
    names = code.co_varnames[: code.co_argcount]
    values = function.__defaults__ or ()
    found = {}
    for name, value in zip(names[len(names) - len(values) :], values, strict=True):
        found["/" + name] = value  # how it is called where more arguments than names are given
        if name not in names[: code.co_posonlyargcount]:
            found[name] = value
    return {**found, **(function.__kwdefaults__ or {})}


def item_call(place: str, item: Any, shared: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of the call that ``map`` makes for an item, which goes to ``place``."""
    return ((), {**shared, place: item}) if place else ((item,), shared)
