"""What is known of the pods of a run: their state as it was last seen, and Kubernetes' events about them; and what
others say of the groups that they are in, and of those that have no pods yet.

A group ends with the pod that it loses first, and the cluster then takes the others: why that first one was lost is
why all were. What is heard of a pod, of its group and of a queue comes by several watches, in any order.

Of pods that work little is kept, since there may be thousands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.executors.kubernetes.group_manifests import GROUP, GROUP_SIZE
from headrace.executors.kubernetes.manifests import DOMAIN
from headrace.executors.kubernetes.pod_events import PodHistories
from headrace.executors.kubernetes.reasons import DELETED, Reason, explains_end, reason_of

_EVENTS = 20
#: Seconds to wait for what says why a pod has ended, if its status does not.
EXPLAINED = 2.0


class PodStates:
    """See the module. ``queued``: a queue of the cluster lets pods in, and may take them back."""

    def __init__(self, place: str, *, queued: bool = False) -> None:
        self.histories = PodHistories(place)
        self._queued = queued
        self._pods: dict[str, Mapping[str, Any]] = {}
        self._events: dict[str, list[Mapping[str, Any]]] = {}
        self._addresses: dict[str, str] = {}
        self._kinds: dict[str, str] = {}
        self._reasons: dict[str, Reason] = {}  # of pods that have not changed since
        self._working: set[str] = set()
        self._unexplained: dict[str, float] = {}  # pods that ended without a reason, and since when that is known
        self._members: dict[str, set[str]] = {}  # pods by their groups
        self._group_of: dict[str, str] = {}
        self._refusals: dict[str, Reason] = {}  # by groups, why there are not all of their pods
        self._queues: dict[str, Reason] = {}  # what a queue says, by groups and single pods
        self._first_lost: dict[str, str] = {}  # by groups, the first pod that was deleted or ended
        self._vanished: set[str] = set()  # pods that are not there any more, until it is known why

    def seen(self, pod: Mapping[str, Any]) -> None:
        """A pod is like that now."""
        about, status = pod["metadata"], pod.get("status") or {}
        name = about["name"]
        self.histories.seen(pod)
        self._addresses[name] = status.get("podIP") or ""
        labels = about.get("labels") or {}
        self._kinds[name] = labels.get(f"{DOMAIN}/kind", "")
        if GROUP in labels:
            members = self._members.setdefault(labels[GROUP], set())
            members.add(name)
            if len(members) >= int((about.get("annotations") or {}).get(GROUP_SIZE, 0)):
                self._refusals.pop(labels[GROUP], None)  # all could be created in the end
            self._group_of[name] = labels[GROUP]
            if about.get("deletionTimestamp") or status.get("phase") in ("Succeeded", "Failed"):
                self._first_lost.setdefault(labels[GROUP], name)
        if name not in self._working or about.get("deletionTimestamp") or status.get("phase") != "Running":
            self._pods[name] = pod
            self._reasons.pop(name, None)

    def joined(self, name: str) -> None:
        """The worker of a pod has joined: what was said of its start does not matter any more."""
        self._working.add(name)
        self.histories.note(name, "its worker joined the run")
        self._forget_start(name)

    def vanished(self, name: str, last: Mapping[str, Any] | None) -> None:
        """A pod is not there any more; it was like ``last`` when it was deleted (None: nobody saw that)."""
        self._vanished.add(name)
        if last is not None:
            self._pods[name] = last
            self._reasons.pop(name, None)

    def is_there(self, name: str) -> bool:
        """Whether a pod may still be there."""
        return name not in self._vanished

    def is_lost(self, name: str) -> bool:
        """Whether a pod, or another of its group, was deleted or has ended."""
        return name in self._vanished or self._group_of.get(name, "") in self._first_lost

    def first_lost(self, name: str) -> str:
        """The pod whose end is why another one has ended: the first that its group lost; else itself."""
        return self._first_lost.get(self._group_of.get(name, ""), name)

    def gone(self, name: str) -> None:
        """Nothing that is known of a pod, or a group, matters any more."""
        self.histories.gone(name)
        self._forget_start(name)
        self._addresses.pop(name, None)
        self._kinds.pop(name, None)
        self._working.discard(name)
        self._unexplained.pop(name, None)
        self._vanished.discard(name)
        self._refusals.pop(name, None)
        self._queues.pop(name, None)
        self._first_lost.pop(name, None)
        group = self._group_of.pop(name, "")
        members = self._members.get(group, set())
        members.discard(name)
        if group and not members:
            self._members.pop(group, None)
            self._first_lost.pop(group, None)

    def is_member(self, name: str) -> bool:
        """Whether a pod is one of a group."""
        return name in self._group_of

    def nodes_of(self, name: str) -> int:
        """How many pods of a group, or whether a single one (0 or 1), have a node."""
        pods = self._members.get(name) or (name,)
        return sum(
            one in self._working or bool((self._pods.get(one) or {}).get("spec", {}).get("nodeName")) for one in pods
        )

    def members(self, group: str) -> list[str]:
        """The pods that a group has."""
        return list(self._members.get(group, ()))

    def refused(self, group: str, reason: Reason) -> None:
        """Why a pod of a group cannot be created; that is forgotten once all of them are there."""
        self._refusals[group] = reason

    def queue_says(self, name: str, reason: Reason | None) -> None:
        """What a queue says of a group, or of a single pod; None: nothing any more."""
        if reason is None:
            self._queues.pop(name, None)
        else:
            self._queues[name] = reason

    def _forget_start(self, name: str) -> None:
        self._pods.pop(name, None)
        self._events.pop(name, None)
        self._reasons.pop(name, None)

    def add_event(self, name: str, event: Mapping[str, Any]) -> bool:
        """Note what Kubernetes says about a pod; whether that may matter."""
        self.histories.add_event(name, event)
        if name in self._working and not explains_end(event):
            return False
        events = self._events.setdefault(name, [])
        events.append(event)
        del events[:-_EVENTS]
        self._reasons.pop(name, None)
        return name in self._pods

    def address_of(self, name: str) -> str:
        """Where other pods reach a pod; empty while that is not known."""
        return self._addresses.get(name, "")

    def kind_of(self, name: str) -> str:
        """The kind of a pod, as its label says."""
        return self._kinds.get(name, "")

    def reason_of(self, name: str) -> Reason:
        """Why a pod, or a group, is as it is."""
        note = self._queues.get(name) or self._refusals.get(name)
        members = [self._of_pod(one) for one in self._members.get(name, ())]
        found = [one for one in members or [self._of_pod(name)] if one.fault]
        first = min(found, key=lambda one: (not one.final, one.text), default=None)
        if note is not None and (first is None or first.fault == "queue"):
            return note
        return first or (min(members, key=lambda one: one.started) if members else self._of_pod(name))

    def _of_pod(self, name: str) -> Reason:
        if name not in self._reasons:
            self._reasons[name] = reason_of(self._pods.get(name) or {}, self._events.get(name, ()))
        return self._reasons[name]

    def is_unexplained(self, name: str, now: float) -> bool:
        """Whether a pod has ended, and an event or a queue may still tell why; then ``unexplained`` has it."""
        end = self.end_of(name)
        is_explained = end.fault and not (self._queued and end.text == DELETED)
        if is_explained or now - self._unexplained.setdefault(name, now) > EXPLAINED:
            self._unexplained.pop(name, None)
            return False
        return True

    @property
    def unexplained(self) -> list[str]:
        """Pods of which that is to be asked again."""
        return list(self._unexplained)

    def end_of(self, name: str) -> Reason:
        """Why a pod has ended."""
        pod = self._pods.get(name)
        found = reason_of(pod, self._events.get(name, ())) if pod is not None else Reason(DELETED, True, "cluster")
        if name in self._vanished and not found.fault:
            found = Reason(DELETED, found.started, "cluster")
        queue = self._queues.get(self._group_of.get(name, name))
        return queue if queue is not None and queue.fault == found.fault == "cluster" else found
