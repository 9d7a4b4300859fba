"""Workers in pods. See ``docs/kubernetes-design.md``.

``KubernetesExecutor`` is the executor of workers that join from elsewhere, with a hand that makes the pods they run in:
``PodKeeper`` decides which pods there should be, ``ClusterApi`` makes them and tells what becomes of them.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from headrace._base import logs
from headrace.engine.ports import Executor, WorkerExit, WorkerLink
from headrace.executors.kubernetes.access import Access
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
from headrace.executors.kubernetes.manifests import (
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
from headrace.executors.kubernetes.pods import Action, Create, Delete, Fail, GiveBack, PodKeeper, PodRules
from headrace.executors.kubernetes.probing import ProbeOptions
from headrace.executors.remote.executor import RemoteExecutor, RemoteOptions, machine_of
from headrace.executors.remote.link import Peer, RemoteLink
from headrace.model.errors import UsageError
from headrace.model.handshake import HELLO_SECONDS, HandshakeError, Hello
from headrace.model.messages import Execute, ToWorker
from headrace.model.pods import PodSettings, merge
from headrace.model.policy import Resources, StepPolicy
from headrace.model.workers import Capacity, ServedRun, WorkerSpec
from headrace.worker.join_token import Identity

_log = logs.Log("kubernetes")
#: What a place offers that has no limits: more than any cluster has.
_PLENTY = Resources(cpu=1e6, memory=1 << 60, gpu=4096)
#: Seconds that a pod has to end which is not needed any more.
_GRACE = 10.0
#: Policies of steps whose specs are kept.
_KNOWN = 1_000


class KubernetesOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How pods are made. ``reached`` is the host at which pods find this driver (empty: where it listens). With
    ``forward`` they need not find it: the driver comes to them, through the API server.

    ``image`` is that of steps which name none; ``pod``, ``secret`` and ``variables`` are those of the place. ``baked``
    are images of environments by the first digits of their digests.
    """

    access: Access
    namespace: str = ""
    reached: str = ""
    forward: bool = False
    image: str = ""
    pod: PodSettings = PodSettings()
    secret: str = ""
    variables: Mapping[str, str] = {}
    baked: Mapping[str, str] = {}
    rules: PodRules
    owner: Mapping[str, Any] | None = None


class PodLink(RemoteLink):
    """A worker in a pod, or one that is waited for. Devices are counted per pod, each of which has its own."""

    waits = False  # for a pod to join
    idle_since = 0.0  # when its last attempt ended

    def send(self, *messages: ToWorker) -> bool:
        """See ``WorkerLink``."""
        mine = [_with_own_devices(one) if isinstance(one, Execute) and one.gpus else one for one in messages]
        return super().send(*mine)


