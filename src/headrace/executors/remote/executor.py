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
from headrace._base.ordered_groups import OrderedGroups
from headrace._base.process import host_name
from headrace._base.timerfd import timer_fd
from headrace._version import __version__
from headrace.engine.ports import Executor, Returned, WorkerExit, WorkerLink
from headrace.executors.remote.link import Peer, RemoteLink
from headrace.model import handshake
from headrace.model.environments import EnvironmentLock
from headrace.model.errors import UsageError
from headrace.model.handshake import (
    HEARTBEAT_SECONDS,
    HELLO_SECONDS,
    MAX_HELLO,
    SILENCE_SECONDS,
    SPARE_WORKERS,
    HandshakeError,
    Hello,
    InHand,
    Refused,
    Versions,
    Welcome,
)
from headrace.model.messages import MAX_FRAME, Bye, Cancel, frame, framed
from headrace.model.pod_history import PodHistory
from headrace.model.policy import Resources, StepPolicy
from headrace.model.workers import Capacity, GangSeat, MachineCapacity, ServedRun, WorkerSpec
from headrace.runtime import randomness
from headrace.worker.channel import Channel, ChannelError
from headrace.worker.join_token import Identity, driver_context

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


class RemoteOptions(NamedTuple):
    """How workers are served: ``modules`` are imported ahead; they keep attempts for ``keep`` seconds without their
    driver. A driver waits ``adopt`` seconds for a worker whose connection broke, and so does the next session of the
    run. ``join`` is the file with the joining token.
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
        self._early: list[Peer] = []
        self._wanted: set[tuple[str, int]] = set()  # session and token of attempts whose workers may come back
        self._returned: dict[int, Returned] = {}
        self._listener: socket.socket | None = None
        self._epoll = select.epoll()
        self._linked = select.epoll()  # sockets of workers that links have, to see now and then what nobody received
        self._news = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._timer = -1
        self._peers: dict[int, Peer] = {}  # by descriptor
        self._strangers: dict[Peer, None] = {}  # those that have not said who they are
        self._beats: deque[Peer] = deque()  # the others, by when they hear next that this driver is alive
        self._joined: OrderedGroups[Peer] = OrderedGroups()  # the others, by their worker hosts
        self._free: OrderedGroups[Peer] = OrderedGroups()  # by what they can be to a link (``_offers``)
        self._waiting: OrderedGroups[RemoteLink] = OrderedGroups()  # by what they need (``_need``)
        self._locks: dict[str, EnvironmentLock] = {}  # by their digests
        self._links: dict[str, RemoteLink] = {}  # that are not over, by the worker's name
        self._parted: dict[RemoteLink, None] = {}
        self._ended: list[WorkerExit] = []

    def start(self) -> None:
        """Listen.

        Raises:
            UsageError: the address cannot be had.
        """
        self._context = driver_context(self._identity)
        self._listen()
        self._timer = timer_fd(_LOOK)
        for fd in (self._news, self._timer):
            self._epoll.register(fd, select.EPOLLIN)

    def _listen(self) -> None:
        host, port = self.address
        try:
            self._listener = _listener(host, port)
        except OSError as error:
            raise UsageError(
                f"place {self.place!r} cannot listen at {host}:{port}: {error.strerror or error}; choose another "
                "address or port, or end the other run that listens there"
            ) from None
        self._listener.setblocking(False)
        self.address = (host, self._listener.getsockname()[1])
        self._epoll.register(self._listener.fileno(), select.EPOLLIN)
        if self._options.join:
            print(
                f"headrace: place {self.place!r} listens at {host}:{self.address[1]}; workers join it with: headrace "
                f"worker --connect {self._reached_at()} --secret-file {self._options.join}",
                file=sys.stderr,
                flush=True,
            )

    def _reached_at(self) -> str:
        """The address to connect to."""
        host, port = self.address
        where = host_name() if host in ("0.0.0.0", "::") else host
        return f"[{where}]:{port}" if ":" in where else f"{where}:{port}"

    def introduce(self, run: ServedRun) -> str:
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
            place=self.place,
            database=run.database,
            log_limit=run.log_limit,
            paths=_own_folders(),
            project=run.project,
        )
        self._wanted = {(f"{run.key}#{token >> 32}", token) for token in run.adopted}
        early, self._early = self._early, []
        for peer in early:
            if not peer.left():
                self._welcome_peer(peer, self._welcome)
        return self._reached_at()

    def claim(self, token: int) -> Returned | None:
        """See ``Executor``."""
        return self._returned.pop(token, None)

    def spec(self, policy: StepPolicy) -> WorkerSpec:
        """See ``Executor``."""
        lock = policy.lock
        if lock is None or not lock.python:  # a command in an image: any worker there starts the container
            return WorkerSpec(place=self.place, isolated=policy.isolated)
        name = lock.digest.hex()
        self._locks[name] = lock
        return WorkerSpec(place=self.place, environment=name, image=lock.image, isolated=policy.isolated)

    def provide(self, spec: WorkerSpec, step: str = "", seat: GangSeat | None = None) -> RemoteLink:
        """A worker that joined, or the next one that does, of the worker host that the spec names."""
        link = self._new_link(spec)
        self._await_worker(link)
        return link

    def _new_link(self, spec: WorkerSpec) -> RemoteLink:
        return RemoteLink(self, spec, self._locks.get(spec.environment))

    def _await_worker(self, link: RemoteLink) -> None:
        self._waiting.add(link, self._need(link))
        self.serve()  # a worker that has left meanwhile is not to be had
        peer = self._free.first(self._need(link)) if link in self._waiting else None
        if peer is not None:
            self._attach(link, peer)

    def _offer_worker(self, peer: Peer) -> None:
        """Let the link that waits for longest for such a worker have this one, which is free."""
        offers = self._offers(peer)
        link = next((one for one in map(self._waiting.first, offers) if one is not None), None)
        self._free.add(peer, *offers)
        if link is not None:
            self._attach(link, peer)

    def _attach(self, link: RemoteLink, peer: Peer) -> None:
        self._free.discard(peer)
        self._unregister(peer)
        self._waiting.discard(link)
        link.attach(peer)

    def _need(self, link: RemoteLink) -> str:
        """What a link waits for: the name of a worker host; empty: any."""
        return link.machine

    def _offers(self, peer: Peer) -> tuple[str, ...]:
        """The needs that a worker which is free meets."""
        return (machine_of(peer), "")

    def surplus(self, spec: WorkerSpec, idle: Sequence[float]) -> int:
        """See ``Executor``; who lends a worker decides how long it stays."""
        return 0

    def address_of(self, link: WorkerLink) -> str:
        """See ``Executor``: the address from which the worker's host joined."""
        assert isinstance(link, RemoteLink)
        peer = self._joined.first(link.machine)
        return peer.address.rpartition(":")[0] if peer is not None else ""

    def heard(self, step: str, installed: tuple[str, ...], own: tuple[str, ...]) -> None:
        """See ``Executor``; each worker host looks after the imports of its workers."""

    def stop(self, link: WorkerLink, grace: float) -> None:
        """Ask the worker to end its process. One that cannot be reached is given up at once."""
        assert isinstance(link, RemoteLink)
        if link.over:
            return
        if link.peer is None:
            self._waiting.discard(link)
            link.end(WorkerExit(link, -signal.SIGKILL if grace <= 0 else -signal.SIGTERM, False))
        elif link.parted:
            link.lose(link.why)
        else:
            link.send(Cancel(grace))

    # --- what links say ---------------------------------------------------------------------------------------

    def on_attached(self, link: RemoteLink) -> None:
        """See ``LinkOwner``."""
        self._links[link.worker] = link
        assert link.peer is not None
        self._linked.register(link.peer.channel.fileno(), select.EPOLLIN)

    def on_end(self, link: RemoteLink, ended: WorkerExit) -> None:
        """See ``LinkOwner``."""
        self._ended.append(ended)
        if self._links.get(link.worker) is link:
            del self._links[link.worker]
        os.eventfd_write(self._news, 1)

    def on_free(self, peer: Peer) -> None:
        """See ``LinkOwner``."""
        self._linked.unregister(peer.channel.fileno())
        self._epoll.register(peer.channel.fileno(), select.EPOLLIN)
        self._offer_worker(peer)

    def on_gone(self, peer: Peer) -> None:
        """See ``LinkOwner``."""
        self._forget(peer)

    def on_parted(self, link: RemoteLink) -> None:
        """See ``LinkOwner``."""
        self._parted[link] = None

    def on_busy(self, link: RemoteLink) -> None:
        """See ``LinkOwner``."""

    def on_idle(self, link: RemoteLink) -> None:
        """See ``LinkOwner``."""

    # --- hearing ----------------------------------------------------------------------------------------------

    def lacks(self, link: RemoteLink) -> str:
        """See ``LinkOwner``."""
        return f"place {self.place!r} waits for a worker to join"

    def pod_histories(self) -> Sequence[PodHistory]:
        """See ``Executor``."""
        return ()

    def fileno(self) -> int:
        """Readable when a worker joins or leaves, and now and then."""
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
            else:
                self._on_readable(fd)

    def _on_readable(self, fd: int) -> None:
        """Another descriptor of those that are waited for has news."""

    def _accept(self) -> None:
        assert self._listener is not None
        while True:
            try:
                sock, address = self._listener.accept()
            except OSError:
                return
            if len(self._strangers) >= _STRANGERS:
                self._close(next(iter(self._strangers)), "made way for others before it said who it is")
            self._take_in(sock, f"{address[0].removeprefix('::ffff:')}:{address[1]}")  # IPv4 by a socket of both

    def _take_in(self, sock: socket.socket, address: str) -> None:
        """Hear on a connection who is at its other end."""
        peer = Peer(Channel(sock, self._context, server=True), address, time.monotonic())
        self._peers[sock.fileno()] = peer
        self._strangers[peer] = None
        self._epoll.register(sock.fileno(), select.EPOLLIN)

    def _hear(self, peer: Peer) -> None:
        """What a stranger says, or a worker that has nothing to do."""
        stranger = peer.hello is None
        try:
            bodies = peer.receive(_STRANGER if stranger else 1 << 20)
            if stranger and peer.channel.taken > _STRANGER:
                raise HandshakeError(f"sent more than {_STRANGER} bytes before it said who it is")
            if stranger and bodies:
                self._join(peer, bodies.pop(0))
            if bodies and peer.link is None:
                peer.take_early(bodies)
        except HandshakeError as error:
            if error.reason:
                peer.channel.send(framed(handshake.write(Refused(reason=error.reason))))
            self._close(peer, str(error))
            return
        except ChannelError as error:
            self._close(peer, str(error))
            return
        except (ValueError, msgspec.MsgspecError) as error:
            self._close(
                peer, f"sent {error}" if str(error).startswith("a frame") else f"sent what cannot be read: {error}"
            )
            return
        if peer.channel.closed and peer.link is None:
            self._close(peer, "left before it said who it is" if stranger else "")

    def _join(self, peer: Peer, body: bytes) -> None:
        hello = handshake.read_hello(body, self._identity.token.secret, VERSIONS)
        self._check_host(hello)
        peer.hello = hello
        peer.frames.limit = MAX_FRAME
        for other in [one for one in self._joined.of(hello.owner) if hello.worker and one in self._free]:
            if other.hello is not None and other.hello.worker == hello.worker:  # it knows that this connection broke
                self._close(other, "")
        del self._strangers[peer]
        self._joined.add(peer, hello.owner)
        peer.due = time.monotonic() + self._options.heartbeat
        self._beats.append(peer)
        if self._welcome is None:
            self._early.append(peer)
        else:
            self._welcome_peer(peer, self._welcome)

    def _check_host(self, hello: Hello) -> None:
        """Refuse a worker host that has the secret and is none of this place, by ``HandshakeError``."""

    def _welcome_peer(self, peer: Peer, welcome: Welcome) -> None:
        assert peer.hello is not None
        link = self._links.get(peer.hello.worker) if peer.hello.worker else None
        if link is not None and self._go_on(link, peer, welcome):
            return
        adopted = [one for one in peer.hello.in_hand if (one.session, one.token) in self._wanted]
        if adopted:
            welcome = msgspec.structs.replace(welcome, adopted=tuple([one.token for one in adopted]))
        peer.channel.send(framed(handshake.write(welcome)))
        if adopted:  # one that runs; those that were sent ahead of it are begun anew
            self._take_over(peer, adopted[0])
        self._count()
        if not adopted:
            self._offer_worker(peer)

    def _go_on(self, link: RemoteLink, peer: Peer, welcome: Welcome) -> bool:
        """Go on with a worker whose connection broke; whether it has all that it needs for that."""
        assert peer.hello is not None
        assert link.peer is not None
        continued = peer.hello.continued
        if continued is None or continued.session != welcome.session:
            link.lose(f"its worker on {peer.name()} came back without what it had in hand")
            return False
        self._unregister(peer)
        before = link.peer
        arrived = before.stream.received
        peer.channel.send(framed(handshake.write(msgspec.structs.replace(welcome, received=arrived))))
        link.go_on(peer, continued.received)
        self._forget(before)
        self._parted.pop(link, None)
        text = f"{peer.name()} is back and goes on with what it had in hand"
        _log.info("worker.back", text, place=self.place, worker=peer.name())
        self._count()
        return True

    def _unregister(self, peer: Peer) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._epoll.unregister(peer.channel.fileno())

    def _take_over(self, peer: Peer, attempt: InHand) -> None:
        self._wanted.discard((attempt.session, attempt.token))
        self._unregister(peer)
        link = self._new_link(WorkerSpec(place=self.place))
        link.adopt(peer, attempt.token)
        self._returned[attempt.token] = Returned(link, attempt.began, link.machine)
        os.eventfd_write(self._news, 1)

    def _close(self, peer: Peer, why: str) -> None:
        """Let go of a connection that has no link."""
        if why:
            text = f"the connection of {peer.name()} to place {self.place} was closed, because it {why}"
            _log.warning("worker.refused", text, place=self.place, worker=peer.name())
        with contextlib.suppress(OSError):
            self._epoll.unregister(peer.channel.fileno())
        self._forget(peer)
        self._free.discard(peer)
        peer.channel.close()

    def _forget(self, peer: Peer) -> None:
        if self._peers.get(peer.fd) is peer:
            del self._peers[peer.fd]
        self._strangers.pop(peer, None)
        self._joined.discard(peer)
        self._count()

    def _count(self) -> None:
        """Add up what the worker hosts bring."""
        joined = [peer.hello for peer in self._peers.values() if peer.hello is not None]
        brought = {hello.owner: Resources(cpu=hello.cpu, memory=hello.memory, gpu=hello.gpu) for hello in joined}
        resources = Resources(
            cpu=sum(one.cpu for one in brought.values()),
            memory=sum(one.memory for one in brought.values()),
            gpu=sum(one.gpu for one in brought.values()),
        )
        machines = tuple(  # a worker host that has joined has as many workers as are asked for, up to that
            [MachineCapacity(name, has, int(has.cpu) + SPARE_WORKERS) for name, has in brought.items()]
        )
        capacity = Capacity(resources, workers=sum(one.workers for one in machines), machines=machines)
        if capacity != self.capacity:
            self.capacity = capacity
        for link in [one for one in self._waiting if one.machine and one.machine not in brought]:
            self._waiting.discard(link)
            link.end(WorkerExit(link, -signal.SIGKILL, False, "its machine left", begun=False))
        if self._timer >= 0:
            os.eventfd_write(self._news, 1)

    def _look(self, now: float) -> None:
        """Say that this driver is alive, see who has ended, and give up who is silent."""
        for fd, _ in self._linked.poll(0):
            speaker = self._peers.get(fd)
            if speaker is not None and speaker.link is not None:
                speaker.link.collect()
        for peer in [one for one in self._strangers if now - one.since > HELLO_SECONDS]:
            self._close(peer, f"did not say who it is within {HELLO_SECONDS:g} s")
        self._beat(now)
        for link in list(self._parted):
            if link.over or now - link.parted > self._options.adopt:
                del self._parted[link]
                link.lose(f"{link.why}, and it did not come back within {self._options.adopt:g} s")

    def _beat(self, now: float) -> None:
        """Say to each worker that this driver is alive, when that is due, and give up those that are silent."""
        while self._beats and self._beats[0].due <= now:
            peer = self._beats.popleft()
            if now - peer.heard > self._options.silence:
                self._end_silence(peer)
            if self._peers.get(peer.fd) is not peer:
                continue
            peer.beat()
            peer.due = now + self._options.heartbeat
            self._beats.append(peer)

    def _end_silence(self, peer: Peer) -> None:
        """Give up a peer, unless it was this driver that did not listen for so long."""
        link = peer.link
        if link is None:
            self._hear(peer)
        else:
            link.collect()
        if time.monotonic() - peer.heard <= self._options.silence or self._peers.get(peer.fd) is not peer:
            return
        if link is None:
            self._close(peer, f"was silent for {self._options.silence:g} s")
        else:
            link.part(f"its worker on {peer.name()} has not been heard of for {self._options.silence:g} s")

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
        for link in [*self._parted, *self._waiting]:
            link.lose("its run is over")
            link.collect()
        for returned in self._returned.values():
            returned.link.close()
        self._peers.clear()
        self._joined, self._free = OrderedGroups(), OrderedGroups()
        for fd in (self._timer, self._news):
            os.close(fd)
        self._timer = -1
        self._epoll.close()
        self._linked.close()

    def _await(self, peers: list[Peer], deadline: float) -> None:
        left = {peer.channel.fileno(): peer for peer in peers if not peer.channel.closed}
        with select.epoll() as poll:
            for fd, peer in left.items():
                poll.register(fd, select.EPOLLIN | (select.EPOLLOUT if peer.channel.out else 0))
            while left and (wait := deadline - time.monotonic()) > 0:
                for fd, _ in poll.poll(wait):
                    with contextlib.suppress(ChannelError):
                        left[fd].channel.receive()
                        left[fd].channel.flush()
                        if not left[fd].channel.closed:
                            poll.modify(fd, select.EPOLLIN | (select.EPOLLOUT if left[fd].channel.out else 0))
                            continue
                    poll.unregister(fd)
                    del left[fd]


def _own_folders() -> tuple[str, ...]:
    """Folders within Headrace's own on the path for imports: a dialect has packages of other names there."""
    root = os.path.dirname(os.path.dirname(handshake.__file__))  # noqa: PTH120
    return tuple([os.path.relpath(one, root) for one in sys.path if one.startswith(f"{root}{os.sep}")])


def machine_of(peer: Peer) -> str:
    """The worker host that a worker belongs to."""
    return peer.hello.owner if peer.hello is not None else ""


def _listener(host: str, port: int) -> socket.socket:
    """A socket that listens; ``::`` is all addresses of both families, or of IPv4 alone where there is nothing else."""
    both = host == "::" and socket.has_dualstack_ipv6()
    if host == "::" and not both:
        host = "0.0.0.0"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=128, dualstack_ipv6=both)


_: type[Executor] = RemoteExecutor
