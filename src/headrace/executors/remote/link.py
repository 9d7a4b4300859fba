"""A worker elsewhere as its driver holds it, and the connection to it."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from headrace._base.offset_bytes import OffsetBytes
from headrace.engine.ports import ProtocolError, WorkerExit
from headrace.model.environments import EnvironmentLock
from headrace.model.handshake import MAX_HELLO, Hello
from headrace.model.messages import (
    Begin,
    Done,
    Execute,
    Exited,
    Failed,
    Handback,
    Heartbeat,
    Log,
    Ready,
    ToDriver,
    ToWorker,
    frame,
    from_worker,
    raw_frames,
)
from headrace.model.workers import WorkerSpec
from headrace.worker.channel import Channel, ChannelError
from headrace.worker.message_stream import MessageStream

#: Messages that a worker may send while no attempt is meant for it.
_EARLY = 1000


class Peer:
    """A connection: of a stranger, then (``hello``) of a worker that joined; ``link`` while its process is handed out.

    ``early`` are messages of the process that is not handed out yet.
    """

    __slots__ = ("address", "channel", "due", "early", "fd", "frames", "heard", "hello", "link", "since", "stream")

    def __init__(self, channel: Channel, address: str, now: float) -> None:
        self.channel = channel
        self.address = address
        self.fd = channel.fileno()
        self.frames = raw_frames(MAX_HELLO)
        self.hello: Hello | None = None
        self.link: RemoteLink | None = None
        self.stream = MessageStream()
        self.early: list[bytes] = []
        self.since = self.heard = now
        self.due = 0.0  # when it is to hear next that its driver is alive

    def left(self) -> bool:
        """Whether the connection was closed."""
        return self.channel.closed

    def name(self) -> str:
        """Who it is, for people."""
        return f"{self.hello.host} ({self.address})" if self.hello is not None else self.address

    def receive(self, most: int) -> list[bytes]:
        """The bodies of frames that came, of which acknowledgements are taken in already.

        Raises:
            ChannelError, ValueError, msgspec.MsgspecError: what came is not what a worker says.
        """
        data = self.channel.receive(most)
        if data:
            self.heard = time.monotonic()
        return self.frames.feed(data)

    def take_early(self, bodies: Iterable[bytes]) -> None:
        """Keep what the process says before it is handed out.

        Raises:
            ValueError: it says too much.
        """
        for body in bodies:
            if isinstance(message := from_worker(body), Heartbeat):
                self.stream.acknowledged(message.received)
            else:
                self.stream.arrived(len(body))
                self.early.append(body)
        if len(self.early) > _EARLY:
            raise ValueError("talks without having been asked")

    def say(self, data: Iterable[bytes]) -> None:
        """Send frames now, or with the worker's next connection."""
        data = tuple(data)
        for one in data:
            self.stream.sent(one)
        self.channel.send(b"".join(data))

    def beat(self) -> None:
        """Say that the driver is alive, and what has arrived."""
        self.channel.send(frame(Heartbeat(received=self.stream.acknowledgement())))


class LinkOwner(Protocol):
    """The executor that a link belongs to."""

    def on_attached(self, link: RemoteLink) -> None:
        """A link speaks to a worker."""

    def on_end(self, link: RemoteLink, ended: WorkerExit) -> None:
        """The process of a worker ended, or cannot be reached."""

    def on_free(self, peer: Peer) -> None:
        """A worker has a new process, which is for another link."""

    def on_gone(self, peer: Peer) -> None:
        """The connection to a worker broke."""

    def on_parted(self, link: RemoteLink) -> None:
        """A worker with an attempt in hand has no connection."""

    def on_busy(self, link: RemoteLink) -> None:
        """A link has attempts in hand, and had none."""

    def on_idle(self, link: RemoteLink) -> None:
        """A link has no attempts in hand any more."""

    def lacks(self, link: RemoteLink) -> str:
        """Why no worker has come to a link, as a sentence."""


