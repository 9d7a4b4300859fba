"""Gangs whose pods the cluster has as one object: which group is whose, and who of it is there.

A gang waits for a group, as a single attempt waits for a pod: ``PodKeeper`` counts both. Of the group, node n of the
gang gets the pod with index n, once the workers of all pods have joined. A group whose gang has ended is there for the
next one of its kind; one that has lost a pod is over.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection
from typing import Protocol, TypeVar

from headrace.executors.kubernetes.group_manifests import GroupKind
from headrace.executors.kubernetes.pods import PodKeeper
from headrace.model.policy import Resources
from headrace.model.workers import GangSeat

L = TypeVar("L")


class Node(Protocol):
    """The link of a worker for one node of a gang."""

    seat: GangSeat | None


class _Gang:
    """A round of a gang: its links, and the group that it has (empty: it waits for one, once all are there)."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.nodes: dict[int, Node] = {}
        self.waits = False
        self.group = ""


class _Group:
    def __init__(self, kind: str, size: int) -> None:
        self.kind = kind
        self.size = size
        self.free: set[int] = set()  # indexes of pods whose worker has nothing to do
        self.is_warm = False  # whether all were free once
        self.since = 0.0  # when the last of them had something to do


class PodGroups:
    """See the module. ``kinds`` are those of groups by their names."""

    def __init__(self, keeper: PodKeeper) -> None:
        self.kinds: dict[str, GroupKind] = {}
        self._keeper = keeper
        self._prefix = ""
        self._gangs: dict[int, _Gang] = {}  # by their rounds
        self._groups: dict[str, _Group] = {}
        self._ready: dict[str, dict[str, None]] = {}  # by kind, groups that no gang has
        self._given: list[tuple[Node, str]] = []

    def named(self, prefix: str) -> None:
        """Pods and groups of this session are called ``prefix``, a dash and a number."""
        self._prefix = f"{prefix}-"

    def unit_of(self, pod: str) -> str:
        """The name by which the keeper knows a pod: that of its group, or its own."""
        if not pod.startswith(self._prefix):
            return pod
        return self._prefix + pod[len(self._prefix) :].partition("-")[0]

    def has(self, pod: str) -> bool:
        """Whether a pod, or another object, is part of a group."""
        return self.unit_of(pod) != pod

    def is_group(self, unit: str) -> bool:
        """Whether a name is that of a group which is there."""
        return unit in self._groups

    def size_of(self, unit: str) -> int:
        """How many pods a group has; 1: it is a single one."""
        return self._groups[unit].size if unit in self._groups else 1

    def noun(self, unit: str) -> str:
        """What a pod or a group is called in texts."""
        return "group" if unit in self._groups else "pod"

    def made(self, unit: str, kind: str) -> None:
        """A group is being created."""
        self._groups[unit] = _Group(kind, self.kinds[kind].size)

    def form_of(self, unit: str) -> GroupKind:
        """What a group is like."""
        return self.kinds[self._groups[unit].kind]

    def pods_of(self, unit: str) -> list[str]:
        """The names of the pods of a group that is nothing but these."""
        return [f"{unit}-{index}-0" for index in range(self._groups[unit].size)]

    # --- gangs ------------------------------------------------------------------------------------------------

    def enlist(self, node: Node, kind: str, now: float) -> None:
        """A node of a gang wants a worker."""
        seat = node.seat
        assert seat is not None
        gang = self._gangs.setdefault(seat.round, _Gang(kind))
        gang.nodes[seat.rank] = node
        if len(gang.nodes) == seat.size:
            gang.waits = True
            shape = self.kinds[kind]
            self._keeper.wait(kind, times(shape.pod.resources, shape.size), now, shape.size)
            self._give(kind, now)

    def leave(self, node: Node) -> None:
        """A node of a gang wants no worker any more, or has had one."""
        seat = node.seat
        gang = self._gangs.get(seat.round) if seat is not None else None
        if seat is None or gang is None or gang.nodes.pop(seat.rank, None) is None:
            return
        if gang.waits:
            gang.waits = False
            self._keeper.unwait(gang.kind)
        if not gang.nodes:
            del self._gangs[seat.round]

    def given(self) -> list[tuple[Node, str]]:
        """Nodes of gangs that have their groups, and the places (see ``place_of``) of these; each is told once."""
        given, self._given = self._given, []
        return given

    def place_of(self, pod: str) -> str:
        """The place that a pod has in its group; empty: it is in none."""
        return _place(self.unit_of(pod), index_of(pod)) if self.has(pod) else ""

    def longest_waiting(self, kind: str, count: int, links: Collection[L]) -> list[L]:
        """Those of ``links``, all of which wait for a kind, that wait for longest: so many, or of so many gangs."""
        if kind not in self.kinds:
            return list(itertools.islice(links, count))
        gangs = [one for one in self._gangs.values() if one.kind == kind and one.waits]
        nodes = [node for one in gangs[:count] for node in one.nodes.values()]
        return [one for one in links if one in nodes]

    def _give(self, kind: str, now: float) -> None:
        """Give groups that are free to gangs that wait."""
        ready = self._ready.get(kind)
        for gang in self._gangs.values() if ready else ():
            if not ready:
                return
            if gang.waits and gang.kind == kind:
                gang.group = next(iter(ready))
                del ready[gang.group]
                gang.waits = False
                self._given += [(node, _place(gang.group, rank)) for rank, node in gang.nodes.items()]
                self._keeper.unwait(kind)
                self._keeper.taken(gang.group, now)

    # --- their pods -------------------------------------------------------------------------------------------

    def freed(self, pod: str, since: float, now: float) -> None:
        """The worker of a pod has joined, or has had nothing to do since then."""
        unit = self.unit_of(pod)
        group = self._groups.get(unit)
        if group is None:
            return
        group.free.add(index_of(pod))
        group.since = max(group.since, since)
        if len(group.free) == group.size:
            if group.is_warm:
                self._keeper.freed(unit, group.since)
            else:
                group.is_warm = True
                self._keeper.joined(unit, now)
            self._ready.setdefault(group.kind, {})[unit] = None
            self._give(group.kind, now)

    def taken(self, pod: str) -> None:
        """The worker of a pod has an attempt."""
        group = self._groups.get(self.unit_of(pod))
        if group is not None:
            group.free.discard(index_of(pod))

    def ended(self, unit: str) -> None:
        """A group is over."""
        group = self._groups.pop(unit, None)
        if group is not None:
            self._ready.get(group.kind, {}).pop(unit, None)


def _place(group: str, rank: int) -> str:
    return f"{group}/{rank}"


def index_of(pod: str) -> int:
    """The index of a pod in its group, as its name says; -1: it has none."""
    parts = pod.rsplit("-", 2)
    return int(parts[1]) if len(parts) == 3 and parts[1].isdigit() else -1


def times(need: Resources, count: int) -> Resources:
    """What so many pods hold together."""
    return Resources(need.cpu * count, need.memory * count, need.gpu * count, need.enforced)
