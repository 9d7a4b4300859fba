"""The driver's view of a worker in a pod."""

from __future__ import annotations

import signal
from collections.abc import Sequence

import msgspec

from headrace.engine.ports import WorkerExit
from headrace.executors.kubernetes.gangs import GangStarts
from headrace.executors.remote.link import Peer, RemoteLink
from headrace.model.messages import Cancel, Execute, Ready, ToDriver, ToWorker
from headrace.model.workers import GangSeat


class PodLink(RemoteLink):
    """A worker in a pod, or one that is waited for. Devices are counted per pod, each of which has its own.

    ``where`` names the pod, and the node that it is on.
    """

    gangs: GangStarts  # of its executor
    repeats = 0  # of its place
    seat: GangSeat | None = None  # in the gang that it is for
    waits = False  # for a pod to join
    idle_since = 0.0  # when its last attempt ended
    is_there = False  # has a worker, which knows what it is to be

    def send(self, *messages: ToWorker) -> bool:
        """See ``WorkerLink``."""
        mine = [_with_own_devices(one) if isinstance(one, Execute) and one.gpus else one for one in messages]
        if self.over or any(isinstance(one, Cancel) for one in mine) or not self.gangs.hold(self, mine):
            return super().send(*mine)
        self.note(mine)
        self.gangs.arrived(self)
        return True

    def attach(self, peer: Peer) -> None:
        """See ``RemoteLink``."""
        super().attach(peer)
        self.is_there = True
        self.gangs.arrived(self)

    def lose(self, why: str) -> None:
        """See ``RemoteLink``. That a pod is out of reach, deleted or evicted is not the fault of its attempt."""
        own = bool(self._broken)
        self.give_up(WorkerExit(self, -signal.SIGKILL, False, why, begun=own, repeats=self.repeats))

    def release(self, messages: Sequence[ToWorker]) -> None:
        """See ``Member``."""
        self.say(messages)

    def _take(self, message: ToDriver, peer: Peer) -> None:
        super()._take(message, peer)
        if isinstance(message, Ready):
            assert peer.hello is not None
            self.where = (peer.hello.host, message.pid)

    def add_output(self, text: str) -> None:
        """Let ``text`` be what its worker has printed to standard error."""
        self._outputs[1].add(self._outputs[1].end, text.encode())


def _with_own_devices(execute: Execute) -> Execute:
    return msgspec.structs.replace(execute, gpus=tuple(range(len(execute.gpus))))
