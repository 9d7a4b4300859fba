"""Frames and the handshake of worker protocol 1, on what peers really send and on what they should not."""

from __future__ import annotations

import socket

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.model import handshake
from headrace.model.errors import UsageError
from headrace.model.handshake import MAX_HELLO, PROTOCOL, HandshakeError, Hello, InHand, Refused, Versions, Welcome
from headrace.model.messages import (
    Exited,
    Handback,
    Heartbeat,
    Imported,
    Log,
    Ready,
    Stop,
    frame,
    framed,
    frames_from_driver,
    frames_from_worker,
    from_driver,
    from_worker,
    raw_frames,
    tag_of,
)
from headrace.worker.channel import Channel, ChannelError
from headrace.worker.join_token import driver_context, identity_of, is_driver, read_token, worker_context

MINE = Versions("0.1.0", "3.11.7")
SECRET = bytes(range(32))
HELLO = Hello(protocol=PROTOCOL, headrace="0.1.4", python="3.11.2", secret=SECRET, host="h", pid=3, cpu=2.0)
texts = st.text(max_size=30)
numbers = st.integers(0, 2**62)
from_workers = st.one_of(
    st.builds(Ready, numbers, texts),
    st.builds(Handback, st.lists(numbers, max_size=4).map(tuple)),
    st.builds(Log, st.integers(0, 1), numbers, st.binary(max_size=200)),
    st.builds(Exited, st.integers(-64, 255), st.booleans()),
    st.builds(Heartbeat, numbers, numbers),
    st.builds(Imported, texts, st.lists(texts, max_size=3).map(tuple), st.lists(texts, max_size=3).map(tuple)),
)


@given(st.lists(from_workers, max_size=8), st.data())
def test_frames_arrive_whole_however_the_stream_is_cut(messages, data) -> None:
    stream = b"".join(map(frame, messages))
    frames, heard, at = frames_from_worker(), [], 0
    while at < len(stream):
        size = data.draw(st.integers(1, len(stream) - at))
        heard += frames.feed(stream[at : at + size])
        at += size
    assert heard == messages


@given(st.binary(max_size=300))
def test_garbage_in_a_stream_raises_nothing_but_decode_errors(data: bytes) -> None:
    for frames in (frames_from_worker(), frames_from_driver(), raw_frames(64)):
        try:
            frames.feed(data)
        except (ValueError, msgspec.MsgspecError):
            continue


@given(st.binary(max_size=100))
def test_garbage_in_a_frame_raises_nothing_but_decode_errors(body: bytes) -> None:
    assert raw_frames().feed(framed(body)) == [body]
    for decode in (from_worker, from_driver):
        try:
            decode(body)
        except (ValueError, msgspec.MsgspecError):
            continue


@given(from_workers)
def test_the_tag_of_a_message_is_that_of_its_class(message) -> None:
    assert tag_of(frame(message)[4:]) == type(message).__struct_config__.tag


def test_messages_of_the_driver_have_tags_too() -> None:
    assert [tag_of(frame(one)[4:]) for one in (Stop(), Heartbeat())] == [3, 6]


@given(st.binary(max_size=20))
def test_the_tag_of_garbage_is_that_of_no_message_or_a_small_number(body: bytes) -> None:
    assert -1 <= tag_of(body) < 0x80


def test_a_frame_over_the_limit_is_refused_before_it_is_there() -> None:
    with pytest.raises(ValueError, match="a frame of"):
        raw_frames(MAX_HELLO).feed((MAX_HELLO + 1).to_bytes(4, "little"))


# --- Hello ----------------------------------------------------------------------------------------------------------


def test_a_hello_with_the_secret_is_accepted() -> None:
    assert handshake.read_hello(handshake.write(HELLO), SECRET, MINE) == HELLO


def test_the_longest_hello_fits_its_limit() -> None:
    longest = msgspec.structs.replace(
        HELLO,
        worker="w" * 36,
        host="h" * 200,
        in_hand=tuple(InHand("s" * 32, 2**61 + n) for n in range(handshake.MOST_IN_HAND)),
    )
    assert len(handshake.write(longest)) < MAX_HELLO


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"protocol": 2}, "the driver speaks worker protocol 1 and this worker 2; install headrace==0.1.0"),
        ({"headrace": "0.2.0"}, "the driver runs Headrace 0.1.0 and this worker 0.2.0; install headrace==0.1.0"),
        ({"python": "3.12.1"}, "start the worker with Python 3.11"),
        ({"secret": b"x" * 32}, "wrong secret; give this worker the joining token"),
        ({"secret": b""}, "wrong secret"),
        ({"cpu": float("nan")}, "impossible"),
        ({"cpu": -1.0}, "impossible"),
    ],
)
def test_a_worker_that_must_not_join_is_told_what_to_do(change, reason: str) -> None:
    with pytest.raises(HandshakeError) as caught:
        handshake.read_hello(handshake.write(msgspec.structs.replace(HELLO, **change)), SECRET, MINE)
    assert reason in caught.value.reason


