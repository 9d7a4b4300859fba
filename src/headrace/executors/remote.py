"""Workers that join from elsewhere: a driver listens, worker hosts connect (``headrace worker --connect``).

One TLS connection is one worker for the life of its process. All sockets are non-blocking and served by the thread that
runs the driver's loop: the links' when their descriptors are readable, all others in ``exits``.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import platform
import select
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from headrace._base import logs
from headrace._base.offset_bytes import OffsetBytes
from headrace._base.process import host_name
from headrace._base.timerfd import timer_fd
from headrace._version import __version__
from headrace.engine.ports import Executor, ProtocolError, Returned, WorkerExit, WorkerLink
from headrace.model import handshake
from headrace.model.errors import UsageError
from headrace.model.handshake import (
    HEARTBEAT_SECONDS,
    HELLO_SECONDS,
    MAX_HELLO,
    SILENCE_SECONDS,
    HandshakeError,
    Hello,
    InHand,
    Refused,
    Versions,
    Welcome,
)
from headrace.model.messages import (
    MAX_FRAME,
    Bye,
    Exited,
    Heartbeat,
    Kill,
    Log,
    Ready,
    ToDriver,
    ToWorker,
    frame,
    framed,
    from_worker,
    raw_frames,
)
from headrace.model.policy import Resources, StepPolicy
from headrace.model.workers import Capacity, ServedRun, WorkerSpec
from headrace.runtime import randomness
from headrace.worker.channel import Channel, ChannelError
from headrace.worker.joining import Identity, driver_context

_log = logs.Log("workers")
#: Seconds between two looks at who is silent.
_LOOK = 0.5
#: Raw bytes of a peer that has not shown the secret: a handshake and a Hello.
_STRANGER = 4 * MAX_HELLO
#: Peers that have not shown the secret, at once.
_STRANGERS = 64
#: Seconds that workers have to end when the executor is closed.
_CLOSING = 5.0
VERSIONS = Versions(__version__, platform.python_version())


class _Peer:
    """A connection: of a stranger, then (``hello``) of a worker that joined; ``link`` once it was handed out."""

    __slots__ = ("address", "channel", "frames", "heard", "hello", "link", "since")

    def __init__(self, channel: Channel, address: str, now: float) -> None:
        self.channel = channel
        self.address = address
        self.frames = raw_frames(MAX_HELLO)
        self.hello: Hello | None = None
        self.link: RemoteLink | None = None
        self.since = self.heard = now

    def left(self) -> bool:
        return self.channel.closed

    def name(self) -> str:
        return f"{self.hello.host} ({self.address})" if self.hello is not None else self.address


class RemoteLink:
    """A worker elsewhere, or one that is still waited for. Its descriptor is an epoll that holds its socket, or the
    executor's while no worker has joined.
    """

    def __init__(self, executor: RemoteExecutor) -> None:
        self.where = ("", 0)
        self.peer: _Peer | None = None
        self.over = False  # whether its exit was told
        self._executor = executor
        self._epoll = select.epoll()
        self._epoll.register(executor.fileno(), select.EPOLLIN)
        self._armed = 0
        self._backlog: list[bytes] = []
        self._outputs = (OffsetBytes(), OffsetBytes())
        self._memory = 0
        self._pending: list[ToDriver] = []
        self._broken = ""  # why nothing more of the worker can be understood
        self._news = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._told = False  # whether it says that something is pending
        self._epoll.register(self._news, select.EPOLLIN)

    def attach(self, peer: _Peer) -> None:
        """Speak to this worker from now on."""
        peer.link = self
        self.peer = peer
        self._epoll.unregister(self._executor.fileno())
        self._armed = select.EPOLLIN
        self._epoll.register(peer.channel.fileno(), self._armed)
        for data in self._backlog:
            peer.channel.send(data)
        self._backlog.clear()
        self._arm()

    def fileno(self) -> int:
        """Readable when the worker said something, or can be told more of what waits."""
        return self._epoll.fileno()

    def send(self, *messages: ToWorker) -> bool:
        """See ``WorkerLink``. What cannot go at once goes when ``fileno`` says so, with the next ``receive``."""
        data = b"".join([frame(one) for one in messages])
        if self.peer is None:
            if not self.over:
                self._backlog.append(data)
        else:
            self.peer.channel.send(data)
            self._arm()
        return True

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
        if self.peer is None and not self.over:
            self._executor.serve()
        self._read()
        if self._told:
            self._told = False
            os.eventfd_read(self._news)
        messages, self._pending = self._pending, []
        if not messages and self._broken:
            raise ProtocolError(self._broken)
        return messages or (None if self.over and (self.peer is None or self.peer.channel.closed) else [])

    def collect(self) -> None:
        """Take in what came; messages wait for ``receive``."""
        self._read()
        if (self._pending or self.over) and not self._told:
            self._told = True
            os.eventfd_write(self._news, 1)

    def _read(self) -> None:
        peer = self.peer
        if peer is None or peer.channel.closed:
            return
        try:
            data = peer.channel.receive()
            if data:
                peer.heard = time.monotonic()
            for body in peer.frames.feed(data):
                self._take(from_worker(body))
        except (ChannelError, ValueError, msgspec.MsgspecError) as error:
            self._broken = f"worker on {peer.name()}: {error}"
            self.lose(f"its worker on {peer.name()} sent what is not a message: {error}")
            peer.channel.close()
            return
        if peer.left():
            self._epoll.unregister(peer.channel.fileno())
            self.lose(f"the connection to its worker on {peer.name()} broke")
        else:
            self._arm()

    def _take(self, message: ToDriver) -> None:
        match message:
            case Log():
                if message.stream in (0, 1) and message.offset >= 0:
                    self._outputs[message.stream].add(message.offset, message.data)
            case Heartbeat():
                self._memory = message.memory
            case Exited():
                self.end(WorkerExit(self, message.code, message.out_of_memory))
            case Ready():
                assert self.peer is not None
                self.where = (message.host, message.pid)
                self._pending.append(message)
            case _:
                self._pending.append(message)

    def lose(self, why: str) -> None:
        """The worker cannot be reached any more."""
        self.end(WorkerExit(self, -signal.SIGKILL, False, why))

    def end(self, ended: WorkerExit) -> None:
        """Tell that the worker is gone, once."""
        if not self.over:
            self.over = True
            self._executor.on_end(self, ended)

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


class RemoteOptions(NamedTuple):
    """How workers are served: ``modules`` are imported ahead; they keep attempts for ``keep`` seconds without their
    driver, of whom the next session waits ``adopt`` seconds for those. ``join`` is the file with the joining token.
    """

    modules: tuple[str, ...] = ()
    keep: float = 600.0
    adopt: float = 15.0
    heartbeat: float = HEARTBEAT_SECONDS
    silence: float = SILENCE_SECONDS
    join: str = ""


class RemoteExecutor:
    """See ``Executor``. Its capacity is that of all worker hosts that joined; those that join before the run was
    introduced are answered then. ``address`` is where to listen (port 0: any free one, in ``address`` after ``start``).
    """

    def __init__(self, place: str, address: tuple[str, int], identity: Identity, options: RemoteOptions) -> None:
        self.place = place
        self.capacity = Capacity(Resources(cpu=0.0))
        self.forked = False
        self.address = address
        self._identity = identity
        self._options = options
        self._welcome: Welcome | None = None
        self._early: list[_Peer] = []
        self._wanted: set[tuple[str, int]] = set()  # session and token of attempts whose workers may come back
        self._returned: dict[int, Returned] = {}
        self._listener: socket.socket | None = None
        self._epoll = select.epoll()
        self._news = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._timer = -1
        self._peers: dict[int, _Peer] = {}  # by descriptor
        self._free: deque[_Peer] = deque()
        self._waiting: deque[RemoteLink] = deque()
        self._ended: list[WorkerExit] = []
        self._next_heartbeat = 0.0

    def start(self) -> None:
        """Listen.

        Raises:
            UsageError: the address cannot be had.
        """
        self._context = driver_context(self._identity)
        host, port = self.address
        try:
            self._listener = socket.create_server((host, port), family=_family(host), backlog=128)
        except OSError as error:
            raise UsageError(
                f"place {self.place!r} cannot listen at {host}:{port}: {error.strerror or error}; choose another "
                "address or port, or end the other run that listens there"
            ) from None
        self._listener.setblocking(False)
        self.address = (host, self._listener.getsockname()[1])
        self._timer = timer_fd(_LOOK)
        for fd in (self._listener.fileno(), self._news, self._timer):
            self._epoll.register(fd, select.EPOLLIN)

        if self._options.join:
            where = host_name() if host in ("0.0.0.0", "::") else host
            print(
                f"headrace: place {self.place!r} listens at {host}:{self.address[1]}; workers join it with: headrace "
                f"worker --connect {where}:{self.address[1]} --secret-file {self._options.join}",
                file=sys.stderr,
                flush=True,
            )

    def introduce(self, run: ServedRun) -> None:
        """See ``Executor``."""
        seeded = randomness.seeded()
        self._welcome = Welcome(
            session=f"{run.key}#{run.session}",
            run=run.name,
            artifacts=run.artifacts,
            code=(run.code.hex, run.code.size),
            modules=self._options.modules,
            argv=tuple(sys.argv),
            seeded=pickle.dumps(seeded) if seeded else b"",
            heartbeat=self._options.heartbeat,
            silence=self._options.silence,
            keep=self._options.keep,
        )
        self._wanted = {(f"{run.key}#{token >> 32}", token) for token in run.adopted}
        early, self._early = self._early, []
        for peer in early:
            if not peer.left():
                self._welcome_peer(peer, self._welcome)

    def claim(self, token: int) -> Returned | None:
        """See ``Executor``."""
        return self._returned.pop(token, None)

    def spec(self, policy: StepPolicy) -> WorkerSpec:
        """See ``Executor``."""
        return WorkerSpec(place=self.place, isolated=policy.isolated)

    def provide(self, spec: WorkerSpec, step: str = "") -> RemoteLink:
        """A worker that joined, or the next one that does."""
        link = RemoteLink(self)
        self._waiting.append(link)
        self.serve()  # a worker that has left meanwhile is not to be had
        self._match()
        return link

    def _match(self) -> None:
        while self._waiting and self._free:
            peer = self._free.popleft()
            self._epoll.unregister(peer.channel.fileno())
            self._waiting.popleft().attach(peer)

    def surplus(self, spec: WorkerSpec, idle: Sequence[float]) -> int:
        """See ``Executor``; who lends a worker decides how long it stays."""
        return 0

    def address_of(self, link: WorkerLink) -> str:
        """See ``Executor``: the address from which the worker joined."""
        assert isinstance(link, RemoteLink)
        return link.peer.address.rpartition(":")[0] if link.peer is not None else ""

    def heard(self, step: str, installed: tuple[str, ...], own: tuple[str, ...]) -> None:
        """See ``Executor``; each worker host looks after the imports of its workers."""

    def stop(self, link: WorkerLink, grace: float) -> None:
        """Ask the worker's host to end it."""
        assert isinstance(link, RemoteLink)
        if link.over:
            return
        if link.peer is None:
            self._waiting.remove(link)
            link.end(WorkerExit(link, -signal.SIGKILL if grace <= 0 else -signal.SIGTERM, False))
        else:
            link.send(Kill(grace))

    def on_end(self, link: RemoteLink, ended: WorkerExit) -> None:
        """A link says that its worker is gone."""
        if link.peer is not None:
            self._forget(link.peer)
        self._ended.append(ended)
        os.eventfd_write(self._news, 1)

    # --- hearing ----------------------------------------------------------------------------------------------

    def fileno(self) -> int:
        """Readable when somebody joins or leaves, and now and then."""
        return self._epoll.fileno()

    def exits(self) -> list[WorkerExit]:
        """Workers that ended since the last call."""
        self.serve()
        ended, self._ended = self._ended, []
        return ended

    def serve(self) -> None:
        """Serve the listener, the clock, and all connections that have no link."""
        for fd, _ in self._epoll.poll(0):
            if fd == self._news:
                os.eventfd_read(fd)
            elif fd == self._timer:
                os.read(fd, 8)
                self._look(time.monotonic())
            elif self._listener is not None and fd == self._listener.fileno():
                self._accept()
            elif fd in self._peers:
                self._hear(self._peers[fd])

    def _accept(self) -> None:
        assert self._listener is not None
        while True:
            try:
                sock, address = self._listener.accept()
            except OSError:
                return
            peer = _Peer(Channel(sock, self._context, server=True), f"{address[0]}:{address[1]}", time.monotonic())
            strangers = [one for one in self._peers.values() if one.hello is None]
            if len(strangers) >= _STRANGERS:
                self._close(strangers[0], "made way for others before it said who it is")
            self._peers[sock.fileno()] = peer
            self._epoll.register(sock.fileno(), select.EPOLLIN)

    def _hear(self, peer: _Peer) -> None:
        """What a stranger says, or a worker that has nothing to do."""
        stranger = peer.hello is None
        try:
            data = peer.channel.receive(_STRANGER if stranger else 1 << 20)
            if stranger and peer.channel.taken > _STRANGER:
                raise HandshakeError(f"sent more than {_STRANGER} bytes before it said who it is")
            if data:
                peer.heard = time.monotonic()
            for body in peer.frames.feed(data):
                if peer.hello is None:
                    self._join(peer, body)
        except HandshakeError as error:
            if error.reason:
                peer.channel.send(framed(handshake.write(Refused(reason=error.reason))))
            self._close(peer, str(error))
            return
        except (ChannelError, ValueError) as error:
            self._close(peer, str(error))
            return
        if peer.channel.closed:
            self._close(peer, "left before it said who it is" if stranger else "")

    def _join(self, peer: _Peer, body: bytes) -> None:
        hello = handshake.read_hello(body, self._identity.token.secret, VERSIONS)
        peer.hello = hello
        peer.frames.limit = MAX_FRAME
        if self._welcome is None:
            self._early.append(peer)
        else:
            self._welcome_peer(peer, self._welcome)

    def _welcome_peer(self, peer: _Peer, welcome: Welcome) -> None:
        assert peer.hello is not None
        adopted = [one for one in peer.hello.in_hand if (one.session, one.token) in self._wanted]
        if adopted:
            welcome = msgspec.structs.replace(welcome, adopted=tuple([one.token for one in adopted]))
        peer.channel.send(framed(handshake.write(welcome)))
        if adopted:  # one that runs; those that were sent ahead of it are begun anew
            self._take_over(peer, adopted[0])
        else:
            self._free.append(peer)
        self._count()
        self._match()

    def _take_over(self, peer: _Peer, attempt: InHand) -> None:
        self._wanted.discard((attempt.session, attempt.token))
        with contextlib.suppress(FileNotFoundError):
            self._epoll.unregister(peer.channel.fileno())
        assert peer.hello is not None
        link = RemoteLink(self)
        link.where = (peer.hello.host, peer.hello.process)
        link.attach(peer)
        self._returned[attempt.token] = Returned(link, attempt.began)
        os.eventfd_write(self._news, 1)

    def _close(self, peer: _Peer, why: str) -> None:
        """Let go of a connection that has no link."""
        if why:
            text = f"place {self.place}: {peer.name()} {why}; the connection was closed"
            _log.warning("worker.refused", text, place=self.place, worker=peer.name())
        with contextlib.suppress(OSError):
            self._epoll.unregister(peer.channel.fileno())
        self._forget(peer)
        if peer in self._free:
            self._free.remove(peer)
        peer.channel.close()

    def _forget(self, peer: _Peer) -> None:
        self._peers.pop(peer.channel.fileno(), None)
        self._count()

    def _count(self) -> None:
        """Add up what the hosts bring."""
        joined = [peer.hello for peer in self._peers.values() if peer.hello is not None]
        brought = {hello.owner: hello for hello in joined}.values()
        resources = Resources(
            cpu=sum(one.cpu for one in brought),
            memory=sum(one.memory for one in brought),
            gpu=sum(one.gpu for one in brought),
        )
        self.capacity = Capacity(resources, workers=len(joined), own_gpus=True)
        if self._timer >= 0:
            os.eventfd_write(self._news, 1)

    def _look(self, now: float) -> None:
        """Say that this driver is alive, and give up who is silent."""
        beat = now >= self._next_heartbeat
        if beat:
            self._next_heartbeat = now + self._options.heartbeat
        for peer in list(self._peers.values()):
            if peer.hello is None:
                if now - peer.since > HELLO_SECONDS:
                    self._close(peer, f"did not say who it is within {HELLO_SECONDS:g} s")
            elif now - peer.heard > self._options.silence:
                if peer.link is None:
                    self._close(peer, f"was silent for {self._options.silence:g} s")
                else:
                    peer.link.lose(f"its worker on {peer.name()} has not been heard of for {self._options.silence:g} s")
                    peer.channel.close()
            else:
                if beat:
                    peer.channel.send(frame(Heartbeat()))
                if peer.link is not None:
                    peer.link.collect()

    # --- ending -----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Send all workers away and wait until their hosts have ended them."""
        if self._timer < 0:
            return
        if self._listener is not None:
            self._listener.close()
        leaving = [peer for peer in self._peers.values() if peer.hello is not None]
        for peer in leaving:
            peer.channel.send(frame(Bye()))
        self._await(leaving, time.monotonic() + _CLOSING)
        for peer in list(self._peers.values()):
            if peer.link is not None:
                peer.link.lose("its run is over")
                peer.link.collect()
            peer.channel.close()
        for link in self._waiting:
            link.lose("its run is over")
            link.collect()
        for returned in self._returned.values():
            returned.link.close()
        self._peers.clear()
        for fd in (self._timer, self._news):
            os.close(fd)
        self._timer = -1
        self._epoll.close()

    def _await(self, peers: list[_Peer], deadline: float) -> None:
        poll = select.poll()
        left = {peer.channel.fileno(): peer for peer in peers if not peer.channel.closed}
        while left and (wait := deadline - time.monotonic()) > 0:
            for fd, peer in left.items():
                poll.register(fd, select.POLLIN | (select.POLLOUT if peer.channel.out else 0))
            for fd, _ in poll.poll(wait * 1000):
                with contextlib.suppress(ChannelError):
                    left[fd].channel.receive()
                    left[fd].channel.flush()
                    if not left[fd].channel.closed:
                        continue
                poll.unregister(fd)
                del left[fd]


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


_: type[Executor] = RemoteExecutor
