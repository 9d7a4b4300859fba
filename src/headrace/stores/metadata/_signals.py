"""One thread per open database hears the signals of all runs that this process drives.

SQLite does not report writes of other processes, so the thread asks ten times a second whether anything was; PostgreSQL
says it (``NOTIFY``). Signals are read only then, those of all runs in one statement.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections.abc import Callable

from headrace._base.logs import Log
from headrace.model.errors import StoreAwayError, StoreError
from headrace.model.records import Signal
from headrace.stores.metadata import _rows
from headrace.stores.metadata._database import Database, Ear

_log = Log("store")

#: Seconds before anything is opened: most runs that are shorter hear no signal.
_GRACE = 0.1
#: Seconds before a database that did not answer is asked again: at first, and at most.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
#: Seconds that the end of the last subscription waits for the thread.
_GRACE_AT_END = 2.0
#: How many runs one statement asks for.
_PART = 200

Heard = Callable[[Signal], None]


class Subscription:
    """The wish to hear the signals of one run; ``close`` ends it."""

    def __init__(self, poller: SignalPoller, run_id: int, after: int, heard: Heard) -> None:
        self.run_id = run_id
        self.after = after
        self.heard = heard
        self._poller = poller

    def close(self) -> None:
        """Hear nothing more: ``heard`` is not called after this has returned. Calling twice is the same as once."""
        self._poller.remove(self)


class SignalPoller:
    """The subscriptions of one database, and the thread that serves them: there is one while there are any."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._subscriptions: list[Subscription] = []
        self._turn: _Turn | None = None
        self._pid = os.getpid()

    def add(self, run_id: int, after: int, heard: Heard) -> Subscription:
        """Call ``heard``, in the thread, for each signal of the run with an id greater than ``after``, in order.

        ``heard`` must return soon, and end no subscription.
        """
        made = Subscription(self, run_id, after, heard)
        with self._lock:
            self._subscriptions.append(made)
            if self._turn is None:
                self._turn = _Turn(self._main)
            else:
                self._turn.wake()
        return made

    def remove(self, subscription: Subscription) -> None:
        """End ``subscription``, and the thread with the last one."""
        ended = None
        with self._lock:
            if subscription in self._subscriptions:
                self._subscriptions.remove(subscription)
                if not self._subscriptions:
                    ended, self._turn = self._turn, None
        if ended is not None:
            ended.end()

    def close(self) -> None:
        """End all subscriptions; in a forked child, where there is no thread, nothing."""
        if os.getpid() != self._pid:
            return
        for one in list(self._subscriptions):
            self.remove(one)

    # --- the thread -------------------------------------------------------------------------------------------

    def _main(self, turn: _Turn) -> None:
        pause = _FIRST_PAUSE
        turn.sleep(_GRACE)
        while not turn.ended:
            try:
                with contextlib.closing(self._database.ear()) as ear:
                    self._deliver(ear)
                    pause = _FIRST_PAUSE
                    while turn.await_change(ear):
                        self._deliver(ear)
            except StoreError as error:
                _log.warning("signals.away", str(error), store=self._database.url)
                turn.sleep(pause if isinstance(error, StoreAwayError) else _LONGEST_PAUSE)
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _deliver(self, ear: Ear) -> None:
        with self._lock:
            subscriptions = list(self._subscriptions)
        for at in range(0, len(subscriptions), _PART):
            self._deliver_to(ear, subscriptions[at : at + _PART])

    def _deliver_to(self, ear: Ear, subscriptions: list[Subscription]) -> None:
        text = self._database.statements.source("signal_columns") + " WHERE "
        text += " OR ".join(["(run_id = :run_id AND id > :after)"] * len(subscriptions)) + " ORDER BY id"
        params = [value for one in subscriptions for value in (one.run_id, one.after)]
        found = [_rows.signal_of(row) for row in ear.rows(self._database.statements.compile(text).text, tuple(params))]
        with self._lock:
            for one in subscriptions:
                for signal in found:
                    if signal.run_id == one.run_id and signal.id > one.after and one in self._subscriptions:
                        one.after = signal.id
                        one.heard(signal)


class _Turn:
    """One life of the thread, with what wakes it."""

    def __init__(self, main: Callable[[_Turn], None]) -> None:
        self.ended = False
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=main, args=(self,), name="headrace-signals", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Let the thread look for signals now."""
        os.eventfd_write(self._wake_fd, 1)

    def end(self) -> None:
        """End the thread; one that waits for a database that is away ends when it can."""
        self.ended = True
        self.wake()
        self._thread.join(_GRACE_AT_END)
        if not self._thread.is_alive():
            os.close(self._wake_fd)

    def sleep(self, seconds: float) -> None:
        """Let ``seconds`` pass, or less at the end."""
        poll = select.poll()
        poll.register(self._wake_fd, select.POLLIN)
        until = time.monotonic() + seconds
        while not self.ended and (left := until - time.monotonic()) > 0:
            if poll.poll(left * 1000):
                os.eventfd_read(self._wake_fd)

    def await_change(self, ear: Ear) -> bool:
        """Wait until there may be new signals, or a subscriber wants old ones; False at the end."""
        poll = select.poll()
        poll.register(self._wake_fd, select.POLLIN)
        own = ear.fileno()
        if own is not None:
            poll.register(own, select.POLLIN)
        woken = changed = False
        while not (self.ended or woken or changed):
            woken = any(fd == self._wake_fd for fd, _ in poll.poll(ear.interval * 1000))
            changed = ear.changed()
        if woken:
            os.eventfd_read(self._wake_fd)
        return not self.ended
