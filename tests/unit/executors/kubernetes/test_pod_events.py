"""What histories of pods say, and how much of it is kept."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.executors.kubernetes.pod_events import PodHistories, told
from headrace.model.pod_history import LONGEST_EVENT, MOST_EVENTS

POD: dict[str, Any] = {
    "metadata": {"name": "p-1", "creationTimestamp": "2026-11-29T14:00:00Z"},
    "spec": {"nodeName": "n7", "containers": [{"name": "worker", "image": "repo/headrace:1"}]},
}


def event(reason: str, message: str = "", when: str = "2026-11-29T14:00:01Z", **more: Any) -> dict[str, Any]:
    return {"reason": reason, "message": message, "lastTimestamp": when, "metadata": {"uid": reason}, **more}


def texts(histories: PodHistories) -> list[str]:
    [history] = histories.take(all_of_them=True)
    return [one.text for one in history.events]


@pytest.mark.parametrize(
    ("reason", "message", "words"),
    [
        ("Scheduled", "Successfully assigned team/p-1 to n7", "scheduled on node n7"),
        ("Pulled", 'Container image "x:1" already present on machine', "its image is on the node"),
        (
            "Pulled",
            'Successfully pulled image "x:1" in 3.25s (4s with waiting)',
            "its image was pulled in 3.25s",
        ),
        ("Started", "Container started", "its container has started"),
        (
            "FailedScheduling",
            "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available",
            "waits for a node: too little cpu free on 1 of 1 node",
        ),
        ("Evicted", "The node was low on resource: memory.", "it was evicted: The node was low on resource: memory."),
        ("Odd", "something \x1b[31mnew", "Odd: something [31mnew"),
    ],
)
def test_events_are_told_in_plain_words(reason: str, message: str, words: str) -> None:
    assert told(event(reason, message), POD) == words


def test_history_names_node_and_image_and_stands_in_the_order_of_time() -> None:
    histories = PodHistories("pods")
    histories.seen(POD)
    histories.add_event("p-1", event("Started", when="2026-11-29T14:00:03Z"))
    histories.add_event("p-1", event("Scheduled", "team/p-1 to n7", when="", eventTime="2026-11-29T14:00:01.900000Z"))
    histories.add_event("p-1", event("Pulling", when="2026-11-29T14:00:01Z"))
    [history] = histories.take()
    assert (history.pod, history.node, history.image) == ("p-1", "n7", "repo/headrace:1")
    assert [one.text for one in history.events] == [
        "scheduled on node n7",
        "its image is being pulled",
        "its container has started",
    ]
    assert histories.take() == [], "it is told once"


def test_event_that_is_told_again_counts_on() -> None:
    histories = PodHistories("pods")
    histories.seen(POD)
    histories.add_event("p-1", event("BackOff", "back-off", count=1))
    histories.add_event("p-1", event("BackOff", "back-off", count=7))
    [history] = histories.take()
    assert [(one.text, one.count) for one in history.events] == [("BackOff: back-off", 7)]


def test_first_account_of_the_end_counts() -> None:
    histories = PodHistories("pods")
    histories.seen(POD)
    histories.note("p-1", "it was evicted from its node", end=True)
    histories.note("p-1", "it was deleted", end=True)
    assert texts(histories) == ["it was evicted from its node"]


def test_pod_that_is_unknown_has_no_history() -> None:
    histories = PodHistories("pods")
    histories.note("p-9", "its worker joined the run")
    histories.gone("p-9")
    assert histories.take(all_of_them=True) == []


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=900)), max_size=60))
def test_history_is_bounded_whatever_is_said(said: list[tuple[str, str]]) -> None:
    histories = PodHistories("pods")
    histories.seen(POD)
    for number, (reason, message) in enumerate(said):
        histories.add_event("p-1", {**event(reason, message), "metadata": {"uid": str(number)}})
    found = texts(histories)
    assert len(found) <= MOST_EVENTS
    assert all(len(one) <= LONGEST_EVENT for one in found)
