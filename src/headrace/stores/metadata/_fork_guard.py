"""Forks that wait until no other thread is inside SQLite, whose own locks a child would inherit held, for ever."""

from __future__ import annotations

import os
import threading
import time
import weakref
from typing import Protocol

#: How long a fork waits at most: the other thread may be in there because it waits for another process.
_SECONDS = 2.0


class Guarded(Protocol):
    """An object whose ``locks`` are held during its calls of SQLite."""

    @property
    def locks(self) -> tuple[threading.Lock, ...]:
        """As said; always the same."""


_all: weakref.WeakSet[Guarded] = weakref.WeakSet()
_taken = threading.local()


def guard(one: Guarded) -> None:
    """Let forks wait for ``one`` as long as it is there."""
    _all.add(one)


def _before() -> None:
    until = time.monotonic() + _SECONDS
    held: list[threading.Lock] = []
    _taken.locks = held
    locks = [lock for one in list(_all) for lock in one.locks]
    held.extend(lock for lock in locks if lock.acquire(timeout=max(0.0, until - time.monotonic())))


def _after() -> None:
    for lock in _taken.locks:
        lock.release()


os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after)
