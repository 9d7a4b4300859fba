"""The running script as a module of its own name, so that what it pickles is found when it is imported instead."""

from __future__ import annotations

import sys
from types import FunctionType, ModuleType
from typing import Any

from headrace._base.attributes import instance_dict
from headrace._base.usercode import is_user_file, main_name, module_file


def canonical_main() -> str:
    """Give the running script the name it has when it is imported, and return that name.

    ``sys.modules`` gets the name as an alias, and classes and functions of ``__main__`` get it as their module, so
    that what ``python train.py`` pickles is found by ``headrace run train.py``, and the reverse. Nothing happens,
    and the answer is ``"__main__"``, in a notebook or at a prompt, in an installed program, and where the name is
    that of another module. Calling it again takes in what was defined since.
    """
    main = sys.modules["__main__"]
    name, file = main_name(), module_file(main)
    if name == "__main__" or not file or not is_user_file(file):
        return "__main__"
    if sys.modules.setdefault(name, main) is not main:
        return "__main__"
    for value in list(main.__dict__.values()):
        _rename(value, name)
    return name


def _rename(value: Any, name: str) -> None:
    """Set the module of what was defined in ``__main__``, methods and nested classes included."""
    kind = type(value)  # not ``isinstance``, which asks a proxy for what it stands for
    if issubclass(kind, (staticmethod, classmethod)):
        value = value.__func__
        kind = type(value)
    if issubclass(kind, property):
        for accessor in (value.fget, value.fset, value.fdel):
            _rename(accessor, name)
    elif issubclass(kind, (FunctionType, type)):
        if value.__module__ != "__main__":
            return
        value.__module__ = name
        inner = value.__dict__.get("__wrapped__") if kind is FunctionType else None
        for member in (inner,) if inner is not None else value.__dict__.copy().values():
            _rename(member, name)
    elif not issubclass(kind, ModuleType):
        _rename_wrapper(value, name)


def _rename_wrapper(value: Any, name: str) -> None:
    """A flow, a step, or anything else that stands for a function."""
    kept = instance_dict(value)
    inner = kept.get("__wrapped__")
    if isinstance(inner, (FunctionType, type)):
        if kept.get("__module__") == "__main__":
            kept["__module__"] = name
        _rename(inner, name)
