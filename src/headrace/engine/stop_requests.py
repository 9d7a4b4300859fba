"""A run that was told to stop, while its flow cleans up: what was live is cancelled, what it calls from then on runs.

The first request cancels what is live. The flow leaves what it was doing, and steps that it calls on its way out
(``finally:``, ``except``, context managers) run until ``grace`` seconds have passed or a second request comes; then
nothing runs any more. Held and asked by ``engine.loop`` under its lock, but for ``told``, which a signal handler sets.
"""

from __future__ import annotations

import sys
import threading
import time


class Stopping:
    """See the module. Without ``grace`` the first request is the last."""

    def __init__(self) -> None:
        self.grace = 0.0
        self.active = False
        self.deadline: float | None = None
        #: Whether the flow function has heard of it, by an exception.
        self.told = False
        #: Interrupts that were raised in the flow, and how many of them were dealt with.
        self.raised = 0
        self.heard = 0
        self._by_signal = False
        self._owner = threading.get_ident()
        self._older: set[int] = set()

    def note_raised(self, error: BaseException) -> None:
        """Called in the main thread, by its signal handler or just after, when ``error`` is raised there."""
        self.told = True
        if error.args != (CANCELLED,):
            self.raised += 1
            if not self.active:  # the engine hears of it a moment later, when threads that clean up may have begun
                self._older = set(sys._current_frames())

    def begin(self, *, by_signal: bool) -> bool:
        """Take a request. True: what is live is to be cancelled and the flow may clean up; False: it is the end."""
        if self.active or not self.grace:
            self.deadline = None
            return False
        self.active, self._by_signal = True, by_signal
        self.deadline = time.monotonic() + self.grace
        if not by_signal:
            self._older = set(sys._current_frames())
        return True

    def is_over(self, clock: float) -> bool:
        """Whether the time to clean up ends now."""
        if self.deadline is None or clock < self.deadline:
            return False
        self.deadline = None
        return True

    def admits(self, *, interruptible: bool) -> bool:
        """Whether the calling thread may call steps; False: it must be told that the run is being stopped.

        ``interruptible``: the flow is told by an interrupt, which is on its way if it has not come.
        """
        here = threading.get_ident()
        if here != self._owner:
            return here not in self._older  # older threads do the work that was stopped
        if not self.told:
            self.told = not interruptible
            return False
        if self._by_signal and self.deadline is not None and sys.exc_info()[1] is None:
            self.active, self.told, self.deadline = False, False, None  # the flow caught the interrupt, and goes on
        return True

    def note_cancelled(self, *, interruptible: bool) -> None:
        """The calling thread is told of a task that was cancelled."""
        if self.active and not interruptible and threading.get_ident() == self._owner:
            self.told = True


#: The argument of an interrupt that passes a request on which the engine knows already.
CANCELLED = "cancelled"
