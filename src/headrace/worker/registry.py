"""Functions of steps, by the order in which they were made.

A worker forked from the process that made them finds a function by its slot, so closures and notebook cells need no
name and no pickle.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

#: Tells this registry from those of processes that were not forked from this one.
HOME = int.from_bytes(os.urandom(7), "little")

_functions: list[Callable[..., Any]] = []


def register(function: Callable[..., Any]) -> int:
    """Remember ``function``; returns its slot."""
    _functions.append(function)
    return len(_functions) - 1


def registered(home: int, slot: int) -> Callable[..., Any] | None:
    """The function of a slot; None when it is of another process, or was made after this one was forked."""
    return _functions[slot] if home == HOME and 0 <= slot < len(_functions) else None


def count() -> int:
    """How many functions there are: slots below this are known to a process forked now."""
    return len(_functions)
