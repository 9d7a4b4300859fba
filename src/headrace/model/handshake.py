"""How a worker elsewhere introduces itself to a driver: the first message of each side of a connection.

The worker sends ``Hello``; the driver answers ``Welcome`` or ``Refused``. These are maps with names, so that peers of
other versions can read what matters of them. All later messages are those of ``model.messages``.
"""

from __future__ import annotations

import hmac
import math
from typing import Annotated, NamedTuple

import msgspec

from headrace.model.attempts import LOG_LIMIT

#: The version of the messages between driver and worker. A change of any of them makes another one.
PROTOCOL = 1
#: Bytes of the first message; more is not read of a peer that has not shown the secret.
MAX_HELLO = 4096
#: Seconds within which a peer must have shown the secret.
HELLO_SECONDS = 10.0
#: Seconds between two heartbeats, and of silence after which a peer counts as gone.
HEARTBEAT_SECONDS, SILENCE_SECONDS = 2.0, 10.0
#: Workers that a worker host provides beyond the number of cores that it lends, where attempts need them.
SPARE_WORKERS = 64
#: Attempts that one worker can name in its first message.
MOST_IN_HAND = 16

_Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]
_Name = Annotated[str, msgspec.Meta(max_length=200)]


class InHand(msgspec.Struct, frozen=True, array_like=True):
    """An attempt that a worker was given by an earlier connection: still running, or ended and not yet told.

    ``began`` is where its output begins in what the worker wrote.
    """

    session: _Name
    token: _Count
    began: tuple[_Count, _Count] = (0, 0)


class Continued(msgspec.Struct, frozen=True, array_like=True):
    """The messages that a worker exchanged with a session of a run on a connection that broke; ``received`` arrived."""

    session: _Name
    received: _Count


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag="hello"):
    """Who joins: one worker of a worker host, which is a process with the name ``owner`` that has others.

    ``worker`` names the worker for all its connections, and ``process`` is its own (0: not up). ``cpu``, ``memory``
    (bytes) and ``gpu`` are what all workers of the host share. ``continued``: its connection broke, and it has
    everything that it needs to go on as if nothing had happened.
    """

    protocol: _Count
    headrace: _Name
    python: _Name = ""
    secret: Annotated[bytes, msgspec.Meta(max_length=64)] = b""
    owner: _Name = ""
    worker: _Name = ""
    host: _Name = ""
    pid: _Count = 0
    process: _Count = 0
    cpu: float = 1.0
    memory: _Count = 0
    gpu: _Count = 0
    in_hand: Annotated[tuple[InHand, ...], msgspec.Meta(max_length=MOST_IN_HAND)] = ()
    continued: Continued | None = None

    def __repr__(self) -> str:
        return f"Hello(protocol={self.protocol}, headrace={self.headrace}, host={self.host}, pid={self.pid})"


class Welcome(msgspec.Struct, frozen=True, kw_only=True, tag="welcome"):
    """What a worker needs in order to serve.

    ``session`` names the driver's session of the run and ``run`` the run, for people. ``artifacts`` is the URL of the
    artifact store, ``code`` the hexadecimal digest and the size of the manifest of the flow's code package, which is in
    it, and ``modules`` what to import of that ahead; ``paths`` are folders within Headrace's own for imports. ``argv``
    and ``seeded`` are the flow's arguments and the states of its seeded generators. ``keep`` is for how many seconds a
    worker goes on without its driver; in ``database``, a metadata store, the record of the run, in ``project``, then
    has the address of its next session, for ``place``.

    Of what an attempt prints, ``log_limit`` bytes per stream are kept, and no more than that needs to be sent.
    ``received``: the driver goes on where a connection broke, and so many messages of the worker had arrived; -1: it
    does not. Then it takes those in ``adopted`` (tokens) of the attempts in hand, which an earlier session began.
    """

    session: str
    run: str
    artifacts: str
    code: tuple[str, int]
    modules: tuple[str, ...] = ()
    argv: tuple[str, ...] = ()
    seeded: bytes = b""
    heartbeat: float = HEARTBEAT_SECONDS
    silence: float = SILENCE_SECONDS
    keep: float = 600.0
    log_limit: int = LOG_LIMIT
    adopted: tuple[int, ...] = ()
    received: int = -1
    place: str = ""
    database: str = ""
    paths: tuple[str, ...] = ()
    project: str = ""


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag="refused"):
    """Why the driver does not take the worker, and what to do about it. ``final``: asking again will not help."""

    reason: str
    final: bool = True


