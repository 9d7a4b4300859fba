"""Finds the random generators that the user's modules hold, each with a name that is the same in every process.

The search begins at the names of a module and follows containers, attributes, classes of the user, closures and default
arguments, nearest first. Other modules are not entered: they are searched by themselves if they are the user's.
"""

from __future__ import annotations

import functools
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any

from headrace._base.usercode import is_user_module

#: Objects that are looked at in one module, items of one container, and steps into objects of other packages.
_OBJECTS, _ITEMS, _DEPTH_IN_LIBRARIES = 20_000, 1_000, 4
_PLAIN = frozenset({int, float, complex, bool, str, bytes, bytearray, type(None), type(...), CodeType, range, slice})
_SEQUENCES: tuple[type, ...] = (list, tuple, set, frozenset, deque)

#: A value, its name, and how many steps were taken into objects that are not the user's.
_Found = tuple[Any, str, int]


def generators_in(root: Any, name: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Generators that ``root`` holds (a module, a function), with their names. What is in ``seen`` is passed over."""
    kinds = generator_types()
    if not kinds:
        return
    waiting: deque[_Found] = deque(_parts(root, name, 0))
    left = _OBJECTS
    while waiting and left:
        value, path, depth = waiting.popleft()
        kind = type(value)
        if kind in _PLAIN or id(value) in seen:
            continue
        seen.add(id(value))
        left -= 1
        if issubclass(kind, kinds):
            yield path, value
        elif not isinstance(value, ModuleType):
            waiting.extend(_parts(value, path, depth))


def generator_types() -> tuple[type, ...]:
    """The classes of generators, of the libraries that are loaded."""
    kinds: list[type] = []
    for module, names in (
        ("_random", ("Random",)),
        ("numpy.random", ("Generator", "RandomState", "BitGenerator", "SeedSequence")),
        ("torch", ("Generator",)),
    ):
        loaded = sys.modules.get(module)
        kinds += [kind for name in names if isinstance(kind := getattr(loaded, name, None), type)]
    return tuple(kinds)


def _parts(value: Any, path: str, depth: int) -> Iterator[_Found]:
    """What ``value`` holds."""
    kind = type(value)
    if issubclass(kind, ModuleType):
        yield from ((one, f"{path}:{name}", 0) for name, one in list(value.__dict__.items()) if name != "__builtins__")
    elif issubclass(kind, FunctionType):
        yield from _of_function(value, path, depth)
    elif issubclass(kind, type):
        if is_users(value):
            yield from _named(type.__getattribute__(value, "__dict__"), path, depth)
    elif kind in (MethodType, BuiltinFunctionType):
        yield value.__self__, f"{path}.__self__", depth
        yield getattr(value, "__func__", None), path, depth
    elif kind in (staticmethod, classmethod):
        yield value.__func__, path, depth
    elif kind is property:
        yield value.fget, path, depth
    elif kind is functools.partial:
        yield from ((one, f"{path}({name})", depth) for name, one in _partial(value))
    else:
        yield from _items(value, kind, path, depth)
        yield from _attributes(value, kind, path, depth)


def is_users(kind: type) -> bool:
    """Whether a class is of the user's code."""
    module = kind.__module__
    return isinstance(module, str) and module != "builtins" and is_user_module(module)


def _items(value: Any, kind: type, path: str, depth: int) -> Iterator[_Found]:
    if issubclass(kind, dict):
        pairs = list(zip(dict.items(value), range(_ITEMS), strict=False))
        yield from ((one, f"{path}[{_key(key, place)}]", depth) for (key, one), place in pairs)
        return
    for base in _SEQUENCES:
        if issubclass(kind, base):
            items: list[Any] = list(zip(base.__iter__(value), range(_ITEMS), strict=False))  # type: ignore[attr-defined]
            yield from ((one, f"{path}[{place}]", depth) for one, place in items)
            return


def _key(key: Any, place: int) -> str:
    return repr(key) if type(key) in (str, int, bool, float, tuple) else str(place)


def _named(names: Mapping[str, Any] | MappingProxyType[str, Any], path: str, depth: int) -> Iterator[_Found]:
    return ((one, f"{path}.{name}", depth) for name, one in list(names.items()))


def _partial(value: functools.partial[Any]) -> Iterator[tuple[str, Any]]:
    yield "", value.func
    yield from ((str(place), one) for place, one in enumerate(value.args))
    yield from value.keywords.items()


def _of_function(function: FunctionType, path: str, depth: int) -> Iterator[_Found]:
    for place, one in enumerate(function.__defaults__ or ()):
        yield one, f"{path}(default {place})", depth
    for name, one in (function.__kwdefaults__ or {}).items():
        yield one, f"{path}({name})", depth
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield cell.cell_contents, f"{path}.<{name}>", depth
        except ValueError:  # it is not set yet
            continue
    yield from _named(function.__dict__, path, depth)
    module = sys.modules.get(function.__module__)
    if module is None or function.__globals__ is not module.__dict__:  # it came as a pickle, with names of its own
        yield from ((one, f"{path}:{name}", depth) for name, one in _used_globals(function))


def _used_globals(function: FunctionType) -> Iterator[tuple[str, Any]]:
    codes = [function.__code__]
    names: dict[str, None] = {}
    while codes:
        code = codes.pop()
        names.update(dict.fromkeys(code.co_names))
        codes += [one for one in code.co_consts if isinstance(one, CodeType)]
    return ((name, function.__globals__[name]) for name in names if name in function.__globals__)


def _attributes(value: Any, kind: type, path: str, depth: int) -> Iterator[_Found]:
    """Attributes that are stored; nothing of the object's own is called."""
    if not is_users(kind) and not kind.__module__.startswith("headrace."):
        depth += 1
        if depth > _DEPTH_IN_LIBRARIES:
            return
    if kind.__dictoffset__:
        try:
            attributes = object.__getattribute__(value, "__dict__")
        except AttributeError:
            attributes = None
        if type(attributes) is dict:
            yield from _named(attributes, path, depth)
    for name, member in _slots(kind):
        try:
            yield member.__get__(value, kind), f"{path}.{name}", depth
        except (AttributeError, TypeError):  # not set
            continue


@functools.lru_cache(4096)
def _slots(kind: type) -> list[tuple[str, Any]]:
    return [
        (name, member)
        for owner in kind.__mro__
        for name, member in owner.__dict__.items()
        if type(member) is MemberDescriptorType
    ]
