"""One worker of a worker host: its process, and its connection to the driver, each while there is one.

When the process ends, the driver is told and another one takes its place on the same connection. When the connection
breaks, the process goes on; what it says is kept, and told when the driver is back.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Protocol

from headrace.engine.ports import Executor, ProtocolError, WorkerExit, WorkerLink
from headrace.model.environments import EnvironmentLock
from headrace.model.handshake import MAX_HELLO, MOST_IN_HAND, Continued, InHand, Welcome
from headrace.model.messages import (
    MAX_FRAME,
    Begin,
    Cancel,
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
    raw_frames,
)
from headrace.model.workers import WorkerSpec
from headrace.worker.channel import Channel
from headrace.worker.message_stream import MessageStream

#: Bytes of output in one message; and bytes on the way to the driver beyond which output waits where it is.
_PIECE, _ENOUGH = 1 << 16, 1 << 18
#: Bytes of the end of what a process printed that are told when it ends, in any case.
_TAIL = 2000
#: Bytes of output that is not needed any more whose memory is given back.
_FORGOTTEN = 1 << 20
#: Bytes of memory whose change is told at once.
_NOTICED = 1 << 20
#: Bytes of an answer to ``Hello``.
_ANSWER = 16 * MAX_HELLO


class PlaceOfHost(Executor, Protocol):
    """An executor that also makes workers of environments."""

    def spec_of(self, lock: EnvironmentLock, *, isolated: bool) -> WorkerSpec:
        """What workers of the environment or image of ``lock`` are like here."""


class Service:
    """A session of a run that workers serve, and the executor that provides them."""

    def __init__(self, welcome: Welcome, executor: PlaceOfHost) -> None:
        self.welcome = welcome
        self.executor = executor
        self.lanes: set[Lane] = set()  # with a process of this executor
        self.over = False  # the driver said so


class _Attempt:
    """An attempt in the worker's hands: ``answer`` once it has ended, ``told`` once that was sent."""

    __slots__ = ("answer", "began", "session", "token", "told")

    def __init__(self, session: str, token: int, began: tuple[int, int]) -> None:
        self.session = session
        self.token = token
        self.began = began  # where its output begins
        self.answer: Done | Failed | None = None
        self.told = False


