"""A lock under which no signal breaks in: an interrupt that comes while the main thread holds it waits for the end.

``decide`` changes the state in place, so a KeyboardInterrupt in its middle would leave half an event applied.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class InterruptSafeLock:
    """Use as ``with section:``. Not reentrant."""

    __slots__ = ("_depth", "_lock", "_main", "instead", "on_pending", "on_raise", "pending")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._main = threading.main_thread().ident
        self._depth = 0  # touched by the main thread only
        #: The interrupt that waits for the end of the section.
        self.pending: BaseException | None = None
        #: Asked before an interrupt breaks in; True answers it, and nothing is raised.
        self.instead: Callable[[], bool] | None = None
        #: Told of an interrupt when it is raised.
        self.on_raise: Callable[[BaseException], None] = lambda error: None
        #: Called in the signal handler when an interrupt has to wait: the thread that polls in the section is to come
        #: out.
        self.on_pending: Callable[[], None] = lambda: None

    def forget_callbacks(self) -> None:
        """Drop the references to the loop that this lock belonged to; an interrupt that comes now is just raised."""
        self.instead, self.on_raise, self.on_pending = None, lambda error: None, lambda: None

    def __enter__(self) -> None:
        if threading.get_ident() == self._main:  # as ``hold_off``; this is called at every step
            self._depth += 1
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        if threading.get_ident() == self._main:
            self._depth -= 1
            if self.pending is not None and not self._depth:
                self._raise()

    def let_go(self) -> None:
        """Let other threads in for a while, from inside the section; interrupts still wait."""
        self._lock.release()

    def take_back(self) -> None:
        """End what ``let_go`` began."""
        self._lock.acquire()

    def hold_off(self) -> None:
        """Let interrupts wait until ``let_in`` was called as often as this."""
        if threading.get_ident() == self._main:
            self._depth += 1

    def let_in(self) -> None:
        """Raise the interrupt that came meanwhile."""
        if threading.get_ident() == self._main:
            self._depth -= 1
            if self.pending is not None and not self._depth:
                self._raise()

    def _raise(self) -> None:
        pending, self.pending = self.pending, None
        if pending is not None:
            self.on_raise(pending)
            raise pending

    def interrupt(self, error: BaseException) -> None:
        """Raise ``error`` in the main thread, whose signal handler calls this: now, or when it leaves the section."""
        if self.instead is not None and self.instead():
            return
        if self._depth:
            self.pending = error
            self.on_pending()
        else:
            self.on_raise(error)
            raise error
