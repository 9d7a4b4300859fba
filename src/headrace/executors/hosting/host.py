"""``headrace worker``: the workers of this machine, lent to a driver elsewhere.

One process holds the connections and the executor that provides the workers, so heartbeats, output and exits are told
whatever the code of a step does to its own process. Each connection is one worker; when its process ends, it gets
another one. When a connection breaks, or the driver is gone, workers go on with the attempts that they have, and the
host asks at the same address for the driver, or for the run's next session. After a while it also looks in the metadata
store where that session listens.
"""

from __future__ import annotations

import errno
import heapq
import itertools
import os
import platform
import random
import selectors
import socket
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from headrace._base.process import host_name
from headrace._version import __version__
from headrace.engine.ports import WorkerExit
from headrace.executors.hosting.lane import Lane, PlaceOfHost, Service
from headrace.model import handshake
from headrace.model.errors import HeadraceError
from headrace.model.handshake import HELLO_SECONDS, PROTOCOL, SPARE_WORKERS, HandshakeError, Hello, Refused, Welcome
from headrace.model.messages import Begin, Bye, Heartbeat, framed, from_driver
from headrace.model.policy import Resources
from headrace.worker.channel import Channel, ChannelError
from headrace.worker.join_token import JoinToken, is_driver, worker_context

#: Seconds between two looks at what was printed, and at who is silent.
_LOOK = 0.1
#: Seconds between two attempts to reach the driver: at first, and at most.
_SOON, _LATE = 0.2, 2.0
#: Seconds without a driver after which, and then between which, the metadata store is asked where it is.
_LOOK_UP = 5.0
#: Seconds that a host which listens stays without ever having seen its driver.
_UNASKED = 600.0


class RefusedError(HeadraceError):
    """The driver does not take this worker; the message says why and what to do."""


class HostOptions(NamedTuple):
    """Where to join and what to bring. ``once``: leave after one session of a run.

    ``name`` is what the driver calls this host (empty: a random name). ``spare``: have workers beyond ``workers`` where
    attempts need them. ``listen``: the driver connects to this host, at ``address``.
    ``host`` is what people see (empty: the machine's name).
    """

    address: tuple[str, int]
    token: JoinToken
    workers: int
    capacity: Resources
    once: bool = False
    name: str = ""
    spare: bool = True
    listen: bool = False
    host: str = ""


