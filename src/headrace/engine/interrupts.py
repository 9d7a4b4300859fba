"""A lock under which no signal breaks in: an interrupt that comes while the main thread holds it waits for the end.

``decide`` changes the state in place, so a KeyboardInterrupt in its middle would leave half an event applied.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class InterruptSafeLock:
    """Use as ``with section:``. Not reentrant."""

    __slots__ = ("_depth", "_lock", "_main", "_pending", "instead", "on_raise")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._main = threading.main_thread().ident
        self._depth = 0  # touched by the main thread only
        self._pending: BaseException | None = None
        #: Asked before an interrupt breaks in; True answers it, and nothing is raised.
        self.instead: Callable[[], bool] | None = None
        #: Told of an interrupt when it is raised.
        self.on_raise: Callable[[BaseException], None] = lambda error: None

    def __enter__(self) -> None:
        self.hold_off()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        self.let_in()

    def hold_off(self) -> None:
        """Let interrupts wait until ``let_in`` was called as often as this."""
        if threading.get_ident() == self._main:
            self._depth += 1

    def let_in(self) -> None:
        """Raise the interrupt that came meanwhile."""
        if threading.get_ident() == self._main:
            self._depth -= 1
            if self._pending is not None and not self._depth:
                pending, self._pending = self._pending, None
                self.on_raise(pending)
                raise pending

    def interrupt(self, error: BaseException) -> None:
        """Raise ``error`` in the main thread, whose signal handler calls this: now, or when it leaves the section."""
        if self.instead is not None and self.instead():
            return
        if self._depth:
            self._pending = error
        else:
            self.on_raise(error)
            raise error
