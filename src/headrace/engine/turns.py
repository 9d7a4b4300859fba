"""Whose turn it is to hear the workers: a thread that waits for a result, or the loop's own thread.

A waiting thread that polls the workers' sockets itself saves waking one thread to wake another, half of a round trip.
Only the thread that has the turn polls. While no thread waits, the loop's own thread sleeps on the *bell*: an epoll
around the workers' epoll, which wakes it when a worker speaks, and at the next deadline. The bell is silent while a
waiting thread has the turn, and armed whenever a turn ends. So no event waits for a timer to be noticed.
"""

from __future__ import annotations

import math
import select
import threading
import time
from collections.abc import Callable

from headrace.engine.interrupts import InterruptSafeLock

#: Seconds for which the loop's own thread does not look again, when it found another thread with the turn.
_LEAVE_ALONE = 0.1
_ARMED = select.EPOLLIN | select.EPOLLONESHOT


class Turns:
    """The turn of one loop.

    ``deadline`` says when something is due even if no worker speaks (``time.monotonic``); ``wake`` makes the workers'
    epoll readable.
    """

    def __init__(
        self,
        section: InterruptSafeLock,
        epoll: select.epoll,
        deadline: Callable[[], float],
        wake: Callable[[], None],
    ) -> None:
        self.lock = threading.Lock()
        #: Until when the thread that has the turn polls, and until when the loop's own thread sleeps.
        self.polling_until = -math.inf
        self.asleep_until = -math.inf
        self._section = section
        self._deadline = deadline
        self._wake = wake
        self._own = False  # whether the loop's own thread has the turn, which is never for long
        self._closed = False
        self._fd = epoll.fileno()
        self._bell = select.epoll()
        self._bell.register(self._fd, _ARMED)

    def take(self, hear: Callable[[], None]) -> bool:
        """Call ``hear`` with the turn, in a thread that waits; False if another waiting thread has the turn."""
        self._section.hold_off()  # an interrupt after ``acquire`` would leave the lock taken
        try:
            if not self.lock.acquire(blocking=self._own):
                return False
            try:
                if not self._closed:
                    self._bell.modify(self._fd, 0)
                    hear()
            finally:
                self._end()
            return True
        finally:
            self._section.let_in()

    def serve(self, hear: Callable[[], None]) -> None:
        """In the loop's own thread: sleep until something is to be heard or done, then call ``hear`` with the turn.

        Returns without it where a waiting thread has the turn.
        """
        self.asleep_until = math.inf  # who changes the deadline while it is computed wakes us
        until = self._deadline()
        if self.lock.locked():
            until = max(until, time.monotonic() + _LEAVE_ALONE)
        self.asleep_until = until
        self._bell.poll(max(0.0, until - time.monotonic()))
        self.asleep_until = -math.inf
        if self.lock.acquire(blocking=False):
            self._own = True
            try:
                hear()
            finally:
                self._own = False
                self._end()

    def notice_deadline(self) -> None:
        """See to it that whoever polls or sleeps now does so no longer than until the deadline, which has changed."""
        polls = self.polling_until > 0
        if not polls and (self.asleep_until < 0 or self.lock.locked()):
            return  # whoever is at work computes it before it polls or sleeps
        at = self._deadline()
        if at < self.polling_until or (at < self.asleep_until and not self.lock.locked()):
            self._wake()

    def _end(self) -> None:
        self.lock.release()
        if not self._closed:
            self._bell.modify(self._fd, _ARMED)
            if self._deadline() < self.asleep_until:
                self._wake()

    def close(self) -> None:
        """End all turns; the loop's own thread has ended."""
        with self.lock:
            self._closed = True
            self._bell.close()