class WorkerHost:
    """See the module.

    ``open_place`` makes the executor that serves a session, as its ``Welcome`` says. ``look_up`` asks the metadata
    store where the driver of that run listens now; a thread of its own calls it. ``report`` gets lines for people.
    """

    def __init__(
        self,
        options: HostOptions,
        open_place: Callable[[Welcome], PlaceOfHost],
        look_up: Callable[[Welcome], tuple[str, int] | None],
        report: Callable[[str], None],
    ) -> None:
        self._options = options
        self._open_place = open_place
        self._look_up = look_up
        self._report = report
        self._address = options.address  # where the driver is, as far as is known
        self._asked_last = options.address
        self._looking: threading.Thread | None = None
        self._looked_up = ""  # what was last said about that
        self._gone_since = 0.0  # when the last connection broke, while there is none
        self._owner = options.name or os.urandom(8).hex()
        self._context = worker_context()
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._lanes: list[Lane] = []
        self._services: list[Service] = []  # the current one last
        self._next_beat = 0.0
        self._trouble = ""  # what was last said about the driver not being there
        self._delay = _SOON
        self._over = False
        self._problem: HeadraceError | None = None
        self._listener: socket.socket | None = None
        self._expecting: list[Lane] = []  # that wait for the driver to connect
        self._unasked_since = time.monotonic()  # when the driver was last here

    def run(self) -> None:
        """Serve until ``stop`` is called, or one session is over where that was asked for.

        Raises:
            RefusedError: the driver does not take this worker. HeadraceError: what it needs cannot be had here.
        """
        try:
            if self._options.listen:
                self._listen()
            self._add_lane()
            self._look()
            while not self._over:
                self._turn()
        finally:
            self._close()
        if self._problem is not None:
            raise self._problem

    def stop(self) -> None:
        """End ``run``; may be called by a handler of signals."""
        self._over = True

    def _fail(self, problem: HeadraceError) -> None:
        self._problem = problem
        self._over = True

    def _turn(self) -> None:
        wait = max(0.0, self._timers[0][0] - time.monotonic())
        for key, mask in self._selector.select(wait):
            now = self._selector.get_map().get(key.fd)
            if now is not None and now.data is key.data:  # else the handler of an earlier event let go of it
                key.data(mask)
        while self._timers and self._timers[0][0] <= time.monotonic():
            heapq.heappop(self._timers)[2]()

    def _after(self, seconds: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), call))

    def _look(self) -> None:
        self._after(_LOOK, self._look)
        now = time.monotonic()
        if self._options.listen:
            self._end_when_unasked(now)
        else:
            self._find_driver()
        beat = now >= self._next_beat
        for lane in self._lanes[:]:
            if lane.channel is None:
                self._give_up_when_late(lane, now)
                continue
            welcome = self._services[-1].welcome if self._services else None
            patience = welcome.silence if lane.joined and welcome is not None else HELLO_SECONDS
            if now - lane.heard > patience:
                self._lose(lane, f"the driver has not been heard of for {patience:g} s")
                continue
            lane.pump()
            if beat:
                lane.beat()
                self._next_beat = now + (welcome.heartbeat if welcome is not None else 1.0)

    def _give_up_when_late(self, lane: Lane, now: float) -> None:
        over = bool(self._services) and self._services[-1].over
        if lane.service is not None and (over or now - lane.lost_at > lane.service.welcome.keep):
            if lane.is_owed():
                self._report(f"nobody asked for what a worker had in hand of {lane.service.welcome.run}; it is dropped")
            self._dismiss(lane)

    # --- connections ------------------------------------------------------------------------------------------

    def _add_lane(self) -> None:
        lane = Lane(self._arm)
        self._lanes.append(lane)
        self._dial(lane)

    def _next_address(self) -> tuple[str, int]:
        """Where to ask for the driver: where it is known to be, and in turn where the worker was told to ask."""
        told, known = self._options.address, self._address
        if not self._services or self._services[-1].over or any(one.joined for one in self._lanes):
            return known
        return told if self._asked_last == known else known

    def _find_driver(self) -> None:
        """Ask the metadata store where the run goes on, now and then while its driver is gone."""
        now = time.monotonic()
        service = self._services[-1] if self._services else None
        waits = any(one.link is not None for one in self._lanes)  # else for any run that may listen here
        if service is None or service.over or not waits or any(one.joined for one in self._lanes):
            self._gone_since = 0.0
        elif not self._gone_since:
            self._gone_since = now
        elif now - self._gone_since > _LOOK_UP and (self._looking is None or not self._looking.is_alive()):
            self._gone_since = now
            self._looking = threading.Thread(
                target=self._ask_where, args=(service.welcome,), name="headrace-find-driver", daemon=True
            )
            self._looking.start()

    def _ask_where(self, welcome: Welcome) -> None:
        """Called in a thread of its own."""
        try:
            found = self._look_up(welcome)
        except HeadraceError as error:
            self._say_once(f"cannot look in {welcome.database} where {welcome.run} goes on: {error}")
            return
        if found is not None and found != self._address:
            self._address = found
            self._report(f"{welcome.run} goes on at {found[0]}:{found[1]}")

    def _say_once(self, text: str) -> None:
        if text != self._looked_up:
            self._looked_up = text
            self._report(text)

    def _dial(self, lane: Lane) -> None:
        if self._over or lane.channel is not None or lane not in self._lanes:
            return
        if self._options.listen:
            self._expect(lane)
            return
        host, port = lane.address = self._asked_last = self._next_address()
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            sock = socket.socket(family, kind, protocol)
        except OSError as error:
            self._try_again(lane, f"{host} cannot be found: {error.strerror or error}")
            return
        lane.connect(Channel(sock, self._context, server=False))
        self._selector.register(sock, selectors.EVENT_WRITE, lambda mask: self._on_channel(lane))
        code = sock.connect_ex(address)
        if code not in (0, errno.EINPROGRESS):
            self._lose(lane, os.strerror(code).lower())

    def _listen(self) -> None:
        host, port = self._options.address
        try:
            self._listener = socket.create_server((host, port), backlog=8)
        except OSError as error:
            raise RefusedError(f"cannot listen at {host}:{port}: {error.strerror or error}") from None
        self._listener.setblocking(False)
        self._report(f"waits for its driver at {host}:{port}")

    def _expect(self, lane: Lane) -> None:
        """Let the lane have the next connection of the driver; others wait in the kernel until a lane asks for them."""
        assert self._listener is not None
        lane.address = self._options.address
        if lane not in self._expecting:
            self._expecting.append(lane)
        if self._listener.fileno() not in self._selector.get_map():
            self._selector.register(self._listener, selectors.EVENT_READ, lambda _: self._accept())

    def _accept(self) -> None:
        assert self._listener is not None
        self._expecting = [one for one in self._expecting if one in self._lanes and one.channel is None]
        if self._expecting:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            lane = self._expecting.pop(0)
            lane.connect(Channel(sock, self._context, server=False))
            self._selector.register(sock, selectors.EVENT_WRITE, lambda mask: self._on_channel(lane))
        if not self._expecting:
            self._selector.unregister(self._listener)

    def _end_when_unasked(self, now: float) -> None:
        """End when no driver has come for as long as attempts are kept."""
        if any(one.joined for one in self._lanes):
            self._unasked_since = now
            return
        keep = self._services[-1].welcome.keep if self._services else _UNASKED
        if self._options.once and now - self._unasked_since > keep:
            self._report(f"no driver came for {keep:g} s")
            self._over = True

    def _try_again(self, lane: Lane, why: str) -> None:
        host, port = lane.address
        if self._options.listen:
            self._after(_SOON, lambda: self._dial(lane))
            return
        if self._options.once and self._services and not any(one.joined or one.in_hand() for one in self._lanes):
            if not self._services[-1].over:
                self._report(f"the driver of {self._services[-1].welcome.run} is gone: {why}")
            self._over = True
        elif why != self._trouble:
            self._trouble = why
            self._report(f"no driver at {host}:{port}: {why}; trying again until there is one")
        self._delay = min(_LATE, self._delay * 1.5)
        self._after(self._delay * random.uniform(0.8, 1.2), lambda: self._dial(lane))

    def _lose(self, lane: Lane, why: str) -> None:
        """The connection is over: by plan when the lane is ``leaving``. Ask again with what is in hand, or afresh."""
        channel, leaving = lane.channel, lane.leaving
        if channel is not None:
            if channel.sock.fileno() >= 0:
                self._selector.unregister(channel.sock)
            lane.disconnect()
        if leaving or lane.continued() is None or self._services[-1].over:
            self._dismiss(lane)
        if self._options.once and self._services and self._services[-1].over:
            self._over = all(one.link is None for one in self._lanes)
        if lane.link is None and len(self._lanes) > 1:
            self._lanes.remove(lane)
            self._fill()
        elif leaving:
            self._after(0.0, lambda: self._dial(lane))
        else:
            self._try_again(lane, why)

    def _fill(self) -> None:
        """Have a connection for each worker, and one more than the driver uses."""
        joined = [lane for lane in self._lanes if lane.joined]
        if not joined:
            return
        spare = self._options.spare and all(lane.used for lane in joined)
        spare = spare and len(self._lanes) < self._options.workers + SPARE_WORKERS
        for _ in range(max(self._options.workers - len(self._lanes), int(spare and len(joined) == len(self._lanes)))):
            self._add_lane()

    def _arm(self, lane: Lane) -> None:
        """Ask to be told when more can be sent, while something waits."""
        channel = lane.channel
        if channel is None or channel.closed or lane.connecting:
            return
        mask = selectors.EVENT_READ | (selectors.EVENT_WRITE if channel.out else 0)
        key = self._selector.get_key(channel.sock)
        if key.events != mask:
            self._selector.modify(channel.sock, mask, key.data)

    def _on_channel(self, lane: Lane) -> None:
        channel = lane.channel
        assert channel is not None
        try:
            if lane.connecting:
                code = channel.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code:
                    self._lose(lane, os.strerror(code).lower())
                    return
                lane.connecting = False
                channel.start()
            data = channel.receive()
            if data:
                lane.heard = time.monotonic()
            if channel.ready and not lane.introduced:
                self._introduce(lane, channel)
            for body in lane.frames.feed(data):
                self._on_frame(lane, body)
                if lane.channel is not channel or self._over:
                    return
        except (ChannelError, HandshakeError, ValueError, msgspec.MsgspecError) as error:
            self._lose(lane, f"what listens there {error}" if isinstance(error, ChannelError) else str(error))
            return
        if channel.closed or (lane.leaving and not channel.out):
            self._lose(lane, "the connection was closed")
        else:
            self._arm(lane)

    def _introduce(self, lane: Lane, channel: Channel) -> None:
        """Say who this is, once it is certain who listens."""
        host, port = lane.address
        if not is_driver(channel.certificate(), self._options.token):
            if self._options.listen:  # somebody else who found the port
                raise HandshakeError("what connected is not the driver that this joining token is for")
            self._fail(
                RefusedError(
                    f"what listens at {host}:{port} is not the driver that this joining token is for; give this worker "
                    "the token that the driver there wrote"
                )
            )
            return
        lane.introduced = True
        capacity = self._options.capacity
        hello = Hello(
            protocol=PROTOCOL,
            headrace=__version__,
            python=platform.python_version(),
            secret=self._options.token.secret,
            owner=self._owner,
            worker=lane.name,
            host=self._options.host or host_name(),
            pid=os.getpid(),
            process=lane.link.where[1] if lane.link is not None else 0,
            cpu=capacity.cpu,
            memory=capacity.memory,
            gpu=capacity.gpu,
            in_hand=lane.in_hand(),
            continued=lane.continued(),
        )
        channel.send(framed(handshake.write(hello)))

    def _on_frame(self, lane: Lane, body: bytes) -> None:
        if not lane.joined:
            self._on_answer(lane, body)
            return
        message = from_driver(body)
        if isinstance(message, Heartbeat):
            lane.acknowledged(message.received)
            return
        lane.arrived(len(body))
        if isinstance(message, Bye):
            self._on_bye(lane)
        else:
            first = not lane.used
            if isinstance(message, Begin) and message.lock is not None and lane.is_fresh():
                self._unwatch_link(lane)
                lane.equip_in(message.lock)
            lane.obey(message)
            if lane.link is not None and (lane.blocked or isinstance(message, Begin)):
                self._watch_link(lane)
            if first:
                self._fill()

    def _on_answer(self, lane: Lane, body: bytes) -> None:
        answer = handshake.read_answer(body)
        host, port = lane.address
        if isinstance(answer, Refused):
            if answer.final:
                self._fail(RefusedError(f"the driver at {host}:{port} refused this worker: {answer.reason}"))
            else:
                self._lose(lane, answer.reason)
            return
        if not self._services or self._services[-1].welcome.session != answer.session:
            try:
                self._begin_session(answer, lane.address)
            except HeadraceError as error:
                self._fail(error)
                return
        lane.join()
        self._address = lane.address
        self._delay, self._trouble = _SOON, ""
        if answer.received >= 0 and lane.continued() is not None:
            lane.go_on(answer.received)
        else:
            self._start_anew(lane, answer)
        if lane.link is None:
            lane.equip(self._services[-1])
        if lane.is_ended():
            self._renew(lane)
        else:
            self._watch_link(lane)
        self._fill()

    def _start_anew(self, lane: Lane, answer: Welcome) -> None:
        """Nothing of earlier connections counts but the attempts that the driver adopts."""
        lane.start_anew(answer.session)
        if lane.link is not None:
            self._unwatch_link(lane)
            dropped = lane.hand_over(answer.adopted)
            if dropped:
                self._report(
                    f"{dropped} attempt{'s' * (dropped != 1)} in hand had been given up or given to another worker of "
                    f"{answer.run}; what came of {'them' if dropped > 1 else 'it'} here is dropped"
                )

    # --- sessions ---------------------------------------------------------------------------------------------

    def _begin_session(self, welcome: Welcome, address: tuple[str, int]) -> None:
        executor = self._open_place(welcome)
        executor.start()
        service = Service(welcome, executor)
        self._services.append(service)
        self._selector.register(executor.fileno(), selectors.EVENT_READ, lambda _: self._on_exits(service))
        number = self._options.workers
        self._report(f"joined {welcome.run} at {address[0]}:{address[1]} with {number} worker{'s' * (number != 1)}")
        self._close_unused()

    def _close_unused(self) -> None:
        """Close executors of earlier sessions that no worker is left of."""
        for service in self._services[:-1]:
            if not service.lanes:
                self._selector.unregister(service.executor.fileno())
                service.executor.close()
                self._services.remove(service)

    def _on_bye(self, lane: Lane) -> None:
        """The driver has no more use for this worker: its run is over. It waits until the process has ended."""
        service = lane.service
        lane.leaving = True
        if service is not None and not service.over:
            service.over = True
            self._address = self._options.address  # where the next run may begin to listen
            self._report(f"{service.welcome.run} is over")
        if not lane.release():
            self._lose(lane, "its run is over")

    def _dismiss(self, lane: Lane) -> None:
        self._unwatch_link(lane)
        lane.abandon()
        self._close_unused()

    # --- workers ----------------------------------------------------------------------------------------------

    def _watch_link(self, lane: Lane) -> None:
        assert lane.link is not None
        mask = selectors.EVENT_READ | (selectors.EVENT_WRITE if lane.blocked else 0)
        fd = lane.link.fileno()
        key = self._selector.get_map().get(fd)
        if key is None:
            self._selector.register(fd, mask, lambda mask: self._on_link(lane, mask))
        elif key.events != mask:
            self._selector.modify(fd, mask, key.data)

    def _unwatch_link(self, lane: Lane) -> None:
        if lane.link is not None and lane.link.fileno() in self._selector.get_map():
            self._selector.unregister(lane.link.fileno())

    def _on_link(self, lane: Lane, mask: int) -> None:
        if lane.link is None:
            return
        if mask & selectors.EVENT_WRITE and lane.link.flush():
            lane.blocked = False
            self._watch_link(lane)
        if mask & selectors.EVENT_READ and not lane.hear():
            self._unwatch_link(lane)  # its exit follows

    def _on_exits(self, service: Service) -> None:
        for ended in service.executor.exits():
            lane = next((one for one in service.lanes if one.link is ended.link), None)
            if lane is None:
                ended.link.close()
            else:
                self._on_exit(lane, ended)
        if service not in self._services:  # this was its last worker
            return
        if self._selector.get_map().get(service.executor.fileno()) is None:  # a new server has a new descriptor
            self._selector.register(service.executor.fileno(), selectors.EVENT_READ, lambda _: self._on_exits(service))

    def _on_exit(self, lane: Lane, ended: WorkerExit) -> None:
        self._unwatch_link(lane)
        if lane.end(ended):
            self._renew(lane)

    def _renew(self, lane: Lane) -> None:
        """The driver knows that the process of a worker has ended: have another one, unless its run is over."""
        lane.dismiss()  # after which its descriptor may be another's
        if lane.leaving or self._services[-1].over:
            if lane.leaving and lane.channel is not None and not lane.channel.out:
                self._lose(lane, "")
        else:
            lane.equip(self._services[-1])
            self._watch_link(lane)
        self._close_unused()

    def _close(self) -> None:
        for lane in self._lanes:
            if lane.channel is not None:
                lane.channel.close()
        for service in self._services:
            service.executor.close()
            for lane in service.lanes:
                if lane.link is not None:
                    lane.link.close()
        if self._listener is not None:
            self._listener.close()
        self._selector.close()
