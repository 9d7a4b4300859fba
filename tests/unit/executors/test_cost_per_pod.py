"""What a driver does for a pod does not grow with the number of pods.

Counted are instructions of the interpreter, which do not depend on the machine. The bench with a real API server is
``bench/kubernetes/simulation.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.instructions import instructions

from headrace.executors.kubernetes.pods import Create, Delete, PodKeeper, PodRules
from headrace.executors.kubernetes.podstates import PodStates
from headrace.model.policy import Resources

NEED = Resources(0.5)
FEW, MANY = 100, 400


def starts(pods: int) -> None:
    """Many links wait at once; pods start one after the other, and each says why it takes long; clocks tick."""
    place = _Place(pods)
    place.wait(pods)
    for number, name in enumerate(list(place.names)):
        place.keeper.said(name, "waits for a node", lacks_room=False)
        place.keeper.hindrance("a")
        place.join(name)
        if number % 5 == 0:
            place.tick()


def waits_for_a_queue(pods: int) -> None:
    """A queue of the cluster holds all pods, and lets them go one by one."""
    place = _Place(pods)
    place.wait(pods)
    for name in place.names:
        place.keeper.queued(name, place.now, held=True)
    for name in list(place.names):
        place.keeper.queued(name, place.now, held=False)
        place.tick()
        place.join(name)


def works(pods: int) -> None:
    """Attempts come and go in warm pods, some of which stay for the floor."""
    place = _Place(pods, floor=pods // 2, idle=20.0)
    place.wait(pods)
    for name in list(place.names):
        place.join(name)
    for name in list(place.names):
        place.keeper.freed(name, place.now)
        place.tick()
    place.now += 100.0
    for _ in range(pods):
        place.tick()


def is_lost(pods: int) -> None:
    """Pods are deleted one by one while their attempts run; others come in their place."""
    place = _Place(pods)
    place.wait(pods)
    for name in list(place.names):
        place.join(name)
    for name in list(place.names):
        place.keeper.ended(name, place.now, "was deleted", by_itself=False)
        place.wait(1)
        place.tick()


def makes_way(pods: int) -> None:
    """Another kind needs the room of pods that have nothing to do, one after the other."""
    place = _Place(pods)
    place.wait(pods)
    for name in list(place.names):
        place.join(name)
        place.keeper.freed(name, place.now)
    for _ in range(pods):
        place.wait(1, "b")
        place.tick()
        place.keeper.unwait("b")


@pytest.mark.parametrize("happens", [starts, waits_for_a_queue, works, is_lost, makes_way])
def test_what_the_keeper_does_for_a_pod_does_not_grow_with_their_number(happens: Callable[[int], None]) -> None:
    few, many = [instructions(lambda count=pods: happens(count)) / pods for pods in (FEW, MANY)]
    assert many < 1.2 * few


def test_what_is_noted_of_a_pod_costs_the_same_with_many() -> None:
    def note(pods: int) -> None:
        states = PodStates("pods")
        for number in range(pods):
            name = f"pod-{number}"
            about = {"name": name, "labels": {}, "creationTimestamp": "2026-01-01T00:00:00Z"}
            states.seen({"metadata": about, "spec": {"containers": []}, "status": {"phase": "Pending"}})
            event = {"reason": "FailedScheduling", "message": "0/1 nodes are available: 1 Insufficient cpu."}
            states.add_event(name, event)
            states.reason_of(name)
            states.joined(name)
            states.gone(name)

    few, many = [instructions(lambda count=pods: note(count)) / pods for pods in (FEW, MANY)]
    assert many < 1.2 * few


class _Place:
    """A keeper with a cluster around it that does at once what it is told; its clock ticks twice in a second."""

    def __init__(self, pods: int, **rules: Any) -> None:
        given = {"start_timeout": 1e6, "idle": 1e6, **rules}
        self.keeper = PodKeeper(PodRules(pods=pods, **given), lambda number: f"pod-{number}")
        self.now = 0.0
        self.names: dict[str, None] = {}

    def wait(self, links: int, kind: str = "a") -> None:
        for _ in range(links):
            self.keeper.wait(kind, NEED, self.now)
            self._obey(self.keeper.react(self.now))

    def join(self, name: str) -> None:
        self.keeper.joined(name, self.now)
        self.keeper.unwait(self.keeper.kind_of(name))
        self.keeper.taken(name, self.now)
        self._obey(self.keeper.react(self.now))

    def tick(self) -> None:
        self.now += 0.5
        self.keeper.slow(self.now - 5.0)
        self.keeper.is_full()
        self._obey(self.keeper.tick(self.now))

    def _obey(self, actions: list[Any]) -> None:
        for action in actions:
            if isinstance(action, Create):
                self.names[action.name] = None
            elif isinstance(action, Delete):
                self.names.pop(action.name, None)
                self.keeper.ended(action.name, self.now, action.why)
