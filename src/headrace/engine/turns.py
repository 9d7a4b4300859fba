"""Whose turn it is to hear the workers: the loop's own thread, or a thread that waits for a result.

A waiting thread that hears the workers itself saves waking one thread to wake another, half of a round trip. One thread
has the turn at a time; the loop's own thread takes it while nobody waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from headrace.engine.interrupts import InterruptSafeLock

#: Seconds for which the loop's thread leaves the turn to threads that wait, after one of them had it.
NAP = 0.01


class Turns:
    """The turn of one loop. ``wake`` makes the thread that has the turn, and polls, return from that."""

    def __init__(self, section: InterruptSafeLock, wake: Callable[[], None]) -> None:
        self.lock = threading.Lock()
        self._section = section
        self._wake = wake
        self._wanted = False
        self._own_thread = False
        self._taken_at = 0.0

    def take(self, hear: Callable[[], None], *, insist: bool) -> bool:
        """Call ``hear`` with the turn, in a thread that waits; False if another thread has the turn.

        With ``insist`` the loop's own thread is asked to leave it.
        """
        self._section.hold_off()  # an interrupt after ``acquire`` would leave the lock taken
        try:
            if not self.lock.acquire(blocking=False):
                if not self._own_thread or not insist:
                    return False
                self._wanted = True
                self._wake()
                if not self.lock.acquire(timeout=NAP):
                    return False
            try:
                self._taken_at = time.monotonic()
                hear()
            finally:
                self.lock.release()
            return True
        finally:
            self._section.let_in()

    def serve(self, hear: Callable[[], None]) -> None:
        """Call ``hear`` once with the turn, in the loop's own thread, if no waiting thread wants it."""
        if self._wanted or time.monotonic() - self._taken_at < NAP:
            self._wanted = False
            time.sleep(NAP)
        if not self.lock.acquire(blocking=False):
            time.sleep(NAP)
            return
        self._own_thread = True
        try:
            hear()
        finally:
            self._own_thread = False
            self.lock.release()
