"""The user's functions and classes inside objects that cannot be compared by their content.

A function that a library made (the dispatcher of ``singledispatch``, the wrapper of a decorator) and an object
with a lock in it count by name and type; the user's code that they hold is followed all the same. Called by
``identity.fingerprint`` only.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from functools import partial
from types import BuiltinFunctionType, CellType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any

from headrace._base.attributes import instance_dict
from headrace._base.usercode import is_user_module

#: Objects looked at, and how deep they may lie: what is beyond is some library's world, not what was given to it.
_MOST = 2000
_DEEPEST = 8
_PLAIN = (str, bytes, bytearray, int, float, complex, type(None), ModuleType)
_CONTAINERS = (list, tuple, set, frozenset)


def held_code(value: object) -> list[FunctionType | type]:
    """The user's functions and classes that can be reached from ``value``, in no particular order."""
    found: list[FunctionType | type] = []
    seen = {id(value)}
    kept: list[object] = []  # ids are good only while their objects live
    todo = [(one, 1) for one in _inside(value)]
    while todo and len(seen) < _MOST:
        thing, depth = todo.pop()
        if isinstance(thing, _PLAIN) or id(thing) in seen:
            continue
        seen.add(id(thing))
        kept.append(thing)
        if isinstance(thing, FunctionType | type) and is_users(thing):
            found.append(thing)
        elif not isinstance(thing, type) and depth < _DEEPEST:
            if is_users(type(thing)):
                todo.append((type(thing), depth))
            todo += [(one, depth + 1) for one in _inside(thing)]
    return found


def is_users(thing: FunctionType | type) -> bool:
    """Whether a function or class is defined in a module of the user's."""
    module: object = thing.__globals__.get("__name__") if isinstance(thing, FunctionType) else thing.__module__
    return isinstance(module, str) and is_user_module(module)


def _inside(value: Any) -> Iterator[object]:
    if isinstance(value, FunctionType):
        yield from value.__closure__ or ()
        yield value.__defaults__
        yield value.__kwdefaults__
    elif isinstance(value, CellType):
        try:
            yield value.cell_contents
        except ValueError:  # not assigned yet
            return
    elif isinstance(value, MethodType):
        yield from (value.__func__, value.__self__)
    elif isinstance(value, BuiltinFunctionType):
        yield value.__self__
    elif isinstance(value, partial):
        yield from (value.func, value.args, value.keywords)
    elif isinstance(value, property):
        yield from (value.fget, value.fset, value.fdel)
    elif isinstance(value, weakref.ref):
        yield value()
    elif isinstance(value, dict | MappingProxyType):
        for key, item in list(value.items()):
            yield from (key, item)
    elif isinstance(value, _CONTAINERS):
        yield from list(value)
    yield from _attributes(value)


def _attributes(value: Any) -> Iterator[object]:
    yield from list(instance_dict(value).values())
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            member = kind.__dict__.get(name)
            try:
                yield member.__get__(value, kind)  # type: ignore[union-attr]
            except Exception:  # not set, or a name that is mangled
                continue
