"""Groups of pods: what is made for them, who of a gang gets which pod, and what their objects and events say."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.executors.kubernetes.group_manifests import QUEUE, Form, GroupKind, group_of
from headrace.executors.kubernetes.group_objects import GroupObjects, failure_of, refusal_in
from headrace.executors.kubernetes.groups import PodGroups, index_of
from headrace.executors.kubernetes.manifests import PodKind, PodPlace, pod_of
from headrace.executors.kubernetes.pods import Create, PodKeeper, PodRules
from headrace.executors.kubernetes.queues import reason_of_workload
from headrace.model.pods import PodSettings
from headrace.model.policy import Resources
from headrace.model.workers import GangSeat

PLACE = PodPlace(prefix="p", labels={"headrace.io/key": "k"}, annotations={}, address="h:1", token="t")
POD = PodKind(image="registry/x:1", resources=Resources(0.5), settings=PodSettings(labels={QUEUE: "research"}))


def templates(manifest: Any) -> list[Any]:
    """The specifications of pods within an object."""
    if isinstance(manifest, list):
        return [found for one in manifest for found in templates(one)]
    if not isinstance(manifest, dict):
        return []
    if "containers" in manifest:
        return [manifest]
    return [found for one in manifest.values() for found in templates(one)]


@pytest.mark.parametrize("form", get_args(Form))
def test_pods_of_a_group_are_like_single_ones_and_wait_in_the_queue_as_one(form: Form) -> None:
    made = group_of("p-7", GroupKind(POD, 3, form), PLACE)
    single = pod_of("p-7", POD, PLACE)["spec"]
    for spec in templates(made):
        container = {**spec["containers"][0], "name": "worker"}  # the Trainer has a name of its own
        assert {**spec, "containers": [container]} == single
    queued = [one for one in made if QUEUE in one["metadata"]["labels"]]
    if form == "pods":
        assert [index_of(one["metadata"]["name"]) for one in made] == [0, 1, 2]
        for one in queued:
            assert one["metadata"]["labels"]["kueue.x-k8s.io/pod-group-name"] == "p-7"
            assert one["metadata"]["annotations"]["kueue.x-k8s.io/pod-group-total-count"] == "3"
    else:
        assert queued == [made[-1]]
        assert str(made).count("research") == 1, "their pods do not wait by themselves too"


class Node:
    def __init__(self, seat: GangSeat) -> None:
        self.seat: GangSeat | None = seat


@given(st.integers(1, 4), st.integers(1, 4), st.randoms())
def test_each_gang_gets_a_group_of_its_own_and_each_node_the_pod_of_its_rank(
    gangs: int, size: int, chance: Any
) -> None:
    keeper = PodKeeper(PodRules(pods=gangs * size), lambda number: f"p-{number}")
    groups = PodGroups(keeper)
    groups.named("p")
    kind = GroupKind(POD, size, "job")
    groups.kinds[kind.digest] = kind
    nodes = [Node(GangSeat(gang, rank, size)) for gang in range(gangs) for rank in range(size)]
    for node in chance.sample(nodes, len(nodes)):
        groups.enlist(node, kind.digest, 0.0)
    made = [one for one in keeper.react(0.0) if isinstance(one, Create)]
    assert len(made) == gangs
    for one in made:
        groups.made(one.name, one.kind)
    pods = [f"{one.name}-{index}-abcde" for one in made for index in range(size)]
    for pod in chance.sample(pods, len(pods)):
        groups.freed(pod, 0.0, 0.0)
    places = {groups.place_of(pod): pod for pod in pods}
    taken: dict[int, list[str]] = {}
    for node, place in groups.given():
        taken.setdefault(id(node), []).append(places[place])
    assert sorted(pod for found in taken.values() for pod in found) == sorted(pods)
    for node in nodes:
        assert node.seat is not None
        (pod,) = taken[id(node)]
        assert index_of(pod) == node.seat.rank
    for gang in range(gangs):
        own = [taken[id(node)][0] for node in nodes if node.seat is not None and node.seat.round == gang]
        assert len({groups.unit_of(pod) for pod in own}) == 1
    for node in nodes:
        groups.leave(node)
    assert keeper.waiting(kind.digest) == 0


def test_what_keeps_a_group_from_being_made_is_said() -> None:
    missing = GroupObjects("jobset", queued=False).reason_of_refusal(
        404, "NotFound", "the server could not find the requested resource"
    )
    assert missing.final
    assert "the cluster has no JobSet (jobset.x-k8s.io/v1alpha2)" in missing.text
    insecure = refusal_in(
        {
            "reason": "FailedCreate",
            "message": 'Error creating: pods "p-1-0-x" is forbidden: violates PodSecurity "restricted:latest": '
            "host namespaces (hostNetwork=true)",
        }
    )
    assert insecure is not None
    assert insecure.final
    assert insecure.text == (
        'cannot be created: violates PodSecurity "restricted:latest": host namespaces (hostNetwork=true)'
    )
    full = refusal_in(
        {
            "reason": "FailedCreate",
            "message": 'Error creating: pods "p-1-0-x" is forbidden: exceeded quota: few, requested: pods=1, '
            "used: pods=2, limited: pods=2",
        }
    )
    assert full is not None
    assert (full.text, full.fault) == ("must wait: quota few of the namespace is used up (pods=2 of pods=2)", "quota")
    assert refusal_in({"reason": "SuccessfulCreate", "message": "Created pod"}) is None
    failed = failure_of(
        {"status": {"conditions": [{"type": "Failed", "status": "True", "message": "no such runtime"}]}}
    )
    assert failed is not None
    assert failed.text == "failed: no such runtime"


@pytest.mark.parametrize(
    ("conditions", "text", "fault"),
    [
        (
            [{"type": "QuotaReserved", "status": "False", "message": "couldn't assign flavors to pod set main: "
              "insufficient unused quota for cpu in flavor spot, 20m more needed"}],
            "waits in queue 'q' of Kueue: its quota has too little cpu left in flavor spot (20m more needed)",
            "queue",
        ),
        (
            [{"type": "QuotaReserved", "status": "False", "message": "LocalQueue q doesn't exist"}],
            "waits in queue 'q' of Kueue: the namespace has no such queue (LocalQueue)",
            "queue",
        ),
        ([], "waits in queue 'q' of Kueue", "queue"),
        (
            [{"type": "Evicted", "status": "True", "reason": "PodsReadyTimeout"}],
            "was taken back by Kueue, since its pods were not ready in time",
            "cluster",
        ),
    ],
)  # fmt: skip
def test_what_kueue_says_is_told_in_plain_words(conditions: list[Any], text: str, fault: str) -> None:
    workload = {"metadata": {}, "spec": {"queueName": "q"}, "status": {"conditions": conditions}}
    reason = reason_of_workload(workload)
    assert reason is not None
    assert (reason.text, reason.fault) == (text, fault)
    admitted = [{"type": "Admitted", "status": "True"}]
    assert reason_of_workload({**workload, "status": {"conditions": admitted}}) is None
