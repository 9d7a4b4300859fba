"""What becomes of pods and groups in the cluster, and what that means for workers: who has lost one, and why."""

from __future__ import annotations

import signal
import time
from typing import Any

from headrace._base import logs
from headrace.engine.ports import WorkerExit
from headrace.executors.kubernetes import happenings
from headrace.executors.kubernetes.api import ClusterApi
from headrace.executors.kubernetes.client import Kind
from headrace.executors.kubernetes.group_objects import GroupObjects, failure_of, refusal_in
from headrace.executors.kubernetes.groups import PodGroups
from headrace.executors.kubernetes.manifests import CONTAINER, DOMAIN, LISTEN, PodPlace
from headrace.executors.kubernetes.notices import Notices
from headrace.executors.kubernetes.options import KubernetesOptions
from headrace.executors.kubernetes.pods import PodKeeper
from headrace.executors.kubernetes.podstates import EXPLAINED, PodStates
from headrace.executors.kubernetes.queues import WORKLOAD, owners_of, reason_of_workload
from headrace.executors.kubernetes.reaching import ReachedExecutor
from headrace.executors.kubernetes.reasons import DELETED, Reason
from headrace.executors.remote.executor import RemoteOptions, machine_of
from headrace.executors.remote.link import RemoteLink
from headrace.model.handshake import HELLO_SECONDS
from headrace.worker.join_token import Identity

_log = logs.Log("kubernetes")
#: What is said of a pod whose worker has left without a word.
GONE = "its worker is gone"
#: Seconds after which it is said why a pod does not work yet.
SLOW = 5.0


