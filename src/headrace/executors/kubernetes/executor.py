"""Workers in pods. See ``docs/kubernetes-design.md``.

``KubernetesExecutor`` is the executor of workers that join from elsewhere, with a hand that makes the pods they run in:
``PodKeeper`` decides which pods there should be, ``ClusterApi`` makes them and tells what becomes of them.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import re
import select
import signal
import time
from collections.abc import Sequence
from typing import Any

from headrace._base import logs
from headrace._base.open_files import allow_open_files
from headrace.engine.ports import Executor, WorkerExit, WorkerLink
from headrace.executors.kubernetes.api import ClusterApi
from headrace.executors.kubernetes.client import ClusterError, Kind
from headrace.executors.kubernetes.gangs import GangStarts, Member
from headrace.executors.kubernetes.kinds import PodKinds
from headrace.executors.kubernetes.manifests import DOMAIN, pod_of
from headrace.executors.kubernetes.manifests import token_of as secret_with_token
from headrace.executors.kubernetes.options import KubernetesOptions
from headrace.executors.kubernetes.podlink import PodLink
from headrace.executors.kubernetes.pods import Action, Create, Delete, Fail, GiveBack
from headrace.executors.kubernetes.probing import ProbeOptions, hinted, probe_options
from headrace.executors.kubernetes.session_objects import session_of
from headrace.executors.kubernetes.turns import GangTurns
from headrace.executors.kubernetes.watched import GONE, SLOW, WatchedExecutor
from headrace.executors.remote.executor import RemoteOptions, machine_of
from headrace.executors.remote.link import Peer, RemoteLink
from headrace.model.handshake import HandshakeError, Hello
from headrace.model.pod_history import PodHistory
from headrace.model.policy import Resources, StepPolicy
from headrace.model.workers import Capacity, GangSeat, ServedRun, WorkerSpec
from headrace.worker.join_token import Identity

_log = logs.Log("kubernetes")
#: What a place offers that has no limits: more than any cluster has.
_PLENTY = Resources(cpu=1e6, memory=1 << 60, gpu=4096)
#: Seconds that a pod has to end which is not needed any more.
_GRACE = 10.0
#: The part of ``start_timeout`` for which a gang holds pods while it lacks room for others.
_PATIENCE = 10
#: How sentences about a pod or a group of this run begin.
_OF_A_POD = re.compile(r"^(pod|group) \S+")


class KubernetesExecutor(WatchedExecutor):
    """See the module. ``address`` is where this driver listens for the workers."""

    def __init__(
        self,
        place: str,
        address: tuple[str, int],
        identity: Identity,
        remote: RemoteOptions,
        options: KubernetesOptions,
    ) -> None:
        super().__init__(place, address, identity, remote, options)
        self._most = options.rules.resources
        self.gangs = GangStarts(self._address_in_cluster)
        self._kinds = PodKinds(place, options, self._locks)
        self._idle: dict[WorkerSpec, dict[RemoteLink, None]] = {}
        self._sharing = False
        rules = options.rules
        self._turns: GangTurns[PodLink] = GangTurns(
            rules.start_timeout / _PATIENCE, rules.start_timeout, random.random, self._keeper.room
        )
        self._offer()

    def _offer(self) -> None:
        workers = self._keeper.ceiling
        if self.capacity.workers != workers:
            self.capacity = Capacity(self._most or _PLENTY, workers=workers, largest=self._most)
            if self._timer >= 0:
                os.eventfd_write(self._news, 1)

    # --- the run ----------------------------------------------------------------------------------------------

    def introduce(self, run: ServedRun) -> str:
        """See ``Executor``. The cluster is asked whether it takes pods of this user.

        Raises:
            UsageError: it does not; the message says what to do.
        """
        address = super().introduce(run)
        allow_open_files(500 + 3 * self._settings.rules.pods)  # a connection each, and two files of its link
        self._pods = session_of(run, self.place, address, self._settings)
        self._groups.named(self._pods.prefix)
        self._session = str(run.session)
        labels, watched = self._pods.run_labels, self._objects.watched()
        self._api = ClusterApi(self._settings.access, self._settings.namespace, labels, watched)
        self._api.start()
        self._api.client.apply(secret_with_token(self._pods.token, self._identity.token.write(), self._pods))
        self._api.reap(self._pods.labels[f"{DOMAIN}/key"])
        self._epoll.register(self._api.fileno(), select.EPOLLIN)
        return address

    def spec(self, policy: StepPolicy) -> WorkerSpec:
        """See ``Executor``."""
        return self._kinds.spec(policy)

    @property
    def probe(self) -> ProbeOptions:
        """How images of steps are looked into."""
        return probe_options(self.place, self._settings)

    def surplus(self, spec: WorkerSpec, idle: Sequence[float]) -> int:
        """See ``Executor``: those that are idle for too long, but for a floor; all where others wait for their room."""
        self._sharing = True
        if self._keeper.is_full() and any(one.spec != spec or _is_in_gang(one) for one in self._waiting):
            return len(idle)
        rules = self._settings.rules
        late = sum(seconds >= rules.idle for seconds in idle)
        return max(0, min(late, self._keeper.working(spec.image) - rules.floor))

    # --- links ------------------------------------------------------------------------------------------------

    def _new_link(self, spec: WorkerSpec) -> PodLink:
        link = PodLink(self, spec, self._locks.get(spec.environment))
        link.gangs, link.repeats = self.gangs, self._settings.repeats
        return link

    def provide(self, spec: WorkerSpec, step: str = "", seat: GangSeat | None = None) -> RemoteLink:
        """A worker in a warm pod of the kind that the spec names, or in the next one that joins."""
        now = time.monotonic()
        if seat is None:
            link = self._new_link(spec)
            self._ask(link, now)
        else:
            link = self._provide_in_gang(spec, step, seat, now)
        self._obey(self._keeper.react(now))
        return link

    def _ask(self, link: PodLink, now: float) -> None:
        """Let a link wait for a pod."""
        self._await_worker(link)
        if link.peer is None and not link.over:
            link.waits = True
            self._keeper.wait(link.spec.image, self._kinds[link.spec.image].resources, now)

    def _provide_in_gang(self, spec: WorkerSpec, step: str, seat: GangSeat, now: float) -> PodLink:
        if self._objects.used:
            spec, kind = self._kinds.group(spec, seat.size)
            self._groups.kinds[spec.image] = kind
        link = self._new_link(spec)
        link.seat = seat
        if self._settings.queued:  # the queue lets gangs in as a whole
            self._ask_in_gang(link, now)
        else:
            self._turns.enlist(link, spec.image, step, seat, now)
            self._take_turns(now)
        return link

    def _ask_in_gang(self, link: PodLink, now: float) -> None:
        if not self._objects.used:
            self._ask(link, now)
            return
        self._waiting.add(link, self._need(link))
        self._groups.enlist(link, link.spec.image, now)
        self._seat()

    def _take_turns(self, now: float) -> None:
        """Let gangs ask for their pods whose turn it is."""
        for link in self._turns.admitted(now):
            if not link.over:
                self._ask_in_gang(link, now)

    def _give_back_gang(self, now: float) -> None:
        """Let a gang go that holds pods and lacks room for others."""
        back = self._turns.given_back(now)
        if back is None:
            return
        why = self._keeper.shortage(back.kind) or "the cluster does not say why"
        for link in back.members:
            ended = WorkerExit(link, -signal.SIGKILL, False, begun=False)
            if back.late:
                late = f"its gang did not get all its pods within {self._settings.rules.start_timeout:g} s: {why}"
                ended = WorkerExit(link, -signal.SIGKILL, False, refused=late)
            self._waiting.discard(link)
            link.give_up(ended)
        self._keeper.release(back.kind, now, "its gang lacks room for others")
        if not (back.late and back.members):
            text = f"a gang gives back the pods that it has, since there is no room for others: {why}"
            self._notices.give("a gang gives back", f"{text}. It asks again in {back.pause:.0f} s")

    def _seat(self) -> None:
        """Let the nodes of gangs wait for the workers of the groups that these were given."""
        for node, place in self._groups.given():
            if isinstance(node, PodLink) and node in self._waiting:
                self._waiting.discard(node)
                self._waiting.add(node, self._need(node), place)
                if (peer := self._free.first(place)) is not None:
                    self._attach(node, peer)

    def _need(self, link: RemoteLink) -> str:
        """See ``RemoteExecutor``: a kind of pods, or of groups."""
        return link.spec.image

    def _offers(self, peer: Peer) -> tuple[str, ...]:
        return (self._groups.place_of(machine_of(peer)) or self._keeper.kind_of(machine_of(peer)),)

    def lacks(self, link: RemoteLink) -> str:
        """See ``LinkOwner``: what its pod waits for."""
        assert isinstance(link, PodLink)
        if self._turns.waits(link):
            return "its gang waits for its turn, since there was no room for all pods of gangs"
        return _OF_A_POD.sub(r"a \1", self._keeper.hindrance(link.spec.image)) or "a pod is being created"

    def pod_histories(self) -> list[PodHistory]:
        """See ``Executor``."""
        return self._states.histories.take()

    def stop(self, link: WorkerLink, grace: float) -> None:
        """See ``Executor``."""
        super().stop(link, grace)
        self._note_served(link)

    def _note_served(self, link: WorkerLink) -> None:
        """A link waits for no pod any more."""
        assert isinstance(link, PodLink)
        if link.waits:
            link.waits = False
            self._keeper.unwait(link.spec.image)
        self._groups.leave(link)

    def on_attached(self, link: RemoteLink) -> None:
        """See ``LinkOwner``."""
        super().on_attached(link)
        self._at[link.machine] = link
        if self._groups.has(link.machine):
            self._groups.taken(link.machine)
            return
        self._note_served(link)
        self._keeper.taken(link.machine, time.monotonic())

    def address_of(self, link: WorkerLink) -> str:
        """See ``Executor``: what stands for the address of the pod until all of the gang have theirs."""
        assert isinstance(link, PodLink)
        return self.gangs.promise(link)

    def _address_in_cluster(self, link: Member) -> str:
        assert isinstance(link, PodLink)
        return self._states.address_of(link.machine) or super().address_of(link)

    def on_busy(self, link: RemoteLink) -> None:
        """See ``LinkOwner``."""
        self._keeper.active += 1
        idle = self._idle.get(link.spec)
        if idle is not None:
            idle.pop(link, None)

    def on_idle(self, link: RemoteLink) -> None:
        """See ``LinkOwner``."""
        assert isinstance(link, PodLink)
        self._keeper.active -= 1
        link.idle_since = time.monotonic()
        if link.peer is not None and not link.over and link.seat is None:
            self._idle.setdefault(link.spec, {})[link] = None
            if self._waiting:
                os.eventfd_write(self._news, 1)  # it may take what one of these carries

    def on_end(self, link: RemoteLink, ended: WorkerExit) -> None:
        """See ``LinkOwner``."""
        super().on_end(link, ended)
        self._idle.get(link.spec, {}).pop(link, None)
        self._note_served(link)
        assert isinstance(link, PodLink)
        self.gangs.gone(link)
        self._turns.leave(link, time.monotonic())
        if self._at.get(link.machine) is link:
            del self._at[link.machine]
            self._idle_since[link.machine] = link.idle_since
            if link.peer is not None:  # the connection to its pod is lost, or given up
                self._worker_left(link.machine, ended.lost or GONE)

    def on_free(self, peer: Peer) -> None:
        """See ``LinkOwner``."""
        name, now = machine_of(peer), time.monotonic()
        since = self._idle_since.pop(name, 0.0) or now
        if self._groups.has(name):
            self._groups.freed(name, since, now)
        else:
            self._keeper.freed(name, since)
        super().on_free(peer)
        self._seat()

    # --- workers that join ------------------------------------------------------------------------------------

    def _check_host(self, hello: Hello) -> None:
        if self._keeper.expects(self._groups.unit_of(hello.owner)):
            return
        if not self._states.is_member(hello.owner) and any(
            (one.session, one.token) in self._wanted for one in hello.in_hand
        ):
            kind = self._states.kind_of(hello.owner)
            need = self._kinds[kind].resources if kind in self._kinds else Resources(0.0)
            self._leftovers.pop(hello.owner, None)
            self._keeper.found(hello.owner, kind, need, time.monotonic())
            return
        raise HandshakeError(
            f"is in pod {hello.owner!r}, which this run has not made",
            "this run has made no pod of that name, or has given it up",
        )

    def _welcome_peer(self, peer: Peer, welcome: Any) -> None:
        name, now = machine_of(peer), time.monotonic()
        if name not in self._at:
            if self._groups.has(name):
                self._groups.freed(name, now, now)
            else:
                self._keeper.joined(name, now)
            self._states.joined(name)
        super()._welcome_peer(peer, welcome)
        self._seat()

    def _close(self, peer: Peer, why: str) -> None:
        super()._close(peer, why)
        name = machine_of(peer)
        if name and name not in self._at and not self._joined.of(name):
            self._worker_left(name, GONE)

    def _count(self) -> None:
        """What a place offers does not depend on who has joined."""

    def serve(self) -> None:
        """See ``LinkOwner``."""
        super().serve()
        self._obey(self._keeper.react(time.monotonic()))

    def exits(self) -> list[WorkerExit]:
        """Workers that ended since the last call."""
        self.serve()
        self._share()
        self._take_turns(time.monotonic())
        ended, self._ended = self._ended, []
        return ended

    def _look(self, now: float) -> None:
        super()._look(now)
        self._reap(now)
        for name in self._keeper.slow(now - SLOW):
            self._notice(name, self._states.reason_of(name))
        for name in self._states.unexplained:
            self._settle(name, now)
        self._end_cut_off(now)
        self._give_back_gang(now)
        self._obey(self._keeper.tick(now))
        for name in list(self._unreached):
            self._forward(name)

    def _share(self) -> None:
        """Where a link waits for a pod and a worker of the same spec has nothing to do, let that have the attempt.

        Whoever asks for ``surplus`` gives what comes back to idle workers.
        """
        for spec, idle in self._idle.items() if self._sharing and self._waiting else ():
            waiting = self._waiting.of(spec.image) if idle and spec.image not in self._groups.kinds else ()
            alike = (one for one in waiting if one.spec == spec and not _is_in_gang(one))
            for link in list(itertools.islice(alike, len(idle))):
                idle.popitem()
                self._give_back(link)

    def _give_back(self, link: RemoteLink) -> None:
        self._waiting.discard(link)
        link.end(WorkerExit(link, -signal.SIGKILL, False, begun=False))

    # --- what the keeper wants ----------------------------------------------------------------------------------

    def _obey(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Create(name, kind):
                    assert self._api is not None
                    assert self._pods is not None
                    if kind in self._groups.kinds:
                        self._groups.made(name, kind)
                        self._objects.create(self._api, name, self._groups.kinds[kind], self._pods)
                    else:
                        self._api.create_pod(pod_of(name, self._kinds[kind], self._pods))
                case Delete(name, why):
                    self._delete(name, why)
                case GiveBack(kind, count):
                    for link in self._groups.longest_waiting(kind, count, self._waiting.of(kind)):
                        self._give_back(link)
                case Fail(kind, why):
                    self._fail(kind, why)
        self._offer()

    def _delete(self, name: str, why: str) -> None:
        assert self._api is not None
        _log.debug("pod.deleted", f"{self._groups.noun(name)} {name} is deleted: {why}", place=self.place, pod=name)
        if self._groups.is_group(name):
            self._take_apart(name, why)
            return
        self._states.histories.note(name, f"the run deleted it: {why}", end=True)
        for peer in [one for one in self._joined.of(name) if one.link is None]:
            self._close(peer, "")
        self._api.delete_pod(name, _GRACE)

    def _fail(self, kind: str, why: str) -> None:
        why = hinted(why, self._settings.beside, self.place)
        for link in list(self._waiting.of(kind)):
            self._waiting.discard(link)
            if kind in self._last_words and isinstance(link, PodLink):
                link.add_output(self._last_words[kind])
            link.end(WorkerExit(link, -signal.SIGKILL, False, refused=why))

    def close(self) -> None:
        """Send all workers away and delete the pods."""
        if self._timer < 0:
            return
        super().close()
        if self._api is not None:
            assert self._pods is not None
            names = {*self._keeper.names(), *self._leftovers}
            for group in [one for one in names if self._groups.is_group(one)]:
                names.discard(group)
                self._take_apart(group, "")
            self._api.delete_pods(names, self._pods.run_labels, 1.0)
            with contextlib.suppress(ClusterError):
                self._api.client.delete(Kind("v1", "Secret"), self._pods.token)
            self._api.close()


def _is_in_gang(link: RemoteLink) -> bool:
    """Whether a link is to have a worker of its own: members of gangs do not get those of attempts that have ended."""
    return isinstance(link, PodLink) and link.seat is not None


_: type[Executor] = KubernetesExecutor
