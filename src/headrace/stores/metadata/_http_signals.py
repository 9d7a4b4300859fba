"""One thread per process hears the signals of all runs that it drives, by a long poll of the server.

A poll says which runs it is for and what was heard of each, and the server answers as soon as there is something. When
the subscriptions change, the poll that waits is broken off and made again.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

import msgspec

from headrace._base.logs import Log
from headrace.model.errors import HeadraceError, StoreAwayError
from headrace.model.records import Signal
from headrace.stores.http_client import HttpClient, Request
from headrace.stores.metadata._subscriptions import FIRST_PAUSE, LONGEST_PAUSE, Listener, Turn

_log = Log("store")

#: Seconds that a poll waits at the server: less than proxies allow.
_POLL_SECONDS = 20.0
#: Seconds in which subscriptions that come one after the other are gathered into one poll.
_GATHER = 0.02

_decode = msgspec.msgpack.Decoder(list[Signal]).decode


class SignalListener(Listener):
    """The subscriptions of one store, and the thread that serves them.

    Args:
        client: of the server; one that does not wait itself.
        request: makes the poll: what was heard of each run, and how long it may wait in seconds.
    """

    def __init__(self, client: HttpClient, request: Callable[[dict[int, int], float], Request]) -> None:
        super().__init__()
        self._client = client
        self._request = request

    def begin(self) -> _LongPollTurn:
        """See ``Listener``."""
        turn = _LongPollTurn(lambda: self._main(turn))
        return turn

    # --- the thread -------------------------------------------------------------------------------------------

    def _main(self, turn: _LongPollTurn) -> None:
        pause = FIRST_PAUSE
        turn.changed.wait(_GATHER)
        while not turn.ended:
            turn.changed.clear()
            subscriptions = self.current()
            after: dict[int, int] = {}
            for one in subscriptions:
                after[one.run_id] = min(one.after, after.get(one.run_id, one.after))
            try:
                signals = self._poll(turn, after)
                pause = FIRST_PAUSE
                self.deliver(signals, subscriptions)
            except HeadraceError as error:
                if turn.changed.is_set():
                    turn.ended or turn.over.wait(_GATHER)
                    continue
                _log.warning("signals.away", str(error), store=self._client.url)
                turn.changed.wait(pause if isinstance(error, StoreAwayError) else LONGEST_PAUSE)
                pause = min(2 * pause, LONGEST_PAUSE)

    def _poll(self, turn: _LongPollTurn, after: dict[int, int]) -> list[Signal]:
        with self._client.stream(self._request(after, _POLL_SECONDS), turn.watch) as answer:
            return _decode(answer.read_all())


class _LongPollTurn(Turn):
    """Waits for the answer of the server, which ``wake`` breaks off."""

    def __init__(self, main: Callable[[], None]) -> None:
        super().__init__(main)
        self.changed, self.over = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def watch(self, connected: socket.socket | None) -> None:
        """A poll begins to wait on this socket; one that was overtaken by a change does not wait."""
        with self._lock:
            self._socket = connected
            if connected is not None and self.changed.is_set():
                _break_off(connected)

    def wake(self) -> None:
        """See ``Turn``."""
        with self._lock:
            self.changed.set()
            if self._socket is not None:
                _break_off(self._socket)

    def end(self) -> bool:
        """See ``Turn``."""
        self.over.set()
        return super().end()


def _break_off(connected: socket.socket) -> None:
    with contextlib.suppress(OSError):  # broken already
        connected.shutdown(socket.SHUT_RDWR)
