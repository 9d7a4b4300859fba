"""Ctrl-C, SIGTERM, a terminal that closes and ``headrace cancel``, for a process that drives a run."""

from __future__ import annotations

import contextlib
import os

from headrace._base.variables import KEPT
from headrace.engine.loop import Loop
from headrace.engine.stop_requests import CANCELLED


class Interruptible:
    """Ctrl-C, SIGTERM and SIGHUP stop the run cleanly while this is entered in the main thread.

    They never break into the engine: while it is at work they wait for it, a moment at most.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._section = loop.section
        self._before: SignalState | None = None
        self._passed_on = False  # whether the next SIGTERM is our own

    def __enter__(self) -> None:
        import signal
        import threading

        if threading.current_thread() is not threading.main_thread():
            return
        self._before = SignalState()
        signal.signal(signal.SIGTERM, self._terminate)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._interrupt)
        if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # else ``nohup``: it is to go on
            signal.signal(signal.SIGHUP, self._hang_up)
        if KEPT in os.environ:
            signal.signal(signal.SIGUSR1, lambda *_: self._loop.leave())
        self._loop.on_cancel = self._cancelled

    def __exit__(self, *_: object) -> None:
        self._loop.on_cancel = None
        if self._before is not None:
            self._before.put_back()

    def _cancelled(self) -> None:
        """The run was cancelled: interrupt the flow function, whatever it does."""
        import _thread
        import signal
        import threading

        self._passed_on = True
        main = threading.main_thread().ident
        if main is not None and signal.getsignal(signal.SIGTERM) == self._terminate:
            signal.pthread_kill(main, signal.SIGTERM)  # also out of a system call
        else:  # the flow has set another handler, or none
            _thread.interrupt_main(signal.SIGTERM)

    def _interrupt(self, *_: object) -> None:
        self._section.interrupt(KeyboardInterrupt())

    def _hang_up(self, *_: object) -> None:
        self._section.interrupt(KeyboardInterrupt("SIGHUP"))

    def _terminate(self, *_: object) -> None:
        passed_on, self._passed_on = self._passed_on, False
        self._section.interrupt(KeyboardInterrupt(CANCELLED if passed_on else "SIGTERM"))


class SignalState:
    """All that a process keeps about signals, as it was when this was made: what a flow changes of it is put back."""

    def __init__(self) -> None:
        import signal

        self._handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self._wakeup = signal.set_wakeup_fd(-1)
        if self._wakeup != -1:
            signal.set_wakeup_fd(self._wakeup)
        self._timers = {which: signal.getitimer(which) for which in _timers()}

    def put_back(self) -> None:
        """Let everything be as it was; called in the main thread."""
        import signal

        for which, before in self._timers.items():  # first: a timer that the flow left would meet the old handler
            if before == (0.0, 0.0) and signal.getitimer(which) != before:
                signal.setitimer(which, 0.0)
        for number, handler in self._handlers.items():
            # None is a handler that C code installed: it can be neither told apart nor set from here.
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)
        signal.set_wakeup_fd(-1)
        with contextlib.suppress(ValueError, OSError):  # it was closed meanwhile
            signal.set_wakeup_fd(self._wakeup)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)


def _timers() -> tuple[int, ...]:
    import signal

    return (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
