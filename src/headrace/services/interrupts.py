"""Ctrl-C, SIGTERM, a terminal that closes and ``headrace cancel``, for a process that drives a run."""

from __future__ import annotations

from typing import Any

from headrace.engine.loop import Loop


class Interruptible:
    """Ctrl-C, SIGTERM and SIGHUP stop the run cleanly while this is entered in the main thread.

    They never break into the engine: while it is at work they wait for it, a moment at most.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._section = loop.section
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        import signal
        import threading

        if threading.current_thread() is not threading.main_thread():
            return
        self._before[signal.SIGTERM] = signal.signal(signal.SIGTERM, self._terminate)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._before[signal.SIGINT] = signal.signal(signal.SIGINT, self._interrupt)
        if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # else ``nohup``: it is to go on
            self._before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._hang_up)
        self._loop.on_cancel = self._cancelled

    def __exit__(self, *_: object) -> None:
        import signal

        self._loop.on_cancel = None
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _cancelled(self) -> None:
        """Somebody cancelled the run: get the flow function out of whatever it is doing."""
        import _thread
        import signal

        _thread.interrupt_main(signal.SIGTERM)

    def _interrupt(self, *_: object) -> None:
        self._section.interrupt(KeyboardInterrupt())

    def _hang_up(self, *_: object) -> None:
        self._section.interrupt(KeyboardInterrupt("SIGHUP"))

    def _terminate(self, *_: object) -> None:
        self._section.interrupt(KeyboardInterrupt("SIGTERM"))
