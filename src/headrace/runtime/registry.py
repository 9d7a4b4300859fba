"""The functions of steps in this process, numbered in the order of their registration.

A worker forked from the process that made them finds a function by its slot, so closures and notebook cells need no
name and no pickle.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from types import FunctionType
from typing import Any

from headrace._base.contents import contents_of

#: Identifies this registry: forked processes have the same number, other processes have another one.
HOME = int.from_bytes(os.urandom(7), "little")

_functions: dict[int, Callable[..., Any]] = {}
_slots: dict[int, int] = {}
_held: dict[int, list[object]] = {}  # by slot, where there is any
_numbers = itertools.count()  # atomic: any thread may define steps


def register(function: Callable[..., Any]) -> int:
    """Register ``function`` and return its slot, which is the same in later calls."""
    slot = _slots.get(id(function))
    if slot is None:
        slot = _slots.setdefault(id(function), next(_numbers))
        _functions[slot] = function
        held = held_by(function)
        if held:
            _held[slot] = held
    return slot


def held_by(function: Callable[..., Any]) -> list[object]:
    """The objects that a function holds beside its code: contents of its closure, and defaults."""
    if not isinstance(function, FunctionType):  # a flow class
        return []
    held: list[object] = [one for one in (function.__defaults__, function.__kwdefaults__) if one]
    for cell in function.__closure__ or ():
        try:
            held.append(cell.cell_contents)
        except ValueError:
            held.append(cell)
    return held


def as_registered(slot: int) -> bool:
    """Whether the function certainly holds the same objects, unchanged, as when it was registered."""
    before, now = _held.get(slot, []), held_by(_functions[slot])
    return len(before) == len(now) and all(
        one is other and contents_of(one) is None and not (isinstance(one, FunctionType) and one.__closure__)
        for one, other in zip(before, now, strict=True)
    )


def registered(home: int, slot: int) -> Callable[..., Any] | None:
    """The function in a slot; None if another process registered it, or did so after this one was forked."""
    return _functions.get(slot) if home == HOME else None


def count() -> int:
    """The number of registered functions."""
    return len(_functions)
