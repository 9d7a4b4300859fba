"""What a pickle says by name: classes and functions, which a process that loads it must import.

The pickler reports every object that is not a plain built-in one. From that follow the user's code that the value
depends on, and which classes were met for the first time.
"""

from __future__ import annotations

import copyreg
import sys
from collections.abc import Callable
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import TYPE_CHECKING

import msgspec

from headrace._base.usercode import canonical_name, is_user_module

if TYPE_CHECKING:
    from typing import Any

_BY_NAME = frozenset({type, FunctionType, BuiltinFunctionType, ModuleType})


class Named:
    """What one pickler met. ``note`` is to be its ``reducer_override``.

    ``firsts``: the first instance of each class; ``things``: classes, functions and modules in the order of their
    first use, which does not depend on how often an object occurs.
    """

    __slots__ = ("firsts", "note", "things")

    def __init__(self) -> None:
        firsts: dict[type, object] = {}
        things: list[object] = []

        def note(value: object) -> Any:
            kind = type(value)
            if kind not in firsts:
                if kind in _BY_NAME or _has_name(kind, value):
                    things.append(value)
                else:
                    firsts[kind] = value
            return NotImplemented

        self.firsts = firsts
        self.things = things
        self.note: Callable[[object], Any] = note

    def user_code(self) -> tuple[str, ...]:
        """The user's classes, functions and modules among them as ``module:qualified.name``, in alphabetical order."""
        names = {name for thing in (*self.firsts, *self.things) if (name := written_name(thing).code)}
        return tuple(sorted(names)) if names else ()


def _has_name(kind: type, value: object) -> bool:
    """Whether ``value`` is a class, or a thing that goes by a name as functions do: a step, a cached function."""
    if issubclass(kind, type):
        return True
    try:
        return "__qualname__" in object.__getattribute__(value, "__dict__")
    except Exception:  # it has no attributes of its own, or ideas of its own about them
        return False


class WrittenName(msgspec.Struct, frozen=True):
    """How pickle names a class or function.

    ``label``: the name, where it writes one instead of the thing itself; ``code``: ``module:qualified.name`` of the
    user's.
    """

    thing: object
    label: bytes
    code: str


#: By id, with the thing itself, so that no other can have its id.
_known: dict[int, WrittenName] = {}
_MOST_KNOWN = 10_000


def written_name(thing: object) -> WrittenName:
    """How pickle names ``thing``; looked up once."""
    known = _known.get(id(thing))
    if known is None:
        known = WrittenName(thing, _label(thing), _user_name(thing))
        if known.label or known.code:  # what has no name is not kept alive: a closure may hold anything
            if len(_known) >= _MOST_KNOWN:
                _known.clear()
            _known[id(thing)] = known
    return known


def _label(thing: Any) -> bytes:
    kind = type(thing)
    if kind is BuiltinFunctionType:
        if not isinstance(thing.__self__, ModuleType | None):
            return b""  # a method of an object
    elif kind is not FunctionType and (not issubclass(kind, type) or not _is_global(thing)):
        return b""
    module, name = thing.__module__, thing.__qualname__
    return f"{canonical_name(module)}.{name}".encode() if isinstance(module, str) and "<" not in name else b""


def _is_global(kind: type) -> bool:
    """Whether pickle writes the name of a class, also where its metaclass has a reducer of its own, as NumPy's does."""
    reducer = copyreg.dispatch_table.get(type(kind))
    if reducer is None:
        return True
    try:
        return reducer(kind) == kind.__qualname__
    except Exception:  # the pickler will meet it, too
        return False


def _user_name(thing: Any) -> str:
    if isinstance(thing, ModuleType):
        return f"{canonical_name(thing.__name__)}:" if is_user_module(thing.__name__) else ""
    if isinstance(thing, type) and not isinstance(thing.__dict__.get("__module__"), str):
        return ""  # C made it: Cython keeps classes in modules that look like the user's
    try:
        module, name = thing.__module__, thing.__qualname__
    except Exception:  # whatever a metaclass makes of the question
        return ""
    if not (isinstance(module, str) and isinstance(name, str)) or module not in sys.modules or "<" in name:
        return ""  # what is made inside of a function travels by value
    if module == "__main__" and not hasattr(sys.modules["__main__"], "__file__"):
        return ""  # so does what a notebook defines
    return f"{canonical_name(module)}:{name}" if is_user_module(module) else ""