def _with_own_devices(execute: Execute) -> Execute:
    return msgspec.structs.replace(execute, gpus=tuple(range(len(execute.gpus))))


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
        self._keeper = PodKeeper(options.rules, self._name_of)
        self._kinds: dict[str, PodKind] = {}
        self._specs: dict[int, tuple[StepPolicy, WorkerSpec]] = {}  # by the identity of the policy
        self._idle: dict[WorkerSpec, dict[RemoteLink, None]] = {}
        self._at: dict[str, RemoteLink] = {}  # links that have the worker of a pod
        self._idle_since: dict[str, float] = {}  # when the last attempt in a pod ended, whose link is over
        self._seen: dict[str, dict[str, Any]] = {}  # pods that have not begun to work, as they were last seen
        self._events: dict[str, list[dict[str, Any]]] = {}
        self._api: ClusterApi | None = None
        self._pods: PodPlace | None = None
        self._away = ""
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
        if not self._settings.forward:
            super()._listen()

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
        self._pods = PodPlace(
            prefix=f"{name}-{unique}-{run.session}",
            labels={**labels, f"{DOMAIN}/session": str(run.session), f"{DOMAIN}/place": label_of(self.place)},
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
        self._epoll.register(self._api.fileno(), 1)
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
        waiting = {one.spec for one in self._waiting} - {spec}
        if waiting and self._keeper.is_full():
            return len(idle)
        rules = self._settings.rules
        late = sum(seconds >= rules.idle for seconds in idle)
        return max(0, min(late, self._keeper.working(spec.image) - rules.floor))

    # --- links ------------------------------------------------------------------------------------------------

    def _new_link(self, spec: WorkerSpec) -> PodLink:
        return PodLink(self, spec, self._locks.get(spec.environment))

    def provide(self, spec: WorkerSpec, step: str = "") -> RemoteLink:
        """A worker in a warm pod of the kind that the spec names, or in the next one that joins."""
        now = time.monotonic()
        kind = self._kinds[spec.image]
        link = self._new_link(spec)
        link.waits = True
        self._keeper.wait(spec.image, kind.resources, now)
        self._await_worker(link)
        self._obey(self._keeper.react(now))
        return link

    def _takes(self, link: RemoteLink, peer: Peer) -> bool:
        return self._keeper.kind_of(machine_of(peer)) == link.spec.image

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
        if not self._keeper.expects(hello.owner):
            raise HandshakeError(
                f"is in pod {hello.owner!r}, which this run has not made",
                "this run has made no pod of that name, or has given it up",
            )

    def _welcome_peer(self, peer: Peer, welcome: Any) -> None:
        name = machine_of(peer)
        if name not in self._at:
            self._keeper.joined(name, time.monotonic())
            self._seen.pop(name, None)
            self._events.pop(name, None)
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
        self._obey(self._keeper.tick(now))
        self._forward_again()

    def _share(self) -> None:
        """Where a link waits for a pod and a worker of the same spec has nothing to do, let that have the attempt."""
        for link in self._waiting[:] if self._idle else ():
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
                self._on_gone_pod(name, pod, now)
            case CreateRefused(name, code, _, message, retry_after):
                quota = code == 403 and "exceeded quota" in message
                why = f"the cluster refused pod {name}: {message}"
                self._keeper.refused(name, now, why, quota=quota, wait=retry_after)
            case PodEvent(name, event):
                if name in self._seen:
                    self._events.setdefault(name, []).append(event)
                    self._tell_why(name)
            case Away(_, why):
                self._away = why
                _log.warning("cluster.away", f"place {self.place}: {why}; what runs goes on", place=self.place)
            case Back():
                self._away = ""
                _log.info("cluster.back", f"place {self.place}: the API server answers again", place=self.place)
            case ForwardEnded(name, why):
                self._forwarded.discard(name)
                _log.debug("pod.unreached", f"the connection to pod {name} ended: {why or 'closed'}", pod=name)
            case PodLog():
                pass

    def _on_pod(self, pod: dict[str, Any], now: float) -> None:
        name, status = pod["metadata"]["name"], pod.get("status") or {}
        if not self._keeper.knows(name):
            return
        if status.get("phase") in ("Succeeded", "Failed"):
            assert self._api is not None
            self._end_pod(name, pod, now)
            self._api.delete_pod(name, 0.0)
        elif status.get("phase") == "Running" and self._settings.forward:
            self._running.add(name)
            self._forward(name)
        if self._keeper.is_starting(name):
            self._seen[name] = pod
            self._tell_why(name)

    def _forward(self, name: str) -> None:
        """Connect to the worker in a pod, which may need a moment to listen."""
        if name in self._forwarded or self._away or not self._keeper.expects(name):
            return
        assert self._api is not None
        self._forwarded.add(name)
        self._take_in(self._api.forward(name, LISTEN, HELLO_SECONDS / 2), f"pod {name}")

    def _forward_again(self) -> None:
        for name in self._running - self._forwarded:
            self._forward(name)

    def _tell_why(self, name: str) -> None:
        self._keeper.said(name, _sentence(self._seen[name], self._events.get(name, [])))

    def _on_gone_pod(self, name: str, pod: dict[str, Any] | None, now: float) -> None:
        if self._keeper.knows(name):
            self._end_pod(name, pod or self._seen.get(name), now)

    def _end_pod(self, name: str, pod: dict[str, Any] | None, now: float) -> None:
        why = f"pod {name} {_end_of(pod)}"
        link = self._at.get(name)
        self._keeper.ended(name, now, why)
        self._running.discard(name)
        self._seen.pop(name, None)
        self._events.pop(name, None)
        if link is not None:
            link.collect()
            link.give_up(WorkerExit(link, -signal.SIGKILL, False, why, begun=False))
        for peer in [one for one in self._peers.values() if machine_of(one) == name]:
            self._close(peer, "")

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
        for peer in [one for one in self._peers.values() if machine_of(one) == name and one.link is None]:
            self._close(peer, "")
        self._api.delete_pod(name, _GRACE)

    def _fail(self, kind: str, why: str) -> None:
        for link in [one for one in self._waiting if one.spec.image == kind]:
            self._waiting.remove(link)
            link.end(WorkerExit(link, -signal.SIGKILL, False, refused=why))

    def close(self) -> None:
        """Send all workers away and delete the pods."""
        if self._timer < 0:
            return
        super().close()
        if self._api is not None:
            for name in list(self._keeper.names()):
                self._api.delete_pod(name, 1.0)
            self._api.close()


def _sentence(pod: dict[str, Any], events: list[dict[str, Any]]) -> str:
    status = pod.get("status") or {}
    for one in status.get("containerStatuses") or ():
        waiting = (one.get("state") or {}).get("waiting") or {}
        if waiting.get("message"):
            return f"{waiting.get('reason')}: {waiting['message']}"
    for one in status.get("conditions") or ():
        if one.get("status") == "False" and one.get("message"):
            return f"{one.get('reason')}: {one['message']}"
    return str(status.get("phase", ""))


def _end_of(pod: dict[str, Any] | None) -> str:
    status = (pod or {}).get("status") or {}
    return f"ended ({status.get('reason') or status.get('phase') or 'deleted'})"


_: type[Executor] = KubernetesExecutor
