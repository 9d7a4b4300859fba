"""Functions of steps, by the order in which they were made.

A worker forked from the process that made them finds a function by its slot, so closures and notebook cells need no
name and no pickle.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import Any

#: Tells this registry from those of processes that were not forked from this one.
HOME = int.from_bytes(os.urandom(7), "little")

_functions: dict[int, Callable[..., Any]] = {}
_slots: dict[int, int] = {}
_numbers = itertools.count()  # atomic: any thread may define steps


def register(function: Callable[..., Any]) -> int:
    """Remember ``function``; returns its slot, the same one each time."""
    slot = _slots.get(id(function))
    if slot is None:
        slot = _slots.setdefault(id(function), next(_numbers))
        _functions[slot] = function
    return slot


def registered(home: int, slot: int) -> Callable[..., Any] | None:
    """The function of a slot; None when it is of another process, or was made after this one was forked."""
    return _functions.get(slot) if home == HOME else None


def count() -> int:
    """How many functions there are."""
    return len(_functions)
