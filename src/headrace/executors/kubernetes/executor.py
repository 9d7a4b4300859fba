"""Workers in pods. See ``docs/kubernetes-design.md``.

``KubernetesExecutor`` is the executor of workers that join from elsewhere, with a hand that makes the pods they run in:
``PodKeeper`` decides which pods there should be, ``ClusterApi`` makes them and tells what becomes of them.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headrace._base import logs
from headrace.engine.ports import Executor, WorkerExit, WorkerLink
from headrace.executors.kubernetes.api import (
    Away,
    Back,
    ClusterApi,
    CreateRefused,
    ForwardEnded,
    Happening,
    PodEvent,
    PodGone,
    PodLog,
    PodSeen,
)
from headrace.executors.kubernetes.client import ClusterError, Kind
from headrace.executors.kubernetes.gangs import GangStarts, Member
from headrace.executors.kubernetes.manifests import (
    CONTAINER,
    DOMAIN,
    LISTEN,
    PodKind,
    PodPlace,
    dns_label,
    label_of,
    pod_of,
    rounded,
)
from headrace.executors.kubernetes.manifests import token_of as secret_with_token
from headrace.executors.kubernetes.options import KubernetesOptions
from headrace.executors.kubernetes.podlink import PodLink
from headrace.executors.kubernetes.pods import Action, Create, Delete, Fail, GiveBack, PodKeeper
from headrace.executors.kubernetes.podstates import PodStates
from headrace.executors.kubernetes.probing import ProbeOptions
from headrace.executors.kubernetes.reasons import Reason, reason_of_refusal
from headrace.executors.remote.executor import RemoteExecutor, RemoteOptions, machine_of
from headrace.executors.remote.link import Peer, RemoteLink
from headrace.model.errors import UsageError
from headrace.model.handshake import HELLO_SECONDS, HandshakeError, Hello
from headrace.model.pod_history import PodHistory
from headrace.model.pods import merge
from headrace.model.policy import Resources, StepPolicy
from headrace.model.workers import Capacity, ServedRun, WorkerSpec
from headrace.worker.join_token import Identity

_log = logs.Log("kubernetes")
#: What a place offers that has no limits: more than any cluster has.
_PLENTY = Resources(cpu=1e6, memory=1 << 60, gpu=4096)
#: Seconds that a pod has to end which is not needed any more.
_GRACE = 10.0
#: Seconds after which it is said why a pod does not work yet.
_SLOW = 5.0
#: Seconds after which the same notice is given again.
_AGAIN = 60.0
#: How sentences about a pod of this run begin.
_OF_A_POD = re.compile(r"^pod \S+")
#: Policies of steps whose specs are kept.
_KNOWN = 1_000


class KubernetesExecutor(RemoteExecutor):
    """See the module. ``address`` is where this driver listens for the workers."""

    def __init__(
        self,
        place: str,
        address: tuple[str, int],
        identity: Identity,
        remote: RemoteOptions,
        options: KubernetesOptions,
    ) -> None:
        super().__init__(place, address, identity, remote)
        self._settings = options
        self._most = options.rules.resources
        self.gangs = GangStarts(self._address_in_cluster)
        self._keeper = PodKeeper(options.rules, self._name_of)
        self._kinds: dict[str, PodKind] = {}
        self._specs: dict[int, tuple[StepPolicy, WorkerSpec]] = {}  # by the identity of the policy
        self._idle: dict[WorkerSpec, dict[RemoteLink, None]] = {}
        self._at: dict[str, RemoteLink] = {}  # links that have the worker of a pod
        self._idle_since: dict[str, float] = {}  # when the last attempt in a pod ended, whose link is over
        self._states = PodStates(place)
        self._leftovers: dict[str, float] = {}  # pods of earlier sessions, and when they were found
        self._last_words: dict[str, str] = {}  # by kind, of the last pod that ended before it worked
        self._sharing = False
        self._told: dict[str, float] = {}  # notices, and when they were given
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

    def _listen(self) -> None:
        """Where no port is set, listen at the one of last time, so that pods of a killed driver find the next one."""
        if self._settings.forward:
            return
        host, port = self.address
        file = Path(self._settings.port_file) if self._settings.port_file and not port else None
        if file is not None:
            with contextlib.suppress(OSError, ValueError):
                self.address = host, int(file.read_text())
        try:
            super()._listen()
        except UsageError:
            if port or not self.address[1]:
                raise
            self.address = host, 0  # another run listens there
            super()._listen()
        if file is not None:
            with contextlib.suppress(OSError):
                file.parent.mkdir(0o700, parents=True, exist_ok=True)
                file.write_text(str(self.address[1]))

    def _reached_at(self) -> str:
        if self._settings.forward:
            return ""
        if not self._settings.reached:
            return super()._reached_at()
        host = self._settings.reached
        return f"[{host}]:{self.address[1]}" if ":" in host else f"{host}:{self.address[1]}"

    def introduce(self, run: ServedRun) -> str:
        """See ``Executor``. The cluster is asked whether it takes pods of this user.

        Raises:
            UsageError: it does not; the message says what to do.
        """
        address = super().introduce(run)
        name = dns_label(run.name.replace("/", "-"), 40)
        unique = dns_label(run.key, 9)[-8:]
        labels = {
            "app.kubernetes.io/managed-by": "headrace",
            f"{DOMAIN}/run": label_of(run.name),
            f"{DOMAIN}/key": unique,
        }
        token = f"{name}-{unique}-join"
        self._session = str(run.session)
        self._pods = PodPlace(
            prefix=f"{name}-{unique}-{run.session}",
            labels={**labels, f"{DOMAIN}/session": self._session, f"{DOMAIN}/place": label_of(self.place)},
            annotations={f"{DOMAIN}/run": run.name},
            address=address,
            token=token,
            secret=self._settings.secret,
            variables=self._settings.variables,
            owner=self._settings.owner,
        )
        self._api = ClusterApi(self._settings.access, self._settings.namespace, labels)
        self._api.start()
        self._api.client.apply(secret_with_token(token, self._identity.token.write(), self._pods))
        self._api.reap(unique)
        self._epoll.register(self._api.fileno(), select.EPOLLIN)
        return address

    def spec(self, policy: StepPolicy) -> WorkerSpec:
        """See ``Executor``."""
        known = self._specs.get(id(policy))
        if known is not None and known[0] is policy:
            return known[1]
        lock = policy.lock
        environment = ""
        within = policy.image
        if lock is not None and lock.python:
            lock = lock.baked(self._settings.baked)
            environment = lock.digest.hex()
            self._locks[environment] = lock
        if lock is not None and (not within or "@" in lock.image):
            within = lock.image
        if not self._settings.image:
            raise UsageError(
                f"place {self.place!r} has no image: set image of [tool.headrace.places.{self.place}] to an image that "
                "has Headrace"
            )
        kind = PodKind(
            image=self._settings.image,
            within=within,
            python=bool(within and environment),
            resources=rounded(policy.resources),
            settings=merge(self._settings.pod, policy.pod),
        )
        name = kind.digest
        self._kinds[name] = kind
        spec = WorkerSpec(
            place=self.place, environment=environment, image=name, resources=kind.resources, isolated=policy.isolated
        )
        if len(self._specs) >= _KNOWN:
            self._specs.clear()
        self._specs[id(policy)] = policy, spec
        return spec

    @property
    def probe(self) -> ProbeOptions:
        """How images of steps are looked into."""
        told = self._settings
        return ProbeOptions(
            self.place, told.access, told.namespace, told.image, told.pod, told.rules.start_timeout, told.owner
        )

    def surplus(self, spec: WorkerSpec, idle: Sequence[float]) -> int:
        """See ``Executor``: those that are idle for too long, but for a floor; all where others wait for their room."""
        self._sharing = True
        waiting = {one.spec for one in self._waiting} - {spec}
        if waiting and self._keeper.is_full():
            return len(idle)
        rules = self._settings.rules
        late = sum(seconds >= rules.idle for seconds in idle)
        return max(0, min(late, self._keeper.working(spec.image) - rules.floor))

    # --- links ------------------------------------------------------------------------------------------------

    def _new_link(self, spec: WorkerSpec) -> PodLink:
        link = PodLink(self, spec, self._locks.get(spec.environment))
        link.gangs, link.repeats = self.gangs, self._settings.repeats
        return link

    def provide(self, spec: WorkerSpec, step: str = "") -> RemoteLink:
        """A worker in a warm pod of the kind that the spec names, or in the next one that joins."""
        now = time.monotonic()
        link = self._new_link(spec)
        self._await_worker(link)
        if link.peer is None and not link.over:
            link.waits = True
            self._keeper.wait(spec.image, self._kinds[spec.image].resources, now)
        self._obey(self._keeper.react(now))
        return link

    def _takes(self, link: RemoteLink, peer: Peer) -> bool:
        return self._keeper.kind_of(machine_of(peer)) == link.spec.image

    def lacks(self, link: RemoteLink) -> str:
        """See ``LinkOwner``: what its pod waits for."""
        return _OF_A_POD.sub("a pod", self._keeper.hindrance(link.spec.image)) or "a pod is being created"

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

    def on_attached(self, link: RemoteLink) -> None:
        """See ``LinkOwner``."""
        super().on_attached(link)
        self._note_served(link)
        self._at[link.machine] = link
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
        if link.peer is not None and not link.over:
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
                self._keeper.left(link.machine, time.monotonic(), ended.lost or "its worker is gone")

    def on_free(self, peer: Peer) -> None:
        """See ``LinkOwner``."""
        name = machine_of(peer)
        self._keeper.freed(name, self._idle_since.pop(name, 0.0) or time.monotonic())
        super().on_free(peer)

    # --- workers that join ------------------------------------------------------------------------------------

    def _check_host(self, hello: Hello) -> None:
        if self._keeper.expects(hello.owner):
            return
        if any((one.session, one.token) in self._wanted for one in hello.in_hand):
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
        name = machine_of(peer)
        if name not in self._at:
            self._keeper.joined(name, time.monotonic())
            self._states.joined(name)
        super()._welcome_peer(peer, welcome)

    def _close(self, peer: Peer, why: str) -> None:
        super()._close(peer, why)
        name = machine_of(peer)
        if name and name not in self._at and not any(machine_of(one) == name for one in self._peers.values()):
            self._keeper.left(name, time.monotonic(), "its worker is gone")

    def _count(self) -> None:
        """What a place offers does not depend on who has joined."""

    # --- the cluster ------------------------------------------------------------------------------------------

    def _on_readable(self, fd: int) -> None:
        assert self._api is not None
        now = time.monotonic()
        for happening in self._api.events():
            self._take(happening, now)

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
                self._notice(reason.text, f"a pod {reason.text}")
        for name in self._states.unexplained:
            self._settle(name, now)
        self._obey(self._keeper.tick(now))
        for name in self._running - self._forwarded:
            self._forward(name)

    def _share(self) -> None:
        """Where a link waits for a pod and a worker of the same spec has nothing to do, let that have the attempt.

        Whoever asks for ``surplus`` gives what comes back to idle workers.
        """
        for link in self._waiting[:] if self._sharing else ():
            idle = self._idle.get(link.spec)
            if idle:
                idle.popitem()
                self._give_back(link)

    def _give_back(self, link: RemoteLink) -> None:
        self._waiting.remove(link)
        link.end(WorkerExit(link, -signal.SIGKILL, False, begun=False))

    def _take(self, happening: Happening, now: float) -> None:
        match happening:
            case PodSeen(pod):
                self._on_pod(pod, now)
            case PodGone(name, _, pod):
                if self._keeper.knows(name):
                    self._end_pod(name, self._states.end_of(name, pod), now)
                self._forget_pod(name)
            case CreateRefused(name, code, reason, message, retry_after):
                refusal = reason_of_refusal(code, reason, message)
                why, quota = f"pod {name} {refusal.text}", not refusal.final
                self._keeper.refused(name, now, why, quota=quota, wait=retry_after)
                self._notice(refusal.text, f"a pod {refusal.text}")
            case PodEvent(name, event):
                if self._states.add_event(name, event):
                    self._look_at(name, now)
            case PodLog(name, _, text, _):
                if self._keeper.knows(name):
                    self._last_words[self._keeper.kind_of(name)] = text
                    self._end_pod(name, self._states.end_of(name), now)
                    self._drop_object(name)
            case Away(_, why):
                self._away = True
                self._notice(why, f"{why}. What runs goes on; pods are made when it answers again")
            case Back():
                self._away = False
                self._notice("back", "the API server answers again")
            case ForwardEnded(name, why):
                self._forwarded.discard(name)
                _log.debug("pod.unreached", f"the connection to pod {name} ended: {why or 'closed'}", pod=name)

    def _notice(self, key: str, text: str) -> None:
        """Tell the person at the terminal, once in a while."""
        now = time.monotonic()
        if now - self._told.get(key, -_AGAIN) >= _AGAIN:
            self._told[key] = now
            self._settings.notify(f"place {self.place!r}: {text}")

    def _on_pod(self, pod: dict[str, Any], now: float) -> None:
        name, phase = pod["metadata"]["name"], (pod.get("status") or {}).get("phase")
        self._states.seen(pod)
        if not self._keeper.knows(name):
            if pod["metadata"]["labels"].get(f"{DOMAIN}/session") != self._session:
                self._leftovers.setdefault(name, now)
            elif phase in ("Succeeded", "Failed"):
                self._drop_object(name)
        elif phase not in ("Succeeded", "Failed"):
            if self._keeper.is_starting(name):
                self._look_at(name, now)
        elif self._keeper.is_starting(name) and self._states.end_of(name).started:
            assert self._api is not None
            self._api.fetch_log(name, CONTAINER)  # its end follows
        else:
            self._settle(name, now)
        if self._settings.forward and phase == "Running":
            self._running.add(name)
            self._forward(name)

    def _forward(self, name: str) -> None:
        """Connect to the worker in a pod, which may need a moment to listen."""
        if name in self._forwarded or self._away or not (self._keeper.expects(name) or name in self._leftovers):
            return
        assert self._api is not None
        self._forwarded.add(name)
        self._take_in(self._api.forward(name, LISTEN, HELLO_SECONDS / 2), f"pod {name}")

    def _look_at(self, name: str, now: float) -> None:
        """See why a pod does not run yet."""
        reason = self._states.reason_of(name)
        if not reason.text or not self._keeper.is_starting(name):
            return
        self._keeper.said(name, f"pod {name} {reason.text}")
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
        self._keeper.ended(name, now, why, by_itself=reason.fault != "cluster")
        if link is not None:
            link.collect()
            if reason.fault in ("attempt", "memory"):
                code = -signal.SIGKILL if reason.exit_code is None else reason.exit_code
                link.give_up(WorkerExit(link, code, reason.fault == "memory", why))
            else:
                link.lose(why)
                self._notice(reason.text, f"{why}; what it had in hand is done again")
        for peer in [one for one in self._peers.values() if machine_of(one) == name]:
            self._close(peer, "")

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

    # --- what the keeper wants ----------------------------------------------------------------------------------

    def _obey(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Create(name, kind):
                    assert self._api is not None
                    assert self._pods is not None
                    self._api.create_pod(pod_of(name, self._kinds[kind], self._pods))
                case Delete(name, why):
                    self._delete(name, why)
                case GiveBack(kind, count):
                    for link in [one for one in self._waiting if one.spec.image == kind][:count]:
                        self._give_back(link)
                case Fail(kind, why):
                    self._fail(kind, why)
        self._offer()

    def _delete(self, name: str, why: str) -> None:
        assert self._api is not None
        _log.debug("pod.deleted", f"pod {name} is deleted: {why}", place=self.place, pod=name)
        self._states.histories.note(name, f"the run deleted it: {why}", end=True)
        for peer in [one for one in self._peers.values() if machine_of(one) == name and one.link is None]:
            self._close(peer, "")
        self._api.delete_pod(name, _GRACE)

    def _fail(self, kind: str, why: str) -> None:
        for link in [one for one in self._waiting if one.spec.image == kind]:
            self._waiting.remove(link)
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
            for name in [*self._keeper.names(), *self._leftovers]:
                self._api.delete_pod(name, 1.0)
            with contextlib.suppress(ClusterError):
                self._api.client.delete(Kind("v1", "Secret"), self._pods.token)
            self._api.close()


_: type[Executor] = KubernetesExecutor
