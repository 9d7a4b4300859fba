"""Whose turn it is to hear the workers: a thread that waits for a result, or one of the loop's own threads.

A waiting thread that polls the workers' sockets itself saves waking one thread to wake another, half of a round trip.
Only the thread that has the turn polls. While no thread waits, the loop's own threads sleep on the *bell*: an epoll
around the workers' epoll, which wakes one of them when a worker speaks, and at the next deadline. The bell is silent
while a waiting thread has the turn, and armed whenever no thread goes on waiting. So no event waits for a timer to be
noticed.

The loop has two threads of its own: one may be in a commit while the other hears the workers.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import threading
import time
from collections.abc import Callable

from headrace.engine.interrupts import InterruptSafeLock

#: Seconds for which one of the loop's own threads does not look again, when it found another thread with the turn.
_LEAVE_ALONE = 0.1
_ARMED = select.EPOLLIN | select.EPOLLONESHOT
_THREADS = 2
#: Seconds after which a thread that wants the turn looks again who has it.
_MOMENT = 0.005


def _nothing() -> None:
    pass


class Turns:
    """The turn of one loop.

    ``deadline`` says when something is due even if no worker speaks (``time.monotonic``); ``wake`` makes the workers'
    epoll readable; ``settle`` carries out what was heard, after the turn: others may hear meanwhile. Where the store is
    not slow, a thread that waits gives the turn back and settles before it lets go of ``section``.
    """

    def __init__(
        self,
        section: InterruptSafeLock,
        epoll: select.epoll,
        deadline: Callable[[], float],
        wake: Callable[[], None],
        settle: Callable[[], None],
    ) -> None:
        self.lock = threading.Lock()
        #: Until when the thread that has the turn polls.
        self.polling_until = -math.inf
        #: Until when each of the loop's own threads sleeps; infinite while it is busy, so that it counts for nothing.
        self._asleep = [math.inf] * _THREADS
        self._rung = False  # since one of them began to look how long it may sleep
        self._section = section
        self._deadline = deadline
        self._wake = wake
        self._settle = settle
        #: Whether the store is slow, so that others shall hear the workers while a thread settles what it heard.
        self.slow = False
        self._leader = 0  # the thread that waits and has the turn; the loop's own have it for a moment only
        self._closed = False
        self._fd = epoll.fileno()
        self._ring = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._bell = select.epoll()
        self._bell.register(self._fd, _ARMED)
        self._bell.register(self._ring, select.EPOLLIN | select.EPOLLET)  # wakes one thread each time
        self._threads: list[threading.Thread] = []

    # --- threads that wait ------------------------------------------------------------------------------------

    def take(self, hear: Callable[[], None], goes_on: Callable[[], bool] | None = None) -> bool:
        """Call ``hear`` with the turn, in a thread that waits, and again while it ``goes_on``.

        False if another waiting thread has the turn. The bell stays silent while what was heard is settled in between,
        which is short unless the store is slow.
        """
        self._section.hold_off()  # an interrupt after ``acquire`` would leave the lock taken
        try:
            while not self.lock.acquire(timeout=0.0 if self._leader else _MOMENT):
                if self._leader:
                    return False
            try:
                while True:
                    self._leader = threading.get_ident()
                    try:
                        if self._closed:
                            break
                        self._bell.modify(self._fd, 0)
                        hear()
                    finally:
                        self.give_back()
                    if self.slow:
                        self._arm()
                        self._settle()
                    if goes_on is None or not goes_on() or not self.lock.acquire(blocking=False):
                        break
            finally:
                self._arm()
            return True
        finally:
            self._section.let_in()

    def give_back(self) -> None:
        """Let others have the turn from now on; called by ``hear`` or after it, in a thread that waits."""
        if self._leader == threading.get_ident():
            self._leader = 0
            self.lock.release()

    def _arm(self, *, notice: bool = True) -> None:
        """See to it that one of the loop's own threads hears what the workers say from now on."""
        if not self._closed:
            try:
                self._bell.modify(self._fd, _ARMED)
            except ValueError:  # closed just now
                return
            if notice and not self._rung and self._deadline() < min(self._asleep):
                self.ring()

    def _notice_asleep(self) -> None:
        if not self._rung and self._deadline() < min(self._asleep):
            self.ring()

    def notice_deadline(self) -> None:
        """See to it that whoever polls or sleeps now does so no longer than until the deadline, which has changed."""
        if self.polling_until > 0:
            if self._deadline() < self.polling_until:
                self._wake()
        elif not self.lock.locked():  # else it is computed after the turn
            self._notice_asleep()

    # --- the loop's own threads -------------------------------------------------------------------------------

    def start(self, hear: Callable[[], None], leave_be: Callable[[], None]) -> None:
        """Start the loop's own threads. ``leave_be`` is called before ``hear``, which gets the turn."""
        for index in range(_THREADS):
            thread = threading.Thread(
                target=self._serve, args=(index, hear, leave_be), name="headrace-driver", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def is_own_thread(self) -> bool:
        """Whether one of the loop's own threads asks."""
        return threading.current_thread() in self._threads

    def ring(self) -> None:
        """Let one of the loop's own threads look what is to be done, also while another thread has the turn."""
        self._rung = True
        with contextlib.suppress(OSError):  # closed just now
            os.eventfd_write(self._ring, 1)

    def _serve(self, index: int, hear: Callable[[], None], leave_be: Callable[[], None]) -> None:
        while not self._closed:
            self._sleep(index)
            leave_be()
            if self.lock.acquire(blocking=False):
                try:
                    hear()
                finally:
                    self.lock.release()
                    self._arm(notice=self.slow)  # else this thread looks itself in a moment
            self._settle()

    def _sleep(self, index: int) -> None:
        """Sleep until something is to be heard or done."""
        self._asleep[index] = math.inf  # who changes the deadline while it is computed rings
        self._rung = False
        until = self._deadline()
        if until <= (now := time.monotonic()) and self.lock.locked():  # the thread that has the turn sees to it
            until = now + _LEAVE_ALONE
        self._asleep[index] = until
        if not self._closed:
            self._bell.poll(max(0.0, until - time.monotonic()))
        self._asleep[index] = math.inf

    def close(self) -> None:
        """End all turns and the loop's own threads."""
        self._closed = True
        # Two rings at once may wake one thread alone. From here on one wakes all, also those that are to fall asleep.
        self._bell.modify(self._ring, select.EPOLLIN)
        self.ring()
        for thread in self._threads:
            thread.join()
        with self.lock:  # a thread that outlives the flow may have the turn
            self._bell.close()
            os.close(self._ring)
        # The loop has this object: without references back, it goes with its last user.
        self._deadline, self._wake, self._settle = lambda: math.inf, _nothing, _nothing