class Lane:
    """See the module. ``watch`` is called when what the lane waits for has changed."""

    def __init__(self, watch: Callable[[Lane], None]) -> None:
        self.name = os.urandom(8).hex()
        self.address = ("", 0)  # that was asked last
        self.channel: Channel | None = None
        self.frames = raw_frames(_ANSWER)
        self.connecting = self.introduced = self.joined = self.leaving = False
        self.since = self.heard = 0.0
        self.lost_at = 0.0  # when the connection broke, while something is in hand
        self.service: Service | None = None
        self.link: WorkerLink | None = None
        self.blocked = False  # whether the link keeps messages
        self.used = False  # whether the driver has asked for something
        self._begun = False  # whether what the driver says is for the process that is here now
        self._session = ""  # of the driver that it joined
        self._stream: MessageStream | None = None  # with that session
        self._memory = 0  # as it was told
        self._log_limit = 0
        self._watch = watch
        self._attempts: list[_Attempt] = []
        self._sent = [0, 0]  # where the output ends that was sent, or left out
        self._cut = [False, False]  # whether the attempt in hand printed more than is kept of it
        self._forgotten = [0, 0]  # where the output begins that is here
        self._ends = (0, 0)  # where that of the last attempt ended
        self._ended: WorkerExit | None = None

    # --- the connection ---------------------------------------------------------------------------------------

    def connect(self, channel: Channel) -> None:
        """Use ``channel``, which is not connected yet."""
        self.channel = channel
        self.frames = raw_frames(_ANSWER)
        self.connecting, self.introduced, self.joined, self.leaving = True, False, False, False
        self.since = self.heard = time.monotonic()

    def disconnect(self) -> None:
        """Let go of the connection; what was told on it may not have arrived."""
        if self.channel is not None:
            self.channel.close()
            self.channel = None
        self.joined = False
        self.lost_at = time.monotonic()

    def join(self) -> None:
        """The driver has answered."""
        self.joined = True
        self.frames.limit = MAX_FRAME

    def continued(self) -> Continued | None:
        """What the driver needs to know in order to go on where the connection broke; None if that is impossible."""
        return None if self._stream is None else Continued(self._session, self._stream.received)

    def start_anew(self, session: str) -> None:
        """Speak to a driver for which nothing of earlier connections counts."""
        self._session, self._stream = session, MessageStream()

    def go_on(self, received: int) -> None:
        """Go on where the connection broke; ``received`` messages had arrived at the driver.

        Raises:
            ValueError: that cannot be.
        """
        assert self._stream is not None
        assert self.channel is not None
        self._stream.acknowledged(received)
        self.channel.send(b"".join(self._stream.unacknowledged()))
        for one in self._attempts:
            if one.answer is not None and not one.told:
                self._tell(one, one.answer)
        if self._ended is not None:
            self._tell_end(self._ended)
        self._watch(self)

    def arrived(self, size: int) -> None:
        """A message came that is not a heartbeat."""
        assert self._stream is not None
        self._stream.arrived(size)
        if self._stream.owes():
            self.beat()

    def acknowledged(self, count: int) -> None:
        """So many messages arrived at the driver.

        Raises:
            ValueError: that cannot be.
        """
        assert self._stream is not None
        self._stream.acknowledged(count)

    def in_hand(self) -> tuple[InHand, ...]:
        """The attempts that a driver may ask for."""
        return tuple([InHand(one.session, one.token, one.began) for one in self._attempts[:MOST_IN_HAND]])

    def is_owed(self) -> bool:
        """Whether an attempt is in hand whose result was not told."""
        return any(not one.told for one in self._attempts)

    def is_fresh(self) -> bool:
        """Whether there is a process that nothing was asked of."""
        return self.link is not None and self._ended is None and not self._begun

    def is_ended(self) -> bool:
        """Whether the process has ended."""
        return self._ended is not None

    def _say(self, data: bytes) -> None:
        """Send a frame, now or with the next connection."""
        if self._stream is not None:
            self._stream.sent(data)
            if self.channel is not None and self.joined:
                self.channel.send(data)
                self._watch(self)

    # --- the process ------------------------------------------------------------------------------------------

    def equip(self, service: Service) -> None:
        """Have a worker that serves ``service``."""
        self.service = service
        service.lanes.add(self)
        self.link = service.executor.provide(WorkerSpec())
        self.used = self._begun = False
        self._attempts.clear()
        self._sent, self._forgotten, self._ends, self._ended = [0, 0], [0, 0], (0, 0), None
        self._cut, self._log_limit = [False, False], service.welcome.log_limit

    def equip_in(self, lock: EnvironmentLock) -> None:
        """Have a worker of an environment or image in place of the one that is there, which has done nothing yet."""
        service, before = self.service, self.link
        assert service is not None
        assert before is not None
        service.executor.stop(before, 0.0)
        self.link = service.executor.provide(service.executor.spec_of(lock, isolated=False))
        self._sent, self._forgotten, self._ends = [0, 0], [0, 0], (0, 0)

    def hand_over(self, adopted: tuple[int, ...]) -> int:
        """Tell the driver that was connected to last what came of those that it takes; returns how many it does not.

        Without any that it takes, the worker is ended.
        """
        taken = [one for one in self._attempts if one.token in adopted]
        dropped = sum(not one.told for one in self._attempts) - sum(not one.told for one in taken)
        if not taken:
            self.dismiss()
            return dropped
        self._attempts = taken
        self._sent, self._cut = list(taken[0].began), [False, False]
        for one in taken:
            if one.answer is not None:
                self._tell(one, one.answer)
        if self._ended is not None:
            self._tell_end(self._ended)
        return dropped

    def obey(self, message: ToWorker) -> None:
        """Pass a message of the driver on."""
        self._begun = self._begun or isinstance(message, Begin)
        link, service = self.link, self.service
        if link is None or service is None or self._ended is not None or not self._begun:
            return
        self.used = True
        if isinstance(message, Begin):
            return
        if isinstance(message, Cancel):
            service.executor.stop(link, message.grace)
            return
        if isinstance(message, Execute):
            self._attempts = [one for one in self._attempts if not one.told]
            self._attempts.append(_Attempt(service.welcome.session, message.token, self._ends))
        self.blocked = not link.send(message)

    def abandon(self) -> None:
        """End the process, and forget what was to be told: the driver is not expected to go on with this worker."""
        self.dismiss()
        self._stream = None

    def dismiss(self) -> None:
        """End the process, whose results are not wanted."""
        link, service = self.link, self.service
        self.link = self.service = None
        self._attempts.clear()
        if link is not None and service is not None:
            service.lanes.discard(self)
            if self._ended is None:
                service.executor.stop(link, 0.0)
            else:
                link.close()

    def release(self) -> bool:
        """End the process, and tell the driver of that; whether there is one."""
        self._attempts.clear()
        if self.link is None or self.service is None or self._ended is not None:
            return False
        self.service.executor.stop(self.link, 0.0)
        return True

    def hear(self) -> bool:
        """Pass on what the process says; False once nothing can come any more."""
        while True:
            messages = self._receive()
            if messages is None:
                return False
            if not messages:
                return True
            for message in messages:
                self._pass_on(message)

    def _receive(self) -> list[ToDriver] | None:
        assert self.link is not None
        assert self.service is not None
        try:
            return self.link.receive()
        except ProtocolError:
            self.service.executor.stop(self.link, 0.0)
            return None

    def _pass_on(self, message: ToDriver) -> None:
        if isinstance(message, Done | Failed):
            self._ends = message.usage.log_ends
            for one in self._attempts:
                if one.token == message.token:
                    one.answer = message
                    if self.joined:
                        self._tell(one, message)
                else:
                    one.began = self._ends
            return
        if isinstance(message, Handback):
            self._attempts = [one for one in self._attempts if one.token not in message.tokens]
        self._say(frame(message))
        if isinstance(message, Ready):
            self.beat()

    def _tell(self, attempt: _Attempt, answer: Done | Failed) -> None:
        """Send an answer, behind the output that belongs to it."""
        attempt.told = True
        for stream, end in enumerate(answer.usage.log_ends):
            self._send_log(stream, end, attempt.began[stream])
        self._cut = [False, False]
        self._say(frame(answer))

    def end(self, ended: WorkerExit) -> bool:
        """The process has ended; whether the driver was told."""
        self.hear()
        self._ended = ended
        if self.joined:
            self._tell_end(ended)
        return self.joined

    def _tell_end(self, ended: WorkerExit) -> None:
        for stream in (0, 1):
            end, began = ended.link.log_end(stream), self._began(stream)
            self._send_log(stream, end, began)
            if self._cut[stream]:  # the last lines may tell why it ended
                start = max(end - _TAIL, began + self._log_limit + 1)
                self._say(frame(Log(stream, start, ended.link.read_log(stream, start, end))))
        self._say(frame(Exited(ended.code, ended.out_of_memory, ended.refused)))

    # --- output -----------------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Send what was printed meanwhile, and what memory is in use, as much as the connection takes."""
        if self.link is None or self.channel is None or not self.joined or self._ended is not None:
            return
        if abs(self.link.memory() - self._memory) > _NOTICED:
            self.beat()
        for stream in (0, 1):
            end, began = self.link.log_end(stream), self._began(stream)
            self._sent[stream] = min(self._sent[stream], end)  # a step truncated it
            while self._sent[stream] < end and len(self.channel.out) < _ENOUGH:
                self._send_log(stream, min(end, self._sent[stream] + _PIECE), began)
                if self._cut[stream]:
                    self._sent[stream] = end
            self._forget(stream, end - _TAIL if self._cut[stream] else began)

    def _began(self, stream: int) -> int:
        """Where the output of the attempt in hand begins."""
        return next((one.began for one in self._attempts if one.answer is None), self._ends)[stream]

    def _send_log(self, stream: int, end: int, began: int) -> None:
        """Send the output up to ``end`` of the attempt whose output began at ``began``, as far as it is kept."""
        assert self.link is not None
        limit = began + self._log_limit
        at = max(self._sent[stream], self._forgotten[stream])
        while at < min(end, limit):
            data = self.link.read_log(stream, at, min(end, limit, at + _PIECE))
            if not data:
                break
            self._say(frame(Log(stream, at, data)))
            at += len(data)
        if end > limit and at >= limit:
            if not self._cut[stream]:
                self._say(frame(Log(stream, limit + 1, b"")))  # there is more
            self._cut[stream] = True
            at = end
        self._sent[stream] = at

    def _forget(self, stream: int, upto: int) -> None:
        """Give the memory back of output that will not be asked for."""
        assert self.link is not None
        if upto - self._forgotten[stream] > _FORGOTTEN:
            self.link.trim_log(stream, upto)
            self._forgotten[stream] = upto

    def beat(self) -> None:
        """Say that this worker is alive, and what has arrived."""
        if self.joined and self.channel is not None and self._stream is not None:
            current = next((one.token for one in self._attempts if one.answer is None), 0)
            self._memory = self.link.memory() if self.link is not None and self._ended is None else 0
            self.channel.send(frame(Heartbeat(self._memory, current, self._stream.acknowledgement())))
            self._watch(self)
