"""Two threads of a worker read its socket, and never mix up the order of messages."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from headrace.model.messages import Define, Execute, Stop, frame
from headrace.worker.serve import _Inbox

_LONG = 60.0


class SlowSocket:
    """A socket whose ``recv`` without flags returns late what it has read."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.has_read, self.go_on = threading.Event(), threading.Event()

    def fileno(self) -> int:
        return self._sock.fileno()

    def recv(self, size: int, flags: int = 0) -> bytes:
        data = self._sock.recv(size, flags)
        if not flags:
            self.has_read.set()
            assert self.go_on.wait(_LONG)
        return data


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    driver, worker = socket.socketpair()
    with driver, worker:
        yield driver, worker


def execute(token: int) -> Execute:
    return Execute(token, 1, "f/1/s/1", 1, ())


def test_attempts_that_arrive_while_the_main_thread_reads_stay_in_order(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    driver, worker = ends
    slow: Any = SlowSocket(worker)
    inbox = _Inbox(slow)
    sent = [Define(1, "s"), execute(1), execute(2)]
    got: list[object] = []
    reader = threading.Thread(target=lambda: got.extend(inbox.next() for _ in sent))
    first = frame(sent[0]) + frame(sent[1])
    driver.sendall(first[:-3])
    reader.start()
    assert slow.has_read.wait(_LONG)
    driver.sendall(first[-3:] + frame(sent[2]))
    taken = inbox.take_attempts()
    slow.go_on.set()
    reader.join(_LONG)
    assert (taken, got) == ((), sent)


def test_attempts_are_handed_back_while_another_runs(ends: tuple[socket.socket, socket.socket]) -> None:
    driver, worker = ends
    inbox = _Inbox(worker)
    driver.sendall(b"".join(map(frame, [execute(1), execute(2), Define(2, "t"), execute(3), Stop()])))
    assert inbox.next() == execute(1)
    assert not inbox.stops_next()
    assert inbox.take_attempts() == (2, 3)
    assert inbox.take_attempts() == ()
    assert inbox.next() == Define(2, "t")
    assert inbox.stops_next()
    driver.close()
    assert [inbox.next(), inbox.next()] == [Stop(), None]