class Versions(NamedTuple):
    """What this side is: of Headrace, and of Python."""

    headrace: str
    python: str


class _Head(msgspec.Struct, kw_only=True):
    """What is the same in the ``Hello`` of every protocol."""

    type: str
    protocol: int
    headrace: Annotated[str, msgspec.Meta(max_length=200)]


class HandshakeError(Exception):
    """The first message of a peer cannot be read or is not acceptable. ``reason``: what the peer is told."""

    def __init__(self, seen: str, reason: str = "") -> None:
        super().__init__(seen)
        self.reason = reason


_encoder = msgspec.msgpack.Encoder()
_head: msgspec.msgpack.Decoder[_Head] = msgspec.msgpack.Decoder(_Head)
_hello: msgspec.msgpack.Decoder[Hello] = msgspec.msgpack.Decoder(Hello)
_answer: msgspec.msgpack.Decoder[Welcome | Refused] = msgspec.msgpack.Decoder(Welcome | Refused)


def write(message: Hello | Welcome | Refused) -> bytes:
    """The body of a frame."""
    return _encoder.encode(message)


def read_hello(body: bytes, secret: bytes, mine: Versions) -> Hello:
    """The first message of a worker that has the ``secret`` and fits to ``mine``.

    Raises:
        HandshakeError: it is another thing, or of a worker that must not join.
    """
    try:
        head = _head.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise HandshakeError("sent something that is not a Hello") from None
    if head.type != "hello":
        raise HandshakeError("sent something that is not a Hello")
    if head.protocol != PROTOCOL:
        raise HandshakeError(
            f"speaks worker protocol {head.protocol} (Headrace {head.headrace!r}), not {PROTOCOL}",
            f"the driver speaks worker protocol {PROTOCOL} and this worker {head.protocol}; install headrace=="
            f"{mine.headrace} where the worker runs",
        )
    try:
        hello = _hello.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise HandshakeError("sent a Hello that cannot be read") from None
    if not hmac.compare_digest(hello.secret, secret):
        raise HandshakeError(
            "has a wrong secret",
            "wrong secret; give this worker the joining token of the driver that it connects to (--secret-file)",
        )
    if not (math.isfinite(hello.cpu) and 0 <= hello.cpu <= 1 << 20):
        raise HandshakeError("offers an impossible number of cores", "the number of cores is impossible")
    _check_versions(hello, mine)
    return hello


def _check_versions(hello: Hello, mine: Versions) -> None:
    if _series(hello.headrace) != _series(mine.headrace):
        raise HandshakeError(
            f"runs Headrace {hello.headrace!r}, not {mine.headrace}",
            f"the driver runs Headrace {mine.headrace} and this worker {hello.headrace}; install headrace=="
            f"{mine.headrace} where the worker runs",
        )
    if _series(hello.python) != _series(mine.python):
        raise HandshakeError(
            f"runs Python {hello.python!r}, not {mine.python}",
            f"the driver runs Python {mine.python} and this worker {hello.python}, which cannot read its code; start "
            f"the worker with Python {'.'.join(_series(mine.python))}",
        )


def _series(version: str) -> list[str]:
    """The part of a version within which code and messages can be exchanged."""
    return version.split(".")[:2]


def read_answer(body: bytes) -> Welcome | Refused:
    """What the driver answers.

    Raises:
        HandshakeError: it is another thing.
    """
    try:
        return _answer.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise HandshakeError("the driver's answer cannot be read") from None
