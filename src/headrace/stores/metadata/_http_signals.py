"""One thread per process hears the signals of all runs that it drives, by a long poll of the server.

A poll says which runs it is for and what was heard of each, and the server answers as soon as there is something. When
the subscriptions change, the poll that waits is broken off and made again.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable

import msgspec

from headrace._base.logs import Log
from headrace.model.errors import HeadraceError, StoreAwayError
from headrace.model.records import Signal
from headrace.stores.http_client import HttpClient, Request

_log = Log("store")

#: Seconds that a poll waits at the server: less than proxies allow.
_POLL_SECONDS = 20.0
#: Seconds before a server that did not answer is asked again: at first, and at most.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
#: Seconds in which subscriptions that come one after the other are gathered into one poll.
_GATHER = 0.02
#: Seconds that the end of the last subscription waits for the thread.
_GRACE_AT_END = 2.0

Heard = Callable[[Signal], None]
_decode = msgspec.msgpack.Decoder(list[Signal]).decode


class HttpSubscription:
    """The wish to hear the signals of one run; ``close`` ends it."""

    def __init__(self, listener: SignalListener, run_id: int, after: int, heard: Heard) -> None:
        self.run_id = run_id
        self.after = after
        self.heard = heard
        self._listener = listener

    def close(self) -> None:
        """Hear nothing more: ``heard`` is not called after this has returned. Calling twice is the same as once."""
        self._listener.remove(self)


class SignalListener:
    """The subscriptions of one store, and the thread that serves them: there is one while there are any.

    Args:
        client: of the server; one that does not wait itself.
        request: makes the poll: what was heard of each run, and how long it may wait in seconds.
    """

    def __init__(self, client: HttpClient, request: Callable[[dict[int, int], float], Request]) -> None:
        self._client = client
        self._request = request
        self._lock = threading.Lock()
        self._subscriptions: list[HttpSubscription] = []
        self._turn: _Turn | None = None
        self._pid = os.getpid()

    def add(self, run_id: int, after: int, heard: Heard) -> HttpSubscription:
        """Call ``heard``, in the thread, for each signal of the run with an id greater than ``after``, in order."""
        made = HttpSubscription(self, run_id, after, heard)
        with self._lock:
            self._subscriptions.append(made)
            if self._turn is None:
                self._turn = _Turn(self._main)
            else:
                self._turn.interrupt()
        return made

    def remove(self, subscription: HttpSubscription) -> None:
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

    # --- the thread -------------------------------------------------------------------------------------------

    def _main(self, turn: _Turn) -> None:
        pause = _FIRST_PAUSE
        turn.changed.wait(_GATHER)
        while not turn.ended:
            turn.changed.clear()
            with self._lock:
                after: dict[int, int] = {}
                for one in self._subscriptions:
                    after[one.run_id] = min(one.after, after.get(one.run_id, one.after))
            try:
                signals = self._poll(turn, after)
                pause = _FIRST_PAUSE
                self._deliver(signals)
            except HeadraceError as error:
                if turn.changed.is_set():
                    turn.ended or turn.over.wait(_GATHER)
                    continue
                _log.warning("signals.away", str(error), store=self._client.url)
                turn.changed.wait(pause if isinstance(error, StoreAwayError) else _LONGEST_PAUSE)
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _poll(self, turn: _Turn, after: dict[int, int]) -> list[Signal]:
        with self._client.stream(self._request(after, _POLL_SECONDS), turn.watch) as answer:
            return _decode(answer.read_all())

    def _deliver(self, signals: list[Signal]) -> None:
        with self._lock:
            for one in list(self._subscriptions):
                for signal in signals:
                    if signal.run_id == one.run_id and signal.id > one.after:
                        one.after = signal.id
                        one.heard(signal)


class _Turn:
    """One life of the thread, with what wakes it."""

    def __init__(self, main: Callable[[_Turn], None]) -> None:
        self.ended = False
        self.changed, self.over = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=main, args=(self,), name="headrace-signals", daemon=True)
        self._thread.start()

    def watch(self, connected: socket.socket | None) -> None:
        """A poll begins to wait on this socket; one that was overtaken by a change does not wait."""
        with self._lock:
            self._socket = connected
            if connected is not None and self.changed.is_set():
                _break_off(connected)

    def interrupt(self) -> None:
        """Let the thread ask for what is wanted now."""
        with self._lock:
            self.changed.set()
            if self._socket is not None:
                _break_off(self._socket)

    def end(self) -> None:
        """End the thread."""
        self.ended = True
        self.over.set()
        self.interrupt()
        self._thread.join(_GRACE_AT_END)


def _break_off(connected: socket.socket) -> None:
    with contextlib.suppress(OSError):  # broken already
        connected.shutdown(socket.SHUT_RDWR)
