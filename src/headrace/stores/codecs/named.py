"""What a pickle says by name: classes and functions, which whoever loads it must import.

The pickler reports every object that is not a plain built-in one. From that follow the user's code that the value
depends on, and which classes were met for the first time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import TYPE_CHECKING

from headrace._base.usercode import canonical_name, is_user_module

if TYPE_CHECKING:
    from typing import Any

_BY_NAME = frozenset({type, FunctionType, BuiltinFunctionType, ModuleType})
#: Answers by module, name, and what ``__main__`` is.
_known: dict[tuple[str, str, int], str] = {}


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
        names = {name for thing in (*self.firsts, *self.things) if (name := _user_name(thing))}
        return tuple(sorted(names)) if names else ()


def _has_name(kind: type, value: object) -> bool:
    """Whether ``value`` is a class, or a thing that goes by a name as functions do: a step, a cached function."""
    if issubclass(kind, type):
        return True
    try:
        return "__qualname__" in object.__getattribute__(value, "__dict__")
    except Exception:  # it has no attributes of its own, or ideas of its own about them
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
    main = sys.modules.get("__main__") if module == "__main__" else None
    known = _known.get((module, name, id(main)))
    if known is None:
        if main is not None and not hasattr(main, "__file__"):
            known = ""  # so does what a notebook defines
        else:
            known = f"{canonical_name(module)}:{name}" if is_user_module(module) else ""
        _known[module, name, id(main)] = known
    return known
