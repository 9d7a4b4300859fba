"""Who wants to hear the signals of which runs in this process, and the life of the thread that tells them.

How the thread learns of signals is up to the store: see ``_signals`` and ``_http_signals``.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable

from headrace.model.records import Signal

#: Seconds before a store that did not answer is asked again: at first, and at most.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
#: Seconds that the end of the last subscription waits for the thread.
_GRACE_AT_END = 2.0

Heard = Callable[[Signal], None]


class Subscription:
    """The wish to hear the signals of one run; ``close`` ends it."""

    def __init__(self, listener: Listener, run_id: int, after: int, heard: Heard) -> None:
        self.run_id = run_id
        self.after = after
        self.heard = heard
        self._listener = listener

    def close(self) -> None:
        """Hear nothing more: ``heard`` is not called after this has returned. Calling twice is the same as once."""
        self._listener.remove(self)


class Turn:
    """One life of the thread, which runs ``main``. A subclass adds what the thread waits for."""

    def __init__(self, main: Callable[[], None]) -> None:
        self.ended = False
        self._thread = threading.Thread(target=main, name="headrace-signals", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Let the thread see that the subscriptions have changed, or that it is to end."""
        raise NotImplementedError

    def end(self) -> bool:
        """End the thread; whether it has ended. One that waits for a store that is away ends when it can."""
        self.ended = True
        self.wake()
        self._thread.join(_GRACE_AT_END)
        return not self._thread.is_alive()


class Listener:
    """The subscriptions of one store, and the thread that serves them: there is one while there are any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._subscriptions: list[Subscription] = []
        self._turn: Turn | None = None
        self._pid = os.getpid()

    def begin(self) -> Turn:
        """A new life of the thread, not started yet."""
        raise NotImplementedError

    def add(self, run_id: int, after: int, heard: Heard) -> Subscription:
        """Call ``heard``, in the thread, for each signal of the run with an id greater than ``after``, in order.

        ``heard`` must return soon, and end no subscription.
        """
        made = Subscription(self, run_id, after, heard)
        with self._lock:
            self._subscriptions.append(made)
            if self._turn is None:
                self._turn = self.begin()
                self._turn.start()
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
        if os.getpid() == self._pid:
            for one in list(self._subscriptions):
                self.remove(one)

    def current(self) -> list[Subscription]:
        """The subscriptions at this moment."""
        with self._lock:
            return list(self._subscriptions)

    def deliver(self, signals: Iterable[Signal], subscriptions: list[Subscription]) -> None:
        """Tell ``signals``, in order of their ids, to those of ``subscriptions`` that have not ended.

        The signals are all that the store has after what any of these heard last. A subscription that was made since
        the store was asked may lack others before them, so it is not told.
        """
        with self._lock:
            for one in subscriptions:
                for signal in signals:
                    if signal.run_id == one.run_id and signal.id > one.after and one in self._subscriptions:
                        one.after = signal.id
                        one.heard(signal)
