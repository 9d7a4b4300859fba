"""Workers in pods. See ``docs/kubernetes-design.md``.

``KubernetesExecutor`` is the executor of workers that join from elsewhere, with a hand that makes the pods they run in:
``PodKeeper`` decides which pods there should be, ``ClusterApi`` makes them and tells what becomes of them.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import select
import signal
import time
from collections.abc import Sequence
from typing import Any

from headrace._base import logs
from headrace._base.open_files import allow_open_files
from headrace.engine.ports import Executor, WorkerExit, WorkerLink
from headrace.executors.kubernetes import happenings
from headrace.executors.kubernetes.api import ClusterApi
from headrace.executors.kubernetes.client import ClusterError, Kind
from headrace.executors.kubernetes.gangs import GangStarts, Member
from headrace.executors.kubernetes.group_objects import GroupObjects, failure_of, refusal_in
from headrace.executors.kubernetes.groups import PodGroups
from headrace.executors.kubernetes.kinds import PodKinds
from headrace.executors.kubernetes.manifests import CONTAINER, DOMAIN, LISTEN, PodPlace, pod_of
from headrace.executors.kubernetes.manifests import token_of as secret_with_token
from headrace.executors.kubernetes.notices import Notices
from headrace.executors.kubernetes.options import KubernetesOptions
from headrace.executors.kubernetes.podlink import PodLink
from headrace.executors.kubernetes.pods import Action, Create, Delete, Fail, GiveBack, PodKeeper
from headrace.executors.kubernetes.podstates import PodStates
from headrace.executors.kubernetes.probing import ProbeOptions, probe_options
from headrace.executors.kubernetes.queues import WORKLOAD, owners_of, reason_of_workload
from headrace.executors.kubernetes.reaching import ReachedExecutor
from headrace.executors.kubernetes.reasons import Reason
from headrace.executors.kubernetes.session_objects import session_of
from headrace.executors.remote.executor import RemoteOptions, machine_of
from headrace.executors.remote.link import Peer, RemoteLink
from headrace.model.handshake import HELLO_SECONDS, HandshakeError, Hello
from headrace.model.pod_history import PodHistory
from headrace.model.policy import Resources, StepPolicy
from headrace.model.workers import Capacity, GangSeat, ServedRun, WorkerSpec
from headrace.worker.join_token import Identity

_log = logs.Log("kubernetes")
#: What a place offers that has no limits: more than any cluster has.
_PLENTY = Resources(cpu=1e6, memory=1 << 60, gpu=4096)
#: Seconds that a pod has to end which is not needed any more.
_GRACE = 10.0
#: Seconds after which it is said why a pod does not work yet.
_SLOW = 5.0
#: How sentences about a pod or a group of this run begin.
_OF_A_POD = re.compile(r"^(pod|group) \S+")


class KubernetesExecutor(ReachedExecutor):
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
        self._keeper = PodKeeper(options.rules, self._name_of)
        self._kinds = PodKinds(place, options, self._locks)
        self._groups = PodGroups(self._keeper)
        self._objects = GroupObjects(options.gangs, queued=options.queued)
        self._idle: dict[WorkerSpec, dict[RemoteLink, None]] = {}
        self._at: dict[str, RemoteLink] = {}  # links that have the worker of a pod
        self._idle_since: dict[str, float] = {}  # when the last attempt in a pod ended, whose link is over
        self._states = PodStates(place)
        self._leftovers: dict[str, float] = {}  # pods of earlier sessions, and when they were found
        self._last_words: dict[str, str] = {}  # by kind, of the last pod that ended before it worked
        self._sharing = False
        self._notices = Notices(place, options.notify)
        self._session = ""
        self._api: ClusterApi | None = None
        self._pods: PodPlace | None = None
        self._away = False
        self._running: set[str] = set()  # pods whose worker is to be reached by forwarding
        self._forwarded: set[str] = set()
        self._offer()

    def _offer(self) -> None:
        workers = self._keeper.ceiling
        if self.capacity.workers != workers:
            self.capacity = Capacity(self._most or _PLENTY, workers=workers, largest=self._most)
            if self._timer >= 0:
                os.eventfd_write(self._news, 1)

    def _name_of(self, number: int) -> str:
        assert self._pods is not None
        return f"{self._pods.prefix}-{number}"

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
        if self._keeper.is_full() and any(one.spec != spec for one in self._waiting):
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
        if seat is not None and self._objects.used:
            return self._provide_in_group(spec, seat, now)
        link = self._new_link(spec)
        self._await_worker(link)
        if link.peer is None and not link.over:
            link.waits = True
            self._keeper.wait(spec.image, self._kinds[spec.image].resources, now)
        self._obey(self._keeper.react(now))
        return link

    def _provide_in_group(self, spec: WorkerSpec, seat: GangSeat, now: float) -> RemoteLink:
        spec, kind = self._kinds.group(spec, seat.size)
        self._groups.kinds[spec.image] = kind
        link = self._new_link(spec)
        link.seat = seat
        self._waiting.add(link, self._need(link))
        self._groups.enlist(link, spec.image, now)
        self._seat()
        self._obey(self._keeper.react(now))
        return link

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
        if self._at.get(link.machine) is link:
            del self._at[link.machine]
            self._idle_since[link.machine] = link.idle_since
            if link.peer is not None:  # the connection to its pod is lost, or given up
                unit = self._groups.unit_of(link.machine)
                self._keeper.left(unit, time.monotonic(), ended.lost or "its worker is gone")

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
            self._keeper.left(self._groups.unit_of(name), time.monotonic(), "its worker is gone")

    def _count(self) -> None:
        """What a place offers does not depend on who has joined."""

    # --- the cluster ------------------------------------------------------------------------------------------

    def _on_readable(self, fd: int) -> None:
        assert self._api is not None
        for happening in self._api.events():
            self._take(happening, time.monotonic())

    def serve(self) -> None:
        """See ``LinkOwner``."""
        super().serve()
        self._obey(self._keeper.react(time.monotonic()))

    def exits(self) -> list[WorkerExit]:
        """Workers that ended since the last call."""
        self.serve()
        self._share()
        ended, self._ended = self._ended, []
        return ended

    def _look(self, now: float) -> None:
        super()._look(now)
        self._reap(now)
        for name in self._keeper.slow(now - _SLOW):
            reason = self._states.reason_of(name)
            if reason.fault:
                self._notices.give(reason.text, f"a {self._groups.noun(name)} {reason.text}")
        for name in self._states.unexplained:
            self._settle(name, now)
        self._obey(self._keeper.tick(now))
        for name in self._running - self._forwarded:
            self._forward(name)

    def _share(self) -> None:
        """Where a link waits for a pod and a worker of the same spec has nothing to do, let that have the attempt.

        Whoever asks for ``surplus`` gives what comes back to idle workers.
        """
        for spec, idle in self._idle.items() if self._sharing and self._waiting else ():
            waiting = self._waiting.of(spec.image) if idle and spec.image not in self._groups.kinds else ()
            for link in list(itertools.islice((one for one in waiting if one.spec == spec), len(idle))):
                idle.popitem()
                self._give_back(link)

    def _give_back(self, link: RemoteLink) -> None:
        self._waiting.discard(link)
        link.end(WorkerExit(link, -signal.SIGKILL, False, begun=False))

    def _take(self, happening: happenings.Happening, now: float) -> None:
        match happening:
            case happenings.PodSeen(pod):
                self._on_pod(pod, now)
            case happenings.PodGone(name, _, pod):
                if self._keeper.knows(self._groups.unit_of(name)):
                    self._end_pod(name, self._states.end_of(name, pod), now)
                self._forget_pod(name)
            case happenings.CreateRefused(name, code, reason, message, retry_after):
                self._on_refusal(name, self._objects.reason_of_refusal(code, reason, message), retry_after, now)
            case happenings.ObjectSeen(kind, manifest):
                self._on_object(kind, manifest, now)
            case happenings.ObjectGone(kind, name):
                if kind != WORKLOAD and self._keeper.knows(name):  # what that stood for says itself how it goes on
                    self._end_group(name, Reason("was deleted, by hand or by another program", True, "cluster"), now)
            case happenings.ObjectEvent(name, event):
                unit, refusal = self._groups.unit_of(name), refusal_in(event)
                if refusal is not None and self._keeper.is_starting(unit):  # else of a pod in place of a lost one
                    self._hear_of(unit, refusal, now)
            case happenings.PodEvent(name, event):
                if self._states.add_event(name, event):
                    self._look_at(self._groups.unit_of(name), now)
            case happenings.PodLog(name, _, text, _):
                unit = self._groups.unit_of(name)
                if self._keeper.knows(unit):
                    self._last_words[self._keeper.kind_of(unit)] = text
                    self._end_pod(name, self._states.end_of(name), now)
                    self._drop_object(name)
            case happenings.Away(_, why):
                self._away = True
                self._notices.give(why, f"{why}. What runs goes on; pods are made when it answers again")
            case happenings.Back():
                self._away = False
                self._notices.give("back", "the API server answers again")
            case happenings.ForwardEnded(name, why):
                self._forwarded.discard(name)
                _log.debug("pod.unreached", f"the connection to pod {name} ended: {why or 'closed'}", pod=name)

    def _on_pod(self, pod: dict[str, Any], now: float) -> None:
        name, phase = pod["metadata"]["name"], (pod.get("status") or {}).get("phase")
        self._states.seen(pod)
        unit = self._groups.unit_of(name)
        if not self._keeper.knows(unit):
            if pod["metadata"]["labels"].get(f"{DOMAIN}/session") != self._session:
                self._leftovers.setdefault(name, now)
            elif phase in ("Succeeded", "Failed"):
                self._drop_object(name)
        elif phase not in ("Succeeded", "Failed"):
            if self._keeper.is_starting(unit):
                self._look_at(unit, now)
        elif self._keeper.is_starting(unit) and self._states.end_of(name).started:
            assert self._api is not None
            container = self._groups.form_of(unit).container if self._groups.is_group(unit) else CONTAINER
            self._api.fetch_log(name, container)  # its end follows
        else:
            self._settle(name, now)
        if self._settings.forward and phase == "Running":
            self._running.add(name)
            self._forward(name)

    def _forward(self, name: str) -> None:
        """Connect to the worker in a pod, which may need a moment to listen."""
        wanted = self._keeper.expects(self._groups.unit_of(name)) or name in self._leftovers
        if name in self._forwarded or self._away or not wanted:
            return
        assert self._api is not None
        self._forwarded.add(name)
        self._take_in(self._api.forward(name, LISTEN, HELLO_SECONDS / 2), f"pod {name}")

    def _look_at(self, name: str, now: float) -> None:
        """See why a pod, or a group, does not run yet."""
        reason = self._states.reason_of(name)
        if not reason.text or not self._keeper.is_starting(name):
            return
        self._keeper.said(name, f"{self._groups.noun(name)} {name} {reason.text}", lacks_room=reason.lacks_room)
        self._keeper.queued(name, now, held=reason.fault == "queue")
        if reason.final and reason.fault == "place":
            self._keeper.hopeless(name, now)

    def _settle(self, name: str, now: float) -> None:
        """A pod has ended: if it had attempts in hand, as soon as it is known why."""
        if name not in self._at or not self._states.is_unexplained(name, now):
            self._end_pod(name, self._states.end_of(name), now)
            self._drop_object(name)

    def _end_pod(self, name: str, reason: Reason, now: float) -> None:
        why = f"pod {name} {reason.text}"
        link = self._at.get(name)
        self._states.histories.note(name, f"it {reason.text}", end=True)
        unit = self._groups.unit_of(name)
        self._keeper.ended(unit, now, why, by_itself=reason.fault != "cluster")
        if link is not None:
            link.collect()
            if reason.fault in ("attempt", "memory"):
                code = -signal.SIGKILL if reason.exit_code is None else reason.exit_code
                link.give_up(WorkerExit(link, code, reason.fault == "memory", why))
            else:
                link.lose(why)
                self._notices.give(reason.text, f"{why}; what it had in hand is done again")
        for peer in list(self._joined.of(name)):
            self._close(peer, "")
        if unit != name:
            self._take_apart(unit, f"{why}, and its group ends with it")

    def _drop_object(self, name: str) -> None:
        """Delete a pod that has ended."""
        assert self._api is not None
        self._forget_pod(name)
        self._api.delete_pod(name, 0.0)

    def _forget_pod(self, name: str) -> None:
        self._states.gone(name)
        self._running.discard(name)
        self._leftovers.pop(name, None)
        self._idle_since.pop(name, None)

    def _reap(self, now: float) -> None:
        """Delete pods of earlier sessions that have not come back with an attempt."""
        for name, found in list(self._leftovers.items()):
            if now - found > (self._options.adopt if self._wanted else 0.0):
                del self._leftovers[name]
                assert self._api is not None
                self._api.delete_pod(name, 0.0)

    # --- groups -----------------------------------------------------------------------------------------------

    def _take_apart(self, unit: str, why: str) -> None:
        """Delete a group, and let all go that have its pods."""
        assert self._api is not None
        if not self._groups.is_group(unit):
            return
        pods = self._groups.pods_of(unit)
        self._groups.ended(unit)
        self._states.gone(unit)
        for link in [one for name, one in self._at.items() if self._groups.unit_of(name) == unit]:
            link.collect()
            link.lose(why)
        for peer in [one for one in self._joined if self._groups.unit_of(machine_of(one)) == unit]:
            self._close(peer, "")
        self._objects.delete(self._api, unit, pods)

    def _end_group(self, unit: str, reason: Reason, now: float) -> None:
        """A group as a whole has ended."""
        why = f"group {unit} {reason.text}"
        self._keeper.ended(unit, now, why, by_itself=reason.fault != "cluster")
        self._take_apart(unit, why)

    def _on_refusal(self, name: str, refusal: Reason, wait: float, now: float) -> None:
        """A pod or a group was not created."""
        unit = self._groups.unit_of(name)
        why = f"{self._groups.noun(unit)} {unit} {refusal.text}"
        if not refusal.final:  # else the tasks that wait for it say so
            self._notices.give(refusal.text, f"a {self._groups.noun(unit)} {refusal.text}")
        self._keeper.refused(unit, now, why, quota=not refusal.final, wait=wait)
        self._take_apart(unit, why)

    def _on_object(self, kind: Kind, manifest: dict[str, Any], now: float) -> None:
        """What is watched beside pods: groups, and what Kueue says of groups and of pods."""
        assert self._api is not None
        about = manifest["metadata"]
        if kind == WORKLOAD:
            for unit in {self._groups.unit_of(one) for one in owners_of(manifest)}:
                self._hear_of(unit, reason_of_workload(manifest), now)
        elif (about.get("labels") or {}).get(f"{DOMAIN}/session") != self._session:
            self._objects.delete_object(self._api, kind, about["name"])  # no gang goes on without its driver
        elif self._keeper.is_starting(about["name"]) and not self._states.has_members(about["name"]):
            failed = failure_of(manifest)
            if failed is not None:
                self._end_group(about["name"], failed, now)

    def _hear_of(self, unit: str, reason: Reason | None, now: float) -> None:
        """Something is said of a group, or of a pod in a queue."""
        if self._keeper.knows(unit):
            self._states.note(unit, reason)
            self._look_at(unit, now)

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


_: type[Executor] = KubernetesExecutor