def test_the_hello_of_a_protocol_to_come_is_told_apart_from_garbage() -> None:
    body = msgspec.msgpack.encode({"type": "hello", "protocol": 9, "headrace": "3.0", "secret": ["new", "form"]})
    with pytest.raises(HandshakeError, match="speaks worker protocol 9"):
        handshake.read_hello(body, SECRET, MINE)


@given(st.binary(max_size=200))
def test_garbage_is_not_taken_for_a_hello(body: bytes) -> None:
    with pytest.raises(HandshakeError) as caught:
        handshake.read_hello(body, SECRET, MINE)
    assert not caught.value.reason, "a stranger is told nothing"
    with pytest.raises(HandshakeError):
        handshake.read_answer(body)


parts_of_a_hello = st.dictionaries(
    st.sampled_from(["type", "protocol", "headrace", "secret", "in_hand", "pid", "cpu"]),
    st.one_of(st.none(), numbers, texts, st.binary(max_size=9), st.lists(numbers, max_size=3)),
)


@given(parts_of_a_hello)
def test_a_hello_with_wrong_parts_is_refused(parts) -> None:
    with pytest.raises(HandshakeError):
        handshake.read_hello(msgspec.msgpack.encode(parts), SECRET, MINE)


def test_secrets_are_not_shown() -> None:
    token = identity_of("a long enough secret").token
    shown = f"{HELLO} {token} {identity_of('a long enough secret')} {[token]}"
    for secret in (SECRET, token.secret):
        assert repr(secret) not in shown
        assert secret.hex() not in shown


def test_answers_are_read_again() -> None:
    for answer in (
        Welcome(session="s", run="f/1", artifacts="s3://b", code=("ab", 2), adopted=(1, 2)),
        Refused(reason="no"),
    ):
        assert handshake.read_answer(handshake.write(answer)) == answer


# --- joining tokens, TLS --------------------------------------------------------------------------------------------


def test_one_secret_is_one_identity_and_another_another() -> None:
    identity_of.cache_clear()
    first = identity_of("correct horse battery staple")
    identity_of.cache_clear()
    assert identity_of("correct horse battery staple") == first
    assert identity_of("correct horse battery stable").token != first.token
    assert read_token(first.token.write() + "\n") == first.token


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 16 characters"):
        identity_of("hunter2")


@given(st.text(max_size=120))
def test_another_text_is_not_a_joining_token(text: str) -> None:
    with pytest.raises(UsageError, match="joining token"):
        read_token(text)


def connected(secret: str = "a long enough secret") -> tuple[Channel, Channel]:
    """A driver's and a worker's end."""
    ours, theirs = socket.socketpair()
    driver = Channel(ours, driver_context(identity_of(secret)), server=True)
    worker = Channel(theirs, worker_context(), server=False)
    worker.start()
    return driver, worker


def test_bytes_pass_both_ways_through_tls_and_large_ones_whole() -> None:
    driver, worker = connected()
    worker.send(b"hello")
    heard = b""
    while not heard:
        heard += driver.receive()
        worker.receive()
    assert heard == b"hello"
    assert is_driver(worker.certificate(), identity_of("a long enough secret").token)
    assert not is_driver(worker.certificate(), identity_of("another long secret").token)
    big = bytes(range(256)) * 40_000
    driver.send(big)
    got = bytearray()
    while len(got) < len(big):
        got += worker.receive()
        driver.flush()
    assert bytes(got) == big
    driver.close()
    assert worker.receive() == b""
    assert worker.closed
    worker.close()


@given(st.binary(min_size=1, max_size=200))
def test_a_peer_without_tls_is_refused_or_waited_for(data: bytes) -> None:
    ours, theirs = socket.socketpair()
    driver = Channel(ours, driver_context(identity_of("a long enough secret")), server=True)
    theirs.sendall(data)
    try:
        assert driver.receive() == b""
    except ChannelError as error:
        assert "TLS" in str(error)
    assert not driver.ready
    driver.close()
    theirs.close()


@given(st.integers(0, 60), st.integers(1, 255))
def test_altered_bytes_are_noticed(at: int, flip: int) -> None:
    driver, worker = connected()
    worker.send(b"x" * 40)
    while not driver.ready:
        driver.receive()
        worker.receive()
    driver.receive()
    worker.send(b"y" * 40)
    altered = bytearray(driver.sock.recv(4096))
    altered[at % len(altered)] ^= flip
    between, other = socket.socketpair()
    driver.sock.close()
    driver.sock = between
    between.setblocking(False)
    other.sendall(altered)
    other.shutdown(socket.SHUT_WR)
    try:
        assert driver.receive() == b""
        assert driver.closed
    except ChannelError:
        pass
    for one in (driver, worker):
        one.close()
    other.close()
