"""What is known of the pods of a run: their state as it was last seen, and Kubernetes' events about them; and what
others say of the groups that they are in, and of those that have no pods yet.

Of pods that work little is kept, since there may be thousands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.executors.kubernetes.group_manifests import GROUP, GROUP_SIZE
from headrace.executors.kubernetes.manifests import DOMAIN
from headrace.executors.kubernetes.pod_events import PodHistories
from headrace.executors.kubernetes.reasons import Reason, explains_end, reason_of

_EVENTS = 20
#: Seconds to wait for an event that says why a pod has ended, if its status does not.
_EXPLAINED = 2.0
_NOTHING = Reason("", False, "")


class PodStates:
    """See the module."""

    def __init__(self, place: str) -> None:
        self.histories = PodHistories(place)
        self._pods: dict[str, Mapping[str, Any]] = {}
        self._events: dict[str, list[Mapping[str, Any]]] = {}
        self._addresses: dict[str, str] = {}
        self._kinds: dict[str, str] = {}
        self._reasons: dict[str, Reason] = {}  # of pods that have not changed since
        self._working: set[str] = set()
        self._unexplained: dict[str, float] = {}  # pods that ended without a reason, and since when that is known
        self._members: dict[str, set[str]] = {}  # pods by their groups
        self._group_of: dict[str, str] = {}
        self._notes: dict[str, Reason] = {}  # by groups, and by pods in a queue

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
            whole = len(members) >= int((about.get("annotations") or {}).get(GROUP_SIZE, 0))
            if whole and self._notes.get(labels[GROUP], _NOTHING).fault == "quota":
                self.note(labels[GROUP], None)  # there was room for all
            self._group_of[name] = labels[GROUP]
        if name not in self._working or about.get("deletionTimestamp") or status.get("phase") != "Running":
            self._pods[name] = pod
            self._reasons.pop(name, None)

    def joined(self, name: str) -> None:
        """The worker of a pod has joined: what was said of its start does not matter any more."""
        self._working.add(name)
        self.histories.note(name, "its worker joined the run")
        self._forget_start(name)

    def gone(self, name: str) -> None:
        """A pod is not there any more."""
        self.histories.gone(name)
        self._forget_start(name)
        self._addresses.pop(name, None)
        self._kinds.pop(name, None)
        self._working.discard(name)
        self._unexplained.pop(name, None)
        self._notes.pop(name, None)
        group = self._group_of.pop(name, "")
        members = self._members.get(group, set())
        members.discard(name)
        if group and not members:
            del self._members[group]

    def is_member(self, name: str) -> bool:
        """Whether a pod is one of a group."""
        return name in self._group_of

    def has_members(self, group: str) -> bool:
        """Whether a group has pods."""
        return bool(self._members.get(group))

    def note(self, name: str, reason: Reason | None) -> None:
        """What is said of a group, or of a pod in a queue; None: nothing any more."""
        if reason is None:
            self._notes.pop(name, None)
        else:
            self._notes[name] = reason

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
        note = self._notes.get(name)
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
        """Whether a pod has ended without a reason, which an event may still tell; ``unexplained`` has it."""
        if self.end_of(name).fault or now - self._unexplained.setdefault(name, now) > _EXPLAINED:
            self._unexplained.pop(name, None)
            return False
        return True

    @property
    def unexplained(self) -> list[str]:
        """Pods of which that is to be asked again."""
        return list(self._unexplained)

    def end_of(self, name: str, last: Mapping[str, Any] | None = None) -> Reason:
        """Why a pod has ended. ``last``: as it was when it was deleted."""
        found = self._end_of(name, last)
        note = self._notes.get(self._group_of.get(name, name))
        return note if found.fault == "cluster" and note is not None and note.fault == "cluster" else found

    def _end_of(self, name: str, last: Mapping[str, Any] | None) -> Reason:
        pod = last or self._pods.get(name)
        if pod is None:
            return Reason("was deleted", True, "cluster")
        reason = reason_of(pod, self._events.get(name, ()))
        if last is not None and reason.fault == "":
            return Reason("was deleted", reason.started, "cluster")
        return reason
