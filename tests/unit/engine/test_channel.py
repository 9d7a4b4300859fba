"""The channel that executors make their links of."""

from __future__ import annotations

import socket

import pytest

from headrace.engine.channel import SocketChannel
from headrace.engine.ports import ProtocolError
from headrace.model.messages import Handback, Ready, Stop, frame, frames_from_driver


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    channel = SocketChannel(ours)
    with theirs:
        yield channel, theirs
    channel.close()


def test_messages_arrive_whole_however_their_bytes_are_cut(pair: tuple[SocketChannel, socket.socket]) -> None:
    channel, theirs = pair
    assert channel.receive() == []
    data = frame(Ready(7, "host")) + frame(Handback((1, 2)))
    heard = []
    for at in range(len(data)):
        theirs.sendall(data[at : at + 1])
        heard += channel.receive() or []
    assert heard == [Ready(7, "host"), Handback((1, 2))]
    assert channel.where == ("host", 7)


def test_a_message_larger_than_one_read_arrives(pair: tuple[SocketChannel, socket.socket]) -> None:
    channel, theirs = pair
    message = Handback(tuple(range(1 << 40, (1 << 40) + 10_000)))
    theirs.sendall(frame(message))
    assert channel.receive() == [message]


def test_the_end_of_the_worker_comes_after_all_that_it_said(pair: tuple[SocketChannel, socket.socket]) -> None:
    channel, theirs = pair
    theirs.sendall(frame(Handback((1,))))
    theirs.close()
    assert channel.receive() == [Handback((1,))]
    assert channel.receive() is None
    assert channel.send(Stop())  # there is nobody to wait for
    assert channel.flush()


@pytest.mark.parametrize(
    "data", [b"\xff\xff\xff\xff", b"\x01\x00\x00\x00\xc1", b"\x05\x00\x00\x00\x92\xcc\xfa\x01\x02"]
)
def test_garbage_is_a_protocol_error(pair: tuple[SocketChannel, socket.socket], data: bytes) -> None:
    channel, theirs = pair
    theirs.sendall(data)
    with pytest.raises(ProtocolError):
        channel.receive()


def test_what_the_socket_does_not_take_is_sent_later(pair: tuple[SocketChannel, socket.socket]) -> None:
    channel, theirs = pair
    count = 0
    while channel.send(Stop()):
        count += 1
    assert not channel.send(Stop())
    frames, heard = frames_from_driver(), 0
    while heard < count + 2:
        heard += len(frames.feed(theirs.recv(1 << 20)))
        channel.flush()
    assert channel.flush()
