"""After a run all that a process keeps about signals is as it was before."""

from __future__ import annotations

import os
import signal
import socket
from typing import TYPE_CHECKING, Any

import pytest

from headrace import flow, step

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.conftest import Project


@step
def quick() -> int:
    return 1


def _handlers() -> None:
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGCHLD, signal.SIGWINCH, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _wakeup_fd() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    signal.set_wakeup_fd(ours.fileno(), warn_on_full_buffer=False)
    theirs.detach()
    ours.detach()


def _virtual_timer() -> None:
    signal.signal(signal.SIGVTALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_VIRTUAL, 30)


def _mask() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGUSR2})


def _all() -> None:
    _handlers()
    _wakeup_fd()
    _mask()


def _raising() -> None:
    _all()
    raise ValueError("on purpose")


def _interrupted() -> None:
    _all()
    raise KeyboardInterrupt


def _exiting() -> None:
    _all()
    raise SystemExit(3)


def state() -> Any:
    fd = signal.set_wakeup_fd(-1)
    if fd != -1:
        signal.set_wakeup_fd(fd)
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    return handlers, fd, signal.pthread_sigmask(signal.SIG_BLOCK, ()), signal.getitimer(signal.ITIMER_VIRTUAL)


@pytest.mark.parametrize(
    "change",
    [_handlers, _wakeup_fd, _virtual_timer, _mask, _all, _raising, _interrupted, _exiting],
    ids=lambda one: one.__name__.strip("_"),
)
def test_signals_are_as_before_after_a_run(here: Project, change: Callable[[], None]) -> None:
    before = state()

    @flow
    def train() -> int:
        change()
        return quick()

    if change in (_raising, _interrupted, _exiting):
        with pytest.raises((ValueError, KeyboardInterrupt, SystemExit)):
            train()
    else:
        assert train() == 1
    assert state() == before


def test_a_wakeup_descriptor_and_a_handler_from_before_are_there_again(here: Project) -> None:
    read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(write)
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    mine = signal.getsignal(signal.SIGUSR1)
    try:

        @flow
        def train() -> int:
            _wakeup_fd()
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
            return quick()

        assert train() == 1
        assert signal.getsignal(signal.SIGUSR1) is mine
        assert signal.set_wakeup_fd(-1) == write
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGUSR1, before)
        os.close(read)
        os.close(write)


def test_a_timer_that_the_flow_left_does_not_end_the_program(project: Project) -> None:
    out = project.succeed(
        """
        import signal

        @flow
        def train():
            signal.signal(signal.SIGALRM, lambda *_: None)
            signal.setitimer(signal.ITIMER_REAL, 0.3)

        train()
        time.sleep(1)
        print("alive", signal.getsignal(signal.SIGALRM) is signal.SIG_DFL)
        """
    )
    assert out.endswith("alive True\n")