class RemoteLink:
    """A process of a worker elsewhere, or one that is still waited for.

    Its descriptor is an epoll that holds its socket, once a worker has joined; until then the executor hears for it.
    (The executor's descriptor in each link's would wake all links for each event, and the kernel refuses so many ways
    between epolls beyond some hundreds.) When the connection
    breaks while an attempt is in hand, the link is ``parted`` (when, and ``why``) until the worker comes back.
    """

    def __init__(self, owner: LinkOwner, spec: WorkerSpec, lock: EnvironmentLock | None = None) -> None:
        self.where = ("", 0)
        self.spec = spec
        self.lock = lock  # of the environment that its worker is to have
        self.machine = spec.machine  # the worker host that is to provide it, or does; empty: any
        self.worker = ""  # its name, once it has joined
        self.peer: Peer | None = None
        self.over = False  # whether its exit was told
        self.parted, self.why = 0.0, ""
        self._owner = owner
        self._epoll = select.epoll()
        self._armed = 0
        self._backlog: list[bytes] = []
        self._in_hand: set[int] = set()
        self._outputs = (OffsetBytes(), OffsetBytes())
        self._memory = 0
        self._pending: list[ToDriver] = []
        self._broken = ""  # why nothing more of the worker can be understood
        self._news = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._told = False  # whether it says that something is pending
        self._epoll.register(self._news, select.EPOLLIN)

    @property
    def waits_for(self) -> str:
        """See ``WorkerLink``."""
        if self.where[1]:
            return ""
        return "its worker is getting ready" if self.peer is not None else self._owner.lacks(self)

    # --- the worker -------------------------------------------------------------------------------------------

    def attach(self, peer: Peer) -> None:
        """Speak to the process that this worker has now."""
        assert peer.hello is not None
        self.where = (peer.hello.host, 0)
        self._watch(peer)
        backlog, self._backlog = self._backlog, []
        peer.say([frame(Begin(self.lock)), *backlog])
        early, peer.early = peer.early, []
        self._take_in(peer, early, counted=True)
        self._arm()
        self._announce()

    def adopt(self, peer: Peer, token: int) -> None:
        """Speak to a worker whose process goes on with attempt ``token`` of an earlier session."""
        assert peer.hello is not None
        self.where = (peer.hello.host, peer.hello.process)
        self._in_hand.add(token)
        self._owner.on_busy(self)
        self._watch(peer)

    def _watch(self, peer: Peer) -> None:
        assert peer.hello is not None
        self.worker, self.machine = peer.hello.worker, peer.hello.owner
        peer.link, self.peer = self, peer
        self._armed = select.EPOLLIN
        self._epoll.register(peer.channel.fileno(), self._armed)
        self._arm()
        self._owner.on_attached(self)

    def go_on(self, peer: Peer, received: int) -> None:
        """Go on with the same process on a new connection. ``received``: how many messages arrived there.

        Raises:
            ValueError: that cannot be.
        """
        before = self.peer
        assert before is not None
        before.stream.acknowledged(received)
        peer.stream = before.stream
        before.link = None
        before.channel.close()  # its epoll forgets it
        self.parted = 0.0
        self._watch(peer)
        peer.channel.send(b"".join(peer.stream.unacknowledged()))
        self._arm()

    def part(self, why: str) -> None:
        """The connection broke."""
        peer = self.peer
        if peer is None or self.over or self.parted:
            return
        self._owner.on_gone(peer)
        peer.channel.close()
        if self._in_hand:
            self.parted, self.why = time.monotonic(), why
            self._owner.on_parted(self)
        else:
            self.lose(why)

    def lose(self, why: str) -> None:
        """The process cannot be reached any more."""
        self.give_up(WorkerExit(self, -signal.SIGKILL, False, why))

    def give_up(self, ended: WorkerExit) -> None:
        """Let go of the connection, since the process ended or cannot be reached any more."""
        if self.peer is not None and not self.parted:
            self._owner.on_gone(self.peer)
            self.peer.channel.close()
        self.parted = 0.0
        self.end(ended)

    def end(self, ended: WorkerExit) -> None:
        """Tell that the process is gone, once."""
        if not self.over:
            self.over = True
            self._returned(set(self._in_hand))
            self._owner.on_end(self, ended)

    # --- the link as the engine knows it ----------------------------------------------------------------------

    def fileno(self) -> int:
        """Readable when the worker said something, or can be told more of what waits."""
        return self._epoll.fileno()

    def send(self, *messages: ToWorker) -> bool:
        """See ``WorkerLink``. What cannot go at once goes when ``fileno`` says so, with the next ``receive``."""
        if self.over:
            return True
        self.note(messages)
        self.say(messages)
        return True

    def note(self, messages: Sequence[ToWorker]) -> None:
        """Count the attempts among messages that are sent now or later."""
        before = len(self._in_hand)
        self._in_hand.update([one.token for one in messages if isinstance(one, Execute)])
        if self._in_hand and not before:
            self._owner.on_busy(self)

    def say(self, messages: Sequence[ToWorker]) -> None:
        """Send messages that were noted, or keep them until there is a worker."""
        data = [frame(one) for one in messages]
        if self.peer is None:
            self._backlog += data
        else:
            self.peer.say(data)
            self._arm()

    def flush(self) -> bool:
        """Nothing is left to the caller."""
        return True

    def _arm(self) -> None:
        if self.peer is None or self.peer.channel.closed:
            return
        mask = select.EPOLLIN | (select.EPOLLOUT if self.peer.channel.out else 0)
        if mask != self._armed:
            self._armed = mask
            self._epoll.modify(self.peer.channel.fileno(), mask)

    def receive(self) -> list[ToDriver] | None:
        """See ``WorkerLink``."""
        self._read()
        if self._told:
            self._told = False
            os.eventfd_read(self._news)
        messages, self._pending = self._pending, []
        if messages:
            self._announce()  # where the worker ended after these, that is told next
        elif self._broken:
            raise ProtocolError(self._broken)
        return messages or (None if self.over else [])

    def collect(self) -> None:
        """Take in what came; messages wait for ``receive``."""
        self._read()
        self._announce()

    def _announce(self) -> None:
        if (self._pending or self.over) and not self._told:
            self._told = True
            os.eventfd_write(self._news, 1)

    def _read(self) -> None:
        peer = self.peer
        if peer is None or self.over or self.parted:
            return
        try:
            bodies = [] if peer.left() else peer.receive(1 << 20)
        except (ChannelError, ValueError) as error:
            self._break(peer, error)
            return
        self._take_in(peer, bodies)
        if self.peer is not peer:  # its process has ended
            return
        if peer.left():
            self.part(f"the connection to its worker on {peer.name()} broke")
        else:
            if peer.stream.owes():
                peer.beat()
            self._arm()

    def _take_in(self, peer: Peer, bodies: list[bytes], *, counted: bool = False) -> None:
        try:
            for at, body in enumerate(bodies):
                message = from_worker(body)
                if isinstance(message, Heartbeat):
                    self._memory = message.memory
                    peer.stream.acknowledged(message.received)
                    continue
                if not counted:
                    peer.stream.arrived(len(body))
                if isinstance(message, Exited):
                    self._release(peer, message)
                    if counted:
                        peer.early = bodies[at + 1 :]
                    else:
                        peer.take_early(bodies[at + 1 :])
                    self._owner.on_free(peer)
                    return
                self._take(message, peer)
        except (ValueError, msgspec.MsgspecError) as error:
            self._break(peer, error)

    def _take(self, message: ToDriver, peer: Peer) -> None:
        match message:
            case Log():
                if message.stream in (0, 1) and message.offset >= 0:
                    self._outputs[message.stream].add(message.offset, message.data)
                return
            case Ready():
                self.where = (message.host, message.pid)
            case Done() | Failed():
                self._returned({message.token})
            case Handback():
                self._returned(set(message.tokens))
        self._pending.append(message)

    def _returned(self, tokens: set[int]) -> None:
        before = len(self._in_hand)
        self._in_hand -= tokens
        if before and not self._in_hand:
            self._owner.on_idle(self)

    def _release(self, peer: Peer, exited: Exited) -> None:
        """The process has ended; its worker has another one."""
        self._epoll.unregister(peer.channel.fileno())
        peer.link = self.peer = None
        self.end(WorkerExit(self, exited.code, exited.out_of_memory, refused=exited.refused))

    def _break(self, peer: Peer, error: Exception) -> None:
        if self.over:  # it was said after the process had ended
            self._owner.on_gone(peer)
            peer.channel.close()
        else:
            self._broken = f"worker on {peer.name()}: {error}"
            self.lose(f"its worker on {peer.name()} sent what is not a message: {error}")

    def close(self) -> None:
        """See ``WorkerLink``."""
        if self._epoll.closed:
            return
        self._epoll.close()
        os.close(self._news)
        if self.peer is not None:
            self.peer.channel.close()

    def log_end(self, stream: int) -> int:
        """Bytes that came so far, and those that were left out between them."""
        self.collect()
        return self._outputs[stream].end

    def read_log(self, stream: int, start: int, end: int) -> bytes:
        """The bytes from ``start`` to ``end`` that are here."""
        return self._outputs[stream].read(start, end)

    def trim_log(self, stream: int, upto: int) -> None:
        """Forget what comes before ``upto``."""
        self._outputs[stream].trim(upto)

    def memory(self) -> int:
        """As the worker's last heartbeat said."""
        self.collect()
        return self._memory
