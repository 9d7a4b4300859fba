"""What is said of real pods that cannot start, end badly or are taken away."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.clusters import Cluster
from tests.kubernetes.conftest import Space
from tests.kubernetes.watching import bare_pod

from headrace.executors.kubernetes.access import Access
from headrace.executors.kubernetes.client import ClusterClient, Kind
from headrace.executors.kubernetes.reasons import reason_of

POD, EVENT = Kind("v1", "Pod"), Kind("v1", "Event")
SECRET = {"name": "URL", "valueFrom": {"secretKeyRef": {"name": "database", "key": "url"}}}
EATER = "import time; block = bytearray(1 << 28)\nfor at in range(0, len(block), 4096): block[at] = 1\ntime.sleep(60)"


def _pod(name: str, image: str, *command: str, **container: Any) -> dict[str, Any]:
    pod = bare_pod(name, image, schedulerName="default-scheduler", terminationGracePeriodSeconds=1)
    pod["spec"]["containers"][0] |= {"command": [*command], "imagePullPolicy": "IfNotPresent", **container}
    return pod


def test_what_keeps_or_takes_a_pod_is_told_in_plain_words(cluster: Cluster, space: Space, image: str) -> None:
    held = _pod("deleted", image, "sleep", "60")
    held["metadata"]["finalizers"] = ["headrace.io/test"]  # so that it can be read afterwards
    choosy = _pod("choosy", image, "true")
    choosy["spec"]["nodeSelector"] = {"headrace.io/test": "nowhere"}
    pods = [
        _pod("large", image, "true", resources={"requests": {"cpu": "512"}}),
        choosy,
        _pod("no-image", "localhost/headrace/none:1", "true"),
        _pod("no-secret", image, "true", env=[SECRET]),
        _pod("no-command", image, "/no/such/program"),
        _pod("exit", image, "sh", "-c", "exit 7"),
        _pod("eater", image, "python3", "-c", EATER, resources={"limits": {"cpu": "100m", "memory": "64Mi"}}),
        held,
    ]
    expected = {
        "large": "waits for a node: too little cpu free on",
        "choosy": "match its node selector or affinity",
        "no-image": "cannot start: image localhost/headrace/none:1 cannot be pulled: the registry",
        "no-secret": "cannot start: secret 'database' does not exist in its namespace",
        "no-command": 'cannot start: exec: "/no/such/program"',
        "exit": "ended: exit code 7",
        "eater": "needed more memory than its limit of 64Mi and was killed",
        "deleted": "was deleted, by hand or by another program",
    }
    with ClusterClient(Access(str(cluster.kubeconfig)), space.name) as client:
        for pod in pods:
            client.create(pod)
        try:
            _await_reasons(client, expected)
        finally:
            patch = [{"op": "remove", "path": "/metadata/finalizers"}]
            client.request("PATCH", POD.path(space.name, "deleted"), patch, content="application/json-patch+json")


def _await_reasons(client: ClusterClient, expected: dict[str, str]) -> None:
    until = time.monotonic() + 90
    deleted = False
    while True:
        events: dict[str, list[dict[str, Any]]] = {}
        for event in client.list(EVENT):
            events.setdefault(event["involvedObject"]["name"], []).append(event)
        said = {}
        for pod in client.list(POD):
            name = pod["metadata"]["name"]
            said[name] = reason_of(pod, events.get(name, [])).text
        if not deleted and said.get("deleted") == "runs":
            deleted = client.delete(POD, "deleted", grace=1)
        missing = {name: said.get(name) for name, text in expected.items() if text not in (said.get(name) or "")}
        if not missing:
            return
        assert time.monotonic() < until, missing
        time.sleep(0.2)


def _condition(kind: str, status: str) -> dict[str, str]:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"type": kind, "status": status, "reason": "Told", "lastHeartbeatTime": now, "lastTransitionTime": now}


def _tell(client: ClusterClient, path: str, status: dict[str, Any]) -> None:
    """What a kubelet would say of its node or pod."""
    client.request("PATCH", f"{path}/status", {"status": status}, content="application/merge-patch+json")


@pytest.fixture
def node(cluster: Cluster, space: Space) -> Iterator[str]:
    """A node that no kubelet stands behind: it is as the test says."""
    name = f"hr-node-{secrets.token_hex(4)}"
    room = {"cpu": "4", "memory": "8Gi", "pods": "10"}
    made = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": {"taints": [{"key": name, "effect": "NoSchedule"}]},
        "status": {"capacity": room, "allocatable": room, "conditions": [_condition("Ready", "True")]},
    }
    with ClusterClient(Access(str(cluster.kubeconfig)), space.name) as client:
        client.request("POST", "/api/v1/nodes", made)
        yield name
        client.request("DELETE", f"/api/v1/nodes/{name}")
        for pod in ("lost", "late"):
            client.delete(POD, pod, grace=0)  # no kubelet ends them


def test_pods_of_a_lost_node_with_a_full_disk_are_taken_away_and_say_so(
    cluster: Cluster, space: Space, node: str
) -> None:
    """The cluster's own controllers draw the conclusions: taints of the node, and that its pods are deleted."""
    unreachable = {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "tolerationSeconds": 0}
    lost, late = _pod("lost", "none", "true"), _pod("late", "none", "true")
    lost["spec"] |= {"nodeName": node, "tolerations": [unreachable | {"effect": "NoExecute"}]}
    late["spec"] |= {
        "nodeSelector": {"kubernetes.io/hostname": node},
        "tolerations": [{"key": node, "operator": "Exists"}, {"key": unreachable["key"], "operator": "Exists"}],
    }
    running = {"name": "main", "image": "", "imageID": "", "ready": True, "restartCount": 0}
    running["state"] = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    with ClusterClient(Access(str(cluster.kubeconfig)), space.name) as client:
        client.create(lost)
        _tell(client, POD.path(space.name, "lost"), {"phase": "Running", "containerStatuses": [running]})
        conditions = [_condition("Ready", "Unknown"), _condition("DiskPressure", "True")]
        _tell(client, f"/api/v1/nodes/{node}", {"conditions": conditions})
        until = time.monotonic() + 90
        while "node.kubernetes.io/disk-pressure" not in _taints(client, node):
            assert time.monotonic() < until
            time.sleep(0.2)
        client.create(late)  # it tolerates all taints but that
        expected = {
            "lost": "was deleted since its node became unreachable or got a taint",
            "late": "has a taint that the pod does not tolerate",
        }
        _await_reasons(client, expected)


def _taints(client: ClusterClient, node: str) -> set[str]:
    return {one["key"] for one in client.request("GET", f"/api/v1/nodes/{node}")["spec"].get("taints", [])}
