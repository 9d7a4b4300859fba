"""``PodStates``: why a pod has ended, in whatever order that is heard, and what ended with it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from headrace.executors.kubernetes.group_manifests import GROUP, GROUP_SIZE
from headrace.executors.kubernetes.podstates import EXPLAINED, PodStates
from headrace.executors.kubernetes.reasons import DELETED, Reason, reason_of_refusal

NAMES = ("run-1-0-abc", "run-1-1-abc")
ASKED = "2026-11-29T18:38:55Z"
REFUSAL = reason_of_refusal(0, "", 'admission webhook "mpod.kb.io" denied the request: Job.batch "run-1" not found')
PREEMPTED = Reason("was preempted by Kueue", True, "cluster")


def pod(name: str, phase: str = "Running", *, deleted: bool = False, code: int | None = None) -> dict[str, Any]:
    about: dict[str, Any] = {"name": name, "labels": {GROUP: "run-1"}, "annotations": {GROUP_SIZE: "2"}}
    if deleted:
        about |= {"deletionTimestamp": ASKED, "deletionGracePeriodSeconds": 0}
    state = {"running": {}} if code is None else {"terminated": {"exitCode": code, "finishedAt": ASKED}}
    return {
        "metadata": about,
        "spec": {"containers": [{"name": "worker"}]},
        "status": {"phase": phase, "containerStatuses": [{"name": "worker", "state": state}]},
    }


def working(*, queued: bool = False, refused: bool = False) -> PodStates:
    states = PodStates("pods", queued=queued)
    states.seen(pod(NAMES[0], "Pending"))
    if refused:
        states.refused("run-1", REFUSAL)
        assert "mpod.kb.io" in states.reason_of("run-1").text
    states.seen(pod(NAMES[1], "Pending"))
    for name in NAMES:
        states.seen(pod(name))
        states.joined(name)
    return states


@given(st.data(), st.booleans(), st.sampled_from(["deleted", "failed"]))
def test_group_ends_for_the_reason_of_the_pod_that_it_lost_first(data: st.DataObject, refused: bool, how: str) -> None:
    first, other = data.draw(st.permutations(NAMES))
    states = working(refused=refused)
    states.seen(pod(first, deleted=True) if how == "deleted" else pod(first, "Failed", code=3))
    # The cluster takes the other one in turn; which of them is gone first depends on how long each takes to end.
    states.seen(pod(other, deleted=True))
    for name in data.draw(st.permutations(NAMES)):
        states.vanished(name, data.draw(st.sampled_from([None, pod(name, deleted=True)])) if name == other else None)
        assert states.first_lost(name) == first
        said = states.end_of(states.first_lost(name))
        assert said.text == (DELETED if how == "deleted" else "ended: exit code 3")
    states.gone("run-1")
    for name in NAMES:
        states.gone(name)
    assert states.first_lost(other) == other
    assert states.members("run-1") == []


def test_refusal_of_a_pod_that_was_created_in_the_end_explains_nothing() -> None:
    states = working(refused=True)
    assert "mpod.kb.io" not in states.reason_of("run-1").text
    states.vanished(NAMES[1], None)
    assert states.end_of(NAMES[1]) == Reason(DELETED, True, "cluster")
    assert not states.is_unexplained(NAMES[1], 0.0)


def test_pod_that_its_queue_takes_back_is_explained_by_the_queue_also_when_that_speaks_later() -> None:
    states = working(queued=True)
    states.vanished(NAMES[0], pod(NAMES[0], deleted=True))
    assert states.is_unexplained(NAMES[0], 0.0)
    assert states.unexplained == [NAMES[0]]
    states.queue_says("run-1", PREEMPTED)
    assert not states.is_unexplained(NAMES[0], 0.5)
    assert states.end_of(NAMES[0]) == PREEMPTED


def test_pod_of_a_queue_that_says_nothing_was_deleted_by_somebody() -> None:
    states = working(queued=True)
    states.vanished(NAMES[0], None)
    assert states.is_unexplained(NAMES[0], 0.0)
    assert not states.is_unexplained(NAMES[0], EXPLAINED + 0.1)
    assert states.end_of(NAMES[0]).text == DELETED


def test_pod_that_is_alone_ends_for_its_own_reason() -> None:
    states = PodStates("pods")
    alone = pod("run-7", "Failed", code=137)
    alone["metadata"] = {"name": "run-7", "labels": {}}
    states.seen(alone)
    assert states.first_lost("run-7") == "run-7"
    assert states.end_of("run-7").text == "ended: exit code 137 (SIGKILL)"
