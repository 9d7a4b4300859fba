"""Interrupts (Ctrl-C, SIGTERM, SIGHUP, ``headrace cancel``) that reach the interpreter only while it waits.

The session raises ``KeyboardInterrupt`` from its signal handlers wherever the main thread is. The interpreter's state
must be whole when it is interrupted, because exit tasks run then. So these handlers are put behind a gate.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class InterruptGate:
    """``with gate:`` is where interrupts are raised; they wait for it elsewhere."""

    def __init__(self) -> None:
        self._open = False
        self._waiting: list[tuple[Any, int]] = []

    @contextmanager
    def installed(self) -> Iterator[None]:
        """A context in which the handlers of the session are behind the gate, in the main thread alone."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        for number, handler in before.items():
            if callable(handler):
                signal.signal(number, self._handler(handler))
        try:
            yield
        finally:
            for number, handler in before.items():
                if callable(handler):
                    signal.signal(number, handler)

    def __enter__(self) -> None:
        self._open = True
        self._let_in()

    def __exit__(self, *_: object) -> None:
        self._open = False

    def _handler(self, handler: Any) -> Any:
        def handle(number: int, frame: Any) -> None:
            self._waiting.append((handler, number))
            if self._open:
                self._let_in()

        return handle

    def _let_in(self) -> None:
        while self._waiting:
            handler, number = self._waiting.pop(0)
            self._open = False  # what it raises leaves the gate
            handler(number, None)
            self._open = True
