# ruff: noqa: E501 (sentences as they are shown)
"""What is said of pods: of statuses recorded from a cluster (``recorded_pods.json``, Kubernetes 1.35), of documented ones
that one node cannot show, and of anything that a kubelet may write.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.executors.kubernetes.reasons import Reason, reason_of, reason_of_refusal

RECORDED = json.loads(Path(__file__).with_name("recorded_pods.json").read_text())


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("cpu", Reason("waits for a node: too little cpu free on 1 of 1 node (64 asked for)", False, "cluster")),
        ("memory", Reason("waits for a node: too little memory free on 1 of 1 node (9Ti asked for)", False, "cluster")),
        (
            "gpu",
            Reason("waits for a node: too little nvidia.com/gpu free on 1 of 1 node (1 asked for)", False, "cluster"),
        ),
        (
            "selector",
            Reason("waits for a node: 1 of 1 node does not match its node selector or affinity", False, "cluster"),
        ),
        ("pvc", Reason("waits for a node: pod has unbound immediate PersistentVolumeClaims", False, "cluster")),
        ("gated", Reason("waits for kueue.x-k8s.io/admission", False, "queue")),
        (
            "noimage",
            Reason(
                "cannot start: image localhost/none:1 cannot be pulled: the registry cannot be reached (connection "
                "refused)",
                False,
                "place",
            ),
        ),
        (
            "never",
            Reason(
                "cannot start: image localhost/none:2 is not on its node, and its pull policy is Never",
                False,
                "place",
                final=True,
            ),
        ),
        ("badimage", Reason("cannot start: 'Bad Image!' is not the name of an image", False, "place", final=True)),
        ("secret", Reason("cannot start: secret 'db' does not exist in its namespace", False, "place")),
        ("configmap", Reason("cannot start: config map 'conf' does not exist in its namespace", False, "place")),
        (
            "volsecret",
            Reason(
                "cannot start: its volume 'v' cannot be mounted: secret 'token' does not exist in its namespace",
                False,
                "place",
            ),
        ),
        (
            "root",
            Reason(
                "cannot start: its image runs as root, which runAsNonRoot forbids; set a user (runAsUser) or use another "
                "image",
                False,
                "place",
                final=True,
            ),
        ),
        (
            "nocommand",
            Reason(
                'cannot start: exec: "/no/such/program": stat /no/such/program: no such file or directory',
                False,
                "place",
                128,
                final=True,
            ),
        ),
        ("init", Reason("cannot start: its container 'setup' ended: exit code 9", False, "place", 9, final=True)),
        ("run", Reason("runs", True, "")),
        ("exit0", Reason("ended: exit code 0", True, "", 0, final=True)),
        ("exit3", Reason("ended: exit code 3", True, "attempt", 3, final=True)),
        ("crash", Reason("ended: exit code 5", True, "attempt", 5)),
        ("oom", Reason("needed more memory than its limit of 48Mi and was killed", True, "memory", 137, final=True)),
        (
            "deadline",
            Reason("ran longer than its deadline (activeDeadlineSeconds)", True, "attempt", final=True),
        ),
        (
            "bigdisk",
            Reason(
                "used more disk space than its limit (ephemeral-storage): Pod ephemeral local storage usage exceeds the "
                "total limit of containers 10Mi",
                True,
                "attempt",
                final=True,
            ),
        ),
        ("preempted", Reason("was preempted by a pod of higher priority", True, "cluster", final=True)),
        (
            "drained",
            Reason("was evicted (its node is drained, or an autoscaler removes it)", True, "cluster", final=True),
        ),
        ("byhand-1", Reason("was deleted, by hand or by another program", True, "cluster", final=True)),
        ("byhand-2", Reason("was deleted, by hand or by another program", True, "cluster", 137, final=True)),
    ],
)
def test_recorded_pod_is_told_in_plain_words(name: str, reason: Reason) -> None:
    recorded = RECORDED[name]
    assert reason_of(recorded["pod"], recorded["events"]) == reason


def _pending(message: str, **spec: Any) -> dict[str, Any]:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return {"spec": spec, "status": {"phase": "Pending", "conditions": [condition]}}


def _waiting(reason: str, message: str, **status: Any) -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    one = {"name": "worker", "image": "team/x:1", "state": state, **status}
    return {"status": {"phase": "Pending", "containerStatuses": [one]}}


def _failed(reason: str, message: str = "", **more: Any) -> dict[str, Any]:
    return {"status": {"phase": "Failed", "reason": reason, "message": message, **more}}


@pytest.mark.parametrize(
    ("pod", "text", "fault"),
    [
        (
            _pending(
                "0/5 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/disk-pressure: }, 2 "
                "Insufficient cpu, 2 node(s) had untolerated taint {gpu: yes}. preemption: 0/5 nodes are available: 5 No "
                "preemption victims found for incoming pod."
            ),
            "waits for a node: 1 of 5 nodes has a taint node.kubernetes.io/disk-pressure that the pod does not "
            "tolerate; too little cpu free on 2 of 5 nodes; 2 of 5 nodes have a taint gpu=yes that the pod does not "
            "tolerate",
            "cluster",
        ),
        (
            _pending("0/2 nodes are available: 1 Too many pods, 1 node(s) were unschedulable."),
            "waits for a node: 1 of 2 nodes has no room for more pods; 1 of 2 nodes is cordoned",
            "cluster",
        ),
        (
            _pending("0/1 nodes are available: 1 node(s) had untolerated taint(s). no new claims to deallocate."),
            "waits for a node: 1 of 1 node has a taint that the pod does not tolerate",
            "cluster",
        ),
        (
            _pending("no nodes available to schedule pods"),
            "waits for a node: no nodes available to schedule pods",
            "cluster",
        ),
        (
            _waiting(
                "ErrImagePull", 'rpc error: code = NotFound desc = failed to pull "x": docker.io/team/x:1: not found'
            ),
            "cannot start: image team/x:1 cannot be pulled: the registry has no such image (not found)",
            "place",
        ),
        (
            _waiting("ImagePullBackOff", "Back-off pulling image: ErrImagePull: 401 Unauthorized: pull access denied"),
            "cannot start: image team/x:1 cannot be pulled: the registry refuses it (see `image_pull_secrets`) (pull "
            "access denied)",
            "place",
        ),
        (
            _waiting("CreateContainerConfigError", "couldn't find key url in Secret team/db"),
            "cannot start: secret 'db' has no key 'url'",
            "place",
        ),
        (
            _waiting(
                "CrashLoopBackOff",
                "back-off 10s restarting failed container",
                lastState={"terminated": {"exitCode": 139, "reason": "Error"}},
            ),
            "crashes again and again: exit code 139 (SIGSEGV)",
            "attempt",
        ),
        (
            _failed("Evicted", "The node was low on resource: memory. Threshold quantity: 100Mi, available: 80Mi."),
            "was evicted from its node: The node was low on resource: memory. Threshold quantity: 100Mi, available: 80Mi",
            "cluster",
        ),
        (
            _failed("Evicted", 'Usage of EmptyDir volume "cache" exceeds the limit "1Gi".'),
            'used more memory-backed or disk space than the limit of its volume: Usage of EmptyDir volume "cache" '
            'exceeds the limit "1Gi"',
            "attempt",
        ),
        (
            _failed("NodeLost", "Node gke-1 which was running pod x is unresponsive"),
            "was lost with its node: Node gke-1 which was running pod x is unresponsive",
            "cluster",
        ),
        (
            _failed("Terminated", "Pod was terminated in response to imminent node shutdown."),
            "ended since its node shuts down: Pod was terminated in response to imminent node shutdown",
            "cluster",
        ),
        (_failed("OutOfcpu", "Node didn't have enough resource: cpu"), None, "cluster"),
        (
            {
                "status": {
                    "phase": "Failed",
                    "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}],
                }
            },
            "was deleted since its node became unreachable or got a taint",
            "cluster",
        ),
        ({"status": {"phase": "Unknown"}}, "cannot be asked: its node does not answer", "cluster"),
        ({"status": {"phase": "Pending"}}, "waits for a node", ""),
        ({}, "waits for a node", ""),
    ],
)
def test_documented_status_is_told_in_plain_words(pod: dict[str, Any], text: str | None, fault: str) -> None:
    reason = reason_of(pod)
    assert reason.fault == fault
    assert text is None or reason.text == text


def test_pod_that_ended_before_it_was_deleted_has_ended_by_itself() -> None:
    pod = json.loads(json.dumps(RECORDED["exit3"]["pod"]))
    pod["metadata"] |= {"deletionTimestamp": "2999-01-01T00:00:30Z", "deletionGracePeriodSeconds": 30}
    assert reason_of(pod).text == "ended: exit code 3"


@pytest.mark.parametrize(
    ("message", "text", "fault"),
    [
        (
            "Pod ephemeral local storage usage exceeds the total limit of containers 20Mi. ",
            "used more disk space than its limit (ephemeral-storage): Pod ephemeral local storage usage exceeds the total "
            "limit of containers 20Mi",
            "attempt",
        ),
        (
            "The node was low on resource: ephemeral-storage. Threshold quantity: 1Gi, available: 9Mi. Container worker "
            "was using 4Ki, request is 0, has larger consumption of ephemeral-storage. ",
            "was evicted from its node: The node was low on resource: ephemeral-storage. Threshold quantity: 1Gi, "
            "available: 9Mi. Container worker was using 4Ki, request is 0, has larger consumption of ephemeral-storage",
            "cluster",
        ),
    ],
)
def test_eviction_of_a_pod_that_ends_by_itself_is_told_by_its_event(message: str, text: str, fault: str) -> None:
    """As the kubelet of 1.35 leaves it: the container heard SIGTERM and exited with 0, so the pod has succeeded."""
    ended = {"name": "worker", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}
    pod = {"status": {"phase": "Succeeded", "containerStatuses": [ended]}}
    events = [
        {"type": "Warning", "reason": "Evicted", "message": message},
        {"type": "Normal", "reason": "Killing", "message": "Stopping container worker"},
    ]
    assert reason_of(pod, events)[:3] == (text, True, fault)
    assert reason_of(pod)[:3] == ("ended: exit code 0", True, "")


def test_queue_of_kueue_is_named() -> None:
    pod = json.loads(json.dumps(RECORDED["gated"]["pod"]))
    pod["metadata"]["labels"] = {"kueue.x-k8s.io/queue-name": "research"}
    assert reason_of(pod).text == "waits in queue 'research' of Kueue"


@pytest.mark.parametrize(
    ("code", "reason", "message", "text", "fault"),
    [
        (
            403,
            "Forbidden",
            'pods "w" is forbidden: exceeded quota: few, requested: pods=1,requests.cpu=1, used: pods=3,requests.cpu=30m, '
            "limited: pods=3,requests.cpu=1",
            "must wait: quota few of the namespace is used up (pods=3,requests.cpu=30m of pods=3,requests.cpu=1)",
            "quota",
        ),
        (
            403,
            "Forbidden",
            'pods "w" is forbidden: exceeded quota: few, requested: requests.memory=2Gi, used: requests.memory=0, limited: '
            "requests.memory=500M",
            "cannot be created: it asks for more requests.memory (2Gi) than quota few of the namespace allows",
            "place",
        ),
        (
            403,
            "Forbidden",
            'pods "w" is forbidden: error looking up service account team/ml: serviceaccount "ml" not found',
            'cannot be created: error looking up service account team/ml: serviceaccount "ml" not found',
            "place",
        ),
        (
            422,
            "Invalid",
            'Pod "W" is invalid: metadata.name: Invalid value: "W"',
            'cannot be created: metadata.name: Invalid value: "W"',
            "place",
        ),
        (
            403,
            "NamespaceTerminating",
            "unable to create new content in namespace x because it is being terminated",
            "cannot be created: its namespace is being deleted",
            "place",
        ),
        (500, "InternalError", "failed calling webhook", "cannot be created: failed calling webhook", "cluster"),
    ],
)
def test_refused_creation_is_told_in_plain_words(code: int, reason: str, message: str, text: str, fault: str) -> None:
    said = reason_of_refusal(code, reason, message)
    assert (said.text, said.fault) == (text, fault)


_WORDS = st.sampled_from(
    sorted(
        {
            *("phase", "reason", "message", "conditions", "containerStatuses", "initContainerStatuses", "state"),
            *("lastState", "waiting", "terminated", "running", "exitCode", "type", "status", "name", "image", "spec"),
            *("metadata", "deletionTimestamp", "deletionGracePeriodSeconds", "labels", "containers", "resources"),
            *("Failed", "Pending", "Unknown", "Evicted", "OOMKilled", "True", "False", "PodScheduled", "worker"),
            *("DisruptionTarget", "SchedulingGated", "CrashLoopBackOff", "ErrImagePull", "StartError", "Warning"),
            *("FailedMount", "0/3 nodes are available: 1 Insufficient cpu, 2 ", "0/ nodes are available: , ."),
            *("CreateContainerConfigError", 'secret "', "2026-11-29T11:03:02Z", "schedulingGates", "limits", "memory"),
        }
    )
)
_ANY = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), _WORDS, st.text(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_WORDS, inner, max_size=4)),
    max_leaves=25,
)


def _mutated(draw: st.DrawFn, value: Any) -> Any:
    """A recorded value with anything in the place of some of its parts."""
    if draw(st.integers(0, 24)) == 0:
        return draw(_ANY)
    if isinstance(value, dict):
        return {name: _mutated(draw, one) for name, one in value.items()}
    if isinstance(value, list):
        return [_mutated(draw, one) for one in value]
    return value


@st.composite
def _pods(draw: st.DrawFn) -> Any:
    return _mutated(draw, draw(st.sampled_from(list(RECORDED.values()))))


@given(_pods())
def test_any_status_gives_one_short_line(recorded: Any) -> None:
    recorded = recorded if isinstance(recorded, dict) else {}
    events = recorded.get("events")
    reason = reason_of(recorded.get("pod"), events if isinstance(events, list) else [])  # type: ignore[arg-type]
    assert reason.text
    assert len(reason.text) <= 400
    assert reason.text.isprintable()


@given(st.dictionaries(_WORDS, _ANY, max_size=5), st.lists(_ANY, max_size=3))
def test_any_object_gives_one_short_line(status: Any, events: list[Any]) -> None:
    reason = reason_of({"status": status, "spec": status, "metadata": status}, events)
    assert reason.text.isprintable()


@given(st.integers(0, 600), st.text(max_size=20), st.text(max_size=600))
def test_any_refusal_gives_one_short_line(code: int, reason: str, message: str) -> None:
    assert reason_of_refusal(code, reason, message).text.isprintable()


def test_scheduling_that_failed_is_told_in_the_same_words_as_by_event_and_by_condition() -> None:
    message = "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available"
    event = {"type": "Warning", "reason": "FailedScheduling", "message": message}
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    by_event = reason_of({"status": {"phase": "Pending"}}, [event])
    assert by_event.text == "waits for a node: too little cpu free on 2 of 2 nodes"
    assert by_event.text == reason_of({"status": {"phase": "Pending", "conditions": [condition]}}).text
    there = {"status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "True"}]}}
    assert reason_of(there, [event]).text == "is starting on its node", "it has a node since"
