"""Histories of the pods of a run: Kubernetes' events about them in plain words, and what the driver saw itself."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from headrace.executors.kubernetes.manifests import CONTAINER
from headrace.executors.kubernetes.reasons import one_line, scheduling_text
from headrace.model.pod_history import LONGEST_EVENT, MOST_EVENTS, PodEvent, PodHistory

#: Seconds between two reports of a pod of which only little things become known.
_PAUSE = 1.0
#: Seconds for which the history of a pod that is gone is kept, for events that come late.
_LATE = 5.0
_WORDS = {
    "Created": "",  # the start of the container follows
    "Started": "its container has started",
    "Pulling": "its image is being pulled",
    "Killing": "its container is being stopped",
    "Evicted": "it was evicted",
    "Preempted": "it was preempted by a pod of higher priority",
    "TaintManagerEviction": "it is to be evicted, since its node got a taint",
    "NodeNotReady": "its node is not ready",
    "NodeShutdown": "its node shuts down",
    "FailedMount": "a volume cannot be mounted yet",
    "FailedAttachVolume": "a volume cannot be attached yet",
    "FailedCreatePodSandBox": "its node cannot make its network yet",
    "OOMKilling": "a process was killed for want of memory",
    "ErrImageNeverPull": "its image is not on the node",
}
#: Events whose message says no more than the words do.
_PLAIN = frozenset({"Started", "Created", "Pulling", "Preempted", "NodeNotReady"})


def told(event: Mapping[str, Any], pod: Mapping[str, Any]) -> str:
    """An event about a pod in plain words; empty: it says nothing that others do not say."""
    reason, message = str(event.get("reason") or ""), one_line(str(event.get("message") or ""), LONGEST_EVENT)
    container = re.search(r"\{([\w.-]+)\}$", str((event.get("involvedObject") or {}).get("fieldPath") or ""))
    other = f" (container {container[1]})" if container and container[1] != CONTAINER else ""
    if reason == "Scheduled":
        node = message.rpartition(" to ")[2]
        return f"scheduled on node {node}"
    if reason == "FailedScheduling":
        return f"waits for a node: {scheduling_text(pod, message)}"
    if reason == "Pulled":
        took = re.search(r"^Successfully pulled image .*? in ([\d.]+\w+)", message)
        return f"its image was pulled in {took[1]}{other}" if took else f"its image is on the node{other}"
    if reason in _WORDS:
        words = _WORDS[reason]
        detail = "" if reason in _PLAIN or not words else f": {message}"
        return f"{words}{other}{detail}" if words else ""
    return f"{reason}: {message}{other}" if message else f"{reason}{other}"


class _Pod:
    __slots__ = ("created", "dirty", "due", "ended", "events", "gone", "image", "node", "object", "urgent")

    def __init__(self) -> None:
        self.node = self.image = ""
        self.created = 0.0
        self.object: Mapping[str, Any] = {}  # its specification, for words about it
        self.events: dict[str, PodEvent] = {}  # by the identity of the event
        self.dirty = self.urgent = False
        self.ended = False
        self.gone = 0.0  # when it went (monotonic)
        self.due = 0.0


class PodHistories:
    """The histories of the pods of ``place``. What is known of each is bounded in number and size."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._pods: dict[str, _Pod] = {}
        self._dirty: set[str] = set()

    def seen(self, pod: Mapping[str, Any]) -> None:
        """A pod is like that now."""
        about, spec = pod["metadata"], pod.get("spec") or {}
        one = self._pods.setdefault(about["name"], _Pod())
        node = str(spec.get("nodeName") or "")
        if not one.created or node != one.node:
            one.object = {"spec": {"containers": spec.get("containers") or ()}}
            images = {c.get("name"): str(c.get("image") or "") for c in spec.get("containers") or ()}
            one.image = images.get("user") or images.get(CONTAINER) or ""
            one.node, one.created = node, _seconds(about.get("creationTimestamp")) or time.time()
            self._change(about["name"], one)

    def add_event(self, name: str, event: Mapping[str, Any]) -> None:
        """Note what Kubernetes says about a pod. An event that is told again counts on."""
        one = self._pods.setdefault(name, _Pod())
        text = told(event, one.object)
        if not text:
            return
        series = event.get("series") or {}
        when = series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime")
        count = series.get("count") or event.get("count") or 1
        key = str((event.get("metadata") or {}).get("uid") or text)
        self._put(name, one, key, PodEvent(_seconds(when) or time.time(), text[:LONGEST_EVENT], max(1, int(count))))

    def note(self, name: str, text: str, *, end: bool = False) -> None:
        """Note what the driver itself saw of a pod; ``end``: how it ended, of which the first account counts."""
        one = self._pods.get(name)
        if one is None or (end and one.ended):
            return
        one.ended |= end
        one.object = {}  # it has been scheduled: nothing more is said of what it asks for
        self._put(name, one, f"- {len(one.events)}", PodEvent(time.time(), one_line(text, LONGEST_EVENT)))
        one.urgent = True

    def gone(self, name: str) -> None:
        """A pod is not there any more."""
        if name in self._pods:
            self._pods[name].gone = self._pods[name].gone or time.monotonic()
            self._dirty.add(name)  # to be looked at until it is dropped

    def take(self, *, all_of_them: bool = False) -> list[PodHistory]:
        """Pods of which more is known than at the last call. Little things are told once a second."""
        if not self._dirty:
            return []
        now, found = time.monotonic(), []
        for name in list(self._dirty):
            one = self._pods[name]
            if one.dirty and (all_of_them or one.urgent or now >= one.due):
                one.dirty = one.urgent = False
                one.due = now + _PAUSE
                found.append(self._history(name, one))
            if not one.dirty and (not one.gone or now - one.gone > _LATE):
                self._dirty.discard(name)
                if one.gone:
                    del self._pods[name]
        return found

    def _history(self, name: str, one: _Pod) -> PodHistory:
        # Kubernetes tells most times in whole seconds: within one, events stand in the order in which they came.
        events = sorted(one.events.values(), key=lambda event: int(event.time))
        return PodHistory(
            place=self._place, pod=name, node=one.node, image=one.image, created=one.created, events=tuple(events)
        )

    def _put(self, name: str, one: _Pod, key: str, event: PodEvent) -> None:
        if one.events.get(key) == event:
            return
        one.events[key] = event
        while len(one.events) > MOST_EVENTS:  # how it began and how it ended say most
            del one.events[list(one.events)[MOST_EVENTS // 2]]
        self._change(name, one)

    def _change(self, name: str, one: _Pod) -> None:
        one.dirty = True
        self._dirty.add(name)


def _seconds(text: object) -> float:
    """A time of Kubernetes in seconds since the epoch; 0 where it cannot be read."""
    try:
        return datetime.fromisoformat(str(text)).timestamp() if text else 0.0
    except (ValueError, OverflowError):
        return 0.0
