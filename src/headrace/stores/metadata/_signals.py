"""One thread per open database hears the signals of all runs that this process drives.

SQLite does not report writes of other processes, so the thread asks ten times a second whether anything was; PostgreSQL
says it (``NOTIFY``). Signals are read only then, those of all runs in one statement.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Callable

from headrace._base.logs import Log
from headrace.model.errors import StoreAwayError, StoreError
from headrace.model.records import Signal
from headrace.stores.metadata import _rows
from headrace.stores.metadata._database import Database, Ear
from headrace.stores.metadata._subscriptions import FIRST_PAUSE, LONGEST_PAUSE, Listener, Subscription, Turn

_log = Log("store")

#: Seconds before anything is opened: most runs that are shorter hear no signal.
_GRACE = 0.1
#: How many runs one statement asks for.
_PART = 200


class SignalPoller(Listener):
    """The subscriptions of one database, and the thread that serves them."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database

    def begin(self) -> _PollingTurn:
        """See ``Listener``."""
        turn = _PollingTurn(lambda: self._main(turn))
        return turn

    # --- the thread -------------------------------------------------------------------------------------------

    def _main(self, turn: _PollingTurn) -> None:
        pause = FIRST_PAUSE
        turn.sleep(_GRACE)
        while not turn.ended:
            try:
                with contextlib.closing(self._database.ear()) as ear:
                    self._deliver(ear)
                    pause = FIRST_PAUSE
                    while turn.await_change(ear):
                        self._deliver(ear)
            except StoreError as error:
                _log.warning("signals.away", str(error), store=self._database.url)
                turn.sleep(pause if isinstance(error, StoreAwayError) else LONGEST_PAUSE)
                pause = min(2 * pause, LONGEST_PAUSE)

    def _deliver(self, ear: Ear) -> None:
        subscriptions = self.current()
        for at in range(0, len(subscriptions), _PART):
            part = subscriptions[at : at + _PART]
            self.deliver(self._signals_for(ear, part), part)

    def _signals_for(self, ear: Ear, subscriptions: list[Subscription]) -> list[Signal]:
        text = self._database.statements.source("signal_columns") + " WHERE "
        text += " OR ".join(["(run_id = :run_id AND id > :after)"] * len(subscriptions)) + " ORDER BY id"
        params = [value for one in subscriptions for value in (one.run_id, one.after)]
        return [_rows.signal_of(row) for row in ear.rows(self._database.statements.compile(text).text, tuple(params))]


class _PollingTurn(Turn):
    """Waits for the database and for ``wake`` at once."""

    def __init__(self, main: Callable[[], None]) -> None:
        super().__init__(main)
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def wake(self) -> None:
        """See ``Turn``."""
        os.eventfd_write(self._wake_fd, 1)

    def end(self) -> bool:
        """See ``Turn``."""
        ended = super().end()
        if ended:
            os.close(self._wake_fd)
        return ended

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
