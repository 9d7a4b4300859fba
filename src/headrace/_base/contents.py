"""Whether a value has changed inside since it was last looked at, without writing it down or copying it.

The objects that a value is made of are kept and compared by identity, which costs tens of nanoseconds each; memory of
arrays is compared by digest. What is large is looked at in places only, always the same ones.
"""

from __future__ import annotations

import operator
import sys
from collections import deque
from collections.abc import Iterable
from copyreg import _slotnames  # type: ignore[attr-defined]
from functools import partial
from itertools import islice
from types import BuiltinFunctionType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any

from blake3 import blake3

#: Objects of one value that are looked at; a larger container in it is looked at by so many at each end.
_OBJECTS, _ENDS = 10_000, 256
#: Bytes of an array that are read in full; of a larger one, so many items.
_BYTES, _ITEMS = 1 << 16, 1024
_ATOMS: frozenset[type] = frozenset(
    {type(None), bool, int, float, complex, str, bytes, frozenset, range, slice, type, type(Ellipsis), property}
    | {FunctionType, ModuleType, staticmethod, classmethod}
)
_METHODS = (MethodType, BuiltinFunctionType)
#: Modules whose objects never change, or change in ways that are no business of those who hold them.
_LEFT_ALONE = frozenset(
    {"pathlib", "datetime", "decimal", "fractions", "uuid", "re", "logging", "threading", "random", "_random", "enum"}
)


class Contents:
    """What a value is made of. ``whole`` is False where some of it was left out: generators, parts of what is large."""

    __slots__ = ("data", "objects", "whole")

    def __init__(self) -> None:
        self.objects: list[object] = []  # kept, so that an identity is not given to another object
        self.data: list[object] = []
        self.whole = True

    def same(self, other: Contents | None) -> bool:
        """Whether the value that ``other`` was taken of is still, or again, made of the same."""
        return (
            other is not None
            and len(self.objects) == len(other.objects)
            and all(map(operator.is_, self.objects, other.objects))
            and self.data == other.data
        )


def contents_of(value: object) -> Contents | None:
    """The contents of ``value`` now; None for what can change only by becoming another object."""
    kind = type(value)
    if kind in _ATOMS or _left_alone(kind):
        return None
    if kind in _METHODS and type(value.__self__) in _ATOMS:  # type: ignore[attr-defined]
        return None
    if kind is tuple and _ATOMS.issuperset(map(type, value)):  # type: ignore[call-overload]
        return None
    found = Contents()
    try:
        _gather(value, found)
    except Exception:  # a class of the user's may do anything when it is looked at
        return None
    return found if found.objects or found.data else None


def _is_generator(value: object) -> bool:
    """Whether ``value`` is a generator of random numbers: how these begin in a task is a matter of its own."""
    return any(base.__module__.startswith(("numpy.random", "random", "_random")) for base in type(value).__mro__)


def _left_alone(kind: type) -> bool:
    module = kind.__module__
    return (
        issubclass(kind, type)
        or module.partition(".")[0] in _LEFT_ALONE
        or module.startswith("numpy.random")
        or any(base.__module__ in _LEFT_ALONE for base in kind.__mro__[1:-1])
    )


def _gather(value: object, into: Contents) -> None:
    seen: set[int] = set()
    waiting: list[object] = [value]
    while waiting:
        one = waiting.pop()
        kind = type(one)
        if kind in _ATOMS or id(one) in seen:
            continue
        if _left_alone(kind):
            into.whole = into.whole and not _is_generator(one)
            continue
        seen.add(id(one))
        if len(into.objects) >= _OBJECTS:
            into.whole = False
            return
        for part in _parts(one, into):
            into.data.append(len(part))
            children = _ends(part, into)
            into.objects += children
            if not _ATOMS.issuperset(map(type, children)):
                waiting += children


def _ends(children: Any, into: Contents) -> list[object]:
    """``children`` as a list; of too many, those at both ends."""
    if len(children) <= _OBJECTS:
        return list(children)
    into.whole = False
    first = list(islice(children, _ENDS))
    try:
        return [*first, *islice(reversed(children), _ENDS)]
    except TypeError:  # a set has one end only
        return first


def _parts(value: Any, into: Contents) -> list[Any]:
    """Sized collections of the objects that ``value`` holds; memory goes to ``into``."""
    parts: list[Any] = []
    kind = type(value)  # never ``isinstance``, which asks a proxy for what it stands for
    if issubclass(kind, dict):
        parts += (dict.keys(value), dict.values(value))
    elif issubclass(kind, (list, tuple, set, deque)):
        parts.append(value)
    elif issubclass(kind, bytearray):
        into.data.append(_digest(memoryview(value), into))
    elif kind is MethodType or kind is BuiltinFunctionType:
        parts.append((value.__self__,))
    elif issubclass(kind, partial):
        parts += ((value.func, *value.args), value.keywords.keys(), value.keywords.values())
    elif kind is MappingProxyType:
        parts += (value.keys(), value.values())
    else:
        library = _LIBRARIES.get(kind.__module__.partition(".")[0])
        known = library(value, into) if library is not None else None
        if known is not None:
            return known
    try:
        own = object.__getattribute__(value, "__dict__")  # a greedy ``__getattr__`` is not asked
    except AttributeError:
        own = None
    if own is not None:  # an empty one may be filled
        parts += (own.keys(), own.values())
    names = () if kind.__module__ == "builtins" else _slotnames(kind)
    if names:
        parts.append(_slots(value, names))
    return parts


def _slots(value: Any, names: Iterable[str]) -> list[object]:
    found = []
    for name in names:
        try:
            found.append(object.__getattribute__(value, name))
        except AttributeError:
            continue
    return found


def _digest(data: memoryview, into: Contents) -> bytes:
    if data.nbytes > _BYTES:
        into.whole = False
        data = memoryview(bytes(data[:: data.nbytes // _ITEMS]))
    return blake3(data).digest()


def _of_numpy(value: Any, into: Contents) -> list[Any] | None:
    if not hasattr(type(value), "__array_interface__") or not isinstance(value, sys.modules["numpy"].ndarray):
        return None
    into.data.append((value.shape, str(value.dtype)))
    if value.dtype.hasobject:
        return [list(value.flat)]
    if value.nbytes > _BYTES:
        into.whole = False
        value = value.flat[:: value.size // _ITEMS]
    into.data.append(blake3(value.tobytes()).digest())
    return []


def _of_pandas(value: Any, _: Contents) -> list[Any] | None:
    manager = getattr(value, "_mgr", None)
    return [] if manager is None else [list(manager.arrays), list(manager.axes)]  # an index never changes


def _of_torch(value: Any, into: Contents) -> list[Any] | None:
    if not isinstance(value, sys.modules["torch"].Tensor):
        return None
    into.data.append((value.data_ptr(), value._version, tuple(value.shape)))
    return []


_LIBRARIES = {"numpy": _of_numpy, "pandas": _of_pandas, "torch": _of_torch}