class WatchedExecutor(ReachedExecutor):
    """An executor of workers in pods that hears of these from the cluster. Which pods there are, others decide."""

    def __init__(
        self,
        place: str,
        address: tuple[str, int],
        identity: Identity,
        remote: RemoteOptions,
        options: KubernetesOptions,
    ) -> None:
        super().__init__(place, address, identity, remote, options)
        self._keeper = PodKeeper(options.rules, self._name_of)
        self._groups = PodGroups(self._keeper)
        self._objects = GroupObjects(options.gangs, queued=options.queued)
        self._at: dict[str, RemoteLink] = {}  # links that have the worker of a pod
        self._idle_since: dict[str, float] = {}  # when the last attempt in a pod ended, whose link is over
        self._states = PodStates(place, queued=options.queued)
        self._cut: dict[str, tuple[float, str]] = {}  # pods of groups whose workers are gone, since when and why
        self._leftovers: dict[str, float] = {}  # pods of earlier sessions, and when they were found
        self._last_words: dict[str, str] = {}  # by kind, of the last pod that ended before it worked
        self._notices = Notices(place, options.notify)
        self._session = ""
        self._api: ClusterApi | None = None
        self._pods: PodPlace | None = None
        self._away = False
        self._unreached: set[str] = set()  # pods that run, whose worker is to be reached by forwarding
        self._forwarded: set[str] = set()  # those with a connection

    def _name_of(self, number: int) -> str:
        assert self._pods is not None
        return f"{self._pods.prefix}-{number}"

    def _on_readable(self, fd: int) -> None:
        assert self._api is not None
        for happening in self._api.events():
            self._take(happening, time.monotonic())

    def _take(self, happening: happenings.Happening, now: float) -> None:
        match happening:
            case happenings.PodSeen(pod):
                self._on_pod(pod, now)
            case happenings.PodGone(name, _, pod):
                self._states.vanished(name, pod)
                if self._keeper.knows(self._groups.unit_of(name)):
                    self._settle(name, now)
                else:
                    self._forget_pod(name)
            case happenings.CreateRefused(name, code, reason, message, retry_after):
                self._on_refusal(name, self._objects.reason_of_refusal(code, reason, message), retry_after, now)
            case happenings.ObjectSeen(kind, manifest):
                self._on_object(kind, manifest, now)
            case happenings.ObjectGone(kind, name):
                if kind != WORKLOAD and self._keeper.knows(name):  # what that stood for says itself how it goes on
                    self._end_group(name, Reason(DELETED, True, "cluster"), now)
            case happenings.ObjectEvent(name, event):
                unit, refusal = self._groups.unit_of(name), refusal_in(event)
                if refusal is not None and self._keeper.is_starting(unit):  # else of a pod in place of a lost one
                    self._states.refused(unit, refusal)
                    self._look_at(unit, now)
            case happenings.PodEvent(name, event):
                if self._states.add_event(name, event):
                    self._look_at(self._groups.unit_of(name), now)
            case happenings.PodLog(name, _, text, _):
                unit = self._groups.unit_of(name)
                if self._keeper.knows(unit):
                    self._last_words[self._keeper.kind_of(unit)] = text
                    self._end_pod(name, now)
            case happenings.Away(_, why):
                self._away = True
                self._notices.give(why, f"{why}. What runs goes on; pods are made when it answers again")
            case happenings.Back():
                self._away = False
                self._notices.give("back", "the API server answers again")
            case happenings.ForwardEnded(name, why):
                self._unreached.update(self._forwarded & {name})
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
                nodes = self._states.nodes_of(unit)
                self._keeper.placed(unit, partly=nodes > 0, wholly=nodes >= self._groups.size_of(unit))
                self._look_at(unit, now)
        elif self._keeper.is_starting(unit) and self._states.end_of(name).started:
            assert self._api is not None
            container = self._groups.form_of(unit).container if self._groups.is_group(unit) else CONTAINER
            self._api.fetch_log(name, container)  # its end follows
        else:
            self._settle(name, now)
        if self._settings.forward and phase == "Running" and name not in self._forwarded:
            self._unreached.add(name)
            self._forward(name)

    def _forward(self, name: str) -> None:
        """Connect to the worker in a pod, which may need a moment to listen."""
        wanted = self._keeper.expects(self._groups.unit_of(name)) or name in self._leftovers
        if self._away or not wanted:
            return
        assert self._api is not None
        self._unreached.discard(name)
        self._forwarded.add(name)
        self._take_in(self._api.forward(name, LISTEN, HELLO_SECONDS / 2), f"pod {name}")

    def _look_at(self, name: str, now: float) -> None:
        """See why a pod, or a group, does not run yet."""
        reason = self._states.reason_of(name)
        if not reason.text or not self._keeper.is_starting(name):
            return
        self._keeper.said(name, f"{self._groups.noun(name)} {name} {reason.text}", lacks_room=reason.lacks_room)
        self._keeper.queued(name, now, held=reason.fault == "queue")
        if self._keeper.is_slow(name, now - SLOW):
            self._notice(name, reason)
        if reason.final and reason.fault == "place":
            self._keeper.hopeless(name, now)

    def _notice(self, name: str, reason: Reason) -> None:
        """Say why a pod, or a group, takes long to start."""
        if reason.fault:
            self._notices.give(reason.text, f"a {self._groups.noun(name)} {reason.text}")

    def _settle(self, name: str, now: float) -> None:
        """A pod has ended, or is gone: if that ends attempts, as soon as it is known why."""
        name = self._states.first_lost(name)
        if not self._with(name) or not self._states.is_unexplained(name, now):
            self._end_pod(name, now)

    def _with(self, name: str) -> list[RemoteLink]:
        """The links that end with a pod: its own, and those of its group."""
        unit = self._groups.unit_of(name)
        if unit == name:
            return [self._at[name]] if name in self._at else []
        return [one for pod, one in self._at.items() if self._groups.unit_of(pod) == unit]

    def _end_pod(self, name: str, now: float) -> None:
        reason, links, link = self._states.end_of(name), self._with(name), self._at.get(name)
        why, unit = f"pod {name} {reason.text}", self._groups.unit_of(name)
        self._states.histories.note(name, f"it {reason.text}", end=True)
        self._keeper.ended(unit, now, why, by_itself=reason.fault != "cluster")
        if link is not None:
            link.collect()
        if link is not None and reason.fault in ("attempt", "memory"):
            code = -signal.SIGKILL if reason.exit_code is None else reason.exit_code
            link.give_up(WorkerExit(link, code, reason.fault == "memory", why))
        elif links:
            if link is not None:
                link.lose(why)
            self._notices.give(reason.text, f"{why}; what it had in hand is done again")
        for peer in list(self._joined.of(name)):
            self._close(peer, "")
        self._drop_object(name)
        if unit != name:
            self._take_apart(unit, f"{why}, and its group ends with it")

    def _drop_object(self, name: str) -> None:
        """Delete a pod that has ended, unless it is gone."""
        assert self._api is not None
        if self._states.is_there(name):
            self._api.delete_pod(name, 0.0)
        self._forget_pod(name)

    def _forget_pod(self, name: str) -> None:
        self._states.gone(name)
        self._unreached.discard(name)
        self._forwarded.discard(name)
        self._leftovers.pop(name, None)
        self._idle_since.pop(name, None)

    def _reap(self, now: float) -> None:
        """Delete pods of earlier sessions that have not come back with an attempt."""
        for name, found in list(self._leftovers.items()):
            if now - found > (self._options.adopt if self._wanted else 0.0):
                del self._leftovers[name]
                assert self._api is not None
                self._api.delete_pod(name, 0.0)

    def _worker_left(self, name: str, why: str) -> None:
        """The connection to the worker of a pod is lost for good, so the pod is of no use. A group ends with it, and
        that its pod was lost may be heard a moment later, which is then the reason.
        """
        now = time.monotonic()
        if self._groups.has(name):
            self._cut.setdefault(name, (now, why))
        else:
            self._keeper.left(name, now, why)

    def _end_cut_off(self, now: float) -> None:
        for name, (since, why) in list(self._cut.items()):
            unit = self._groups.unit_of(name)
            if self._joined.of(name) or not self._keeper.expects(unit):  # it came back, or its group has ended
                del self._cut[name]
            elif now - since > EXPLAINED:
                del self._cut[name]
                if self._states.is_lost(name):
                    self._settle(name, now)
                else:
                    self._keeper.left(unit, now, why)

    # --- groups -----------------------------------------------------------------------------------------------

    def _take_apart(self, unit: str, why: str) -> None:
        """Delete a group, and let all go that have its pods."""
        assert self._api is not None
        if not self._groups.is_group(unit):
            return
        pods = self._groups.pods_of(unit)
        self._groups.ended(unit)
        for name in [one for one in self._states.members(unit) if not self._states.is_there(one)]:
            self._forget_pod(name)
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
                if self._keeper.knows(unit):
                    self._states.queue_says(unit, reason_of_workload(manifest))
                    self._look_at(unit, now)
        elif (about.get("labels") or {}).get(f"{DOMAIN}/session") != self._session:
            self._objects.delete_object(self._api, kind, about["name"])  # no gang goes on without its driver
        elif self._keeper.is_starting(about["name"]) and not self._states.members(about["name"]):
            failed = failure_of(manifest)
            if failed is not None:
                self._end_group(about["name"], failed, now)
