"""What killed drivers and deleted namespaces leave behind: nothing, once somebody else comes by."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.clusters import Cluster
from tests.kubernetes.conftest import Space, made_space
from tests.kubernetes.projects import Project
from tests.kubernetes.watching import LABELS, bare_pod

from headrace.executors.kubernetes.access import Access
from headrace.executors.kubernetes.api import ClusterApi
from headrace.executors.kubernetes.client import ClusterClient, Kind
from headrace.executors.kubernetes.driver_jobs import DriverJob, DriverJobs

POD, SECRET, NAMESPACE = Kind("v1", "Pod"), Kind("v1", "Secret"), Kind("v1", "Namespace")


def _await(condition: Callable[[], object], seconds: float = 110) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.2)


def _leave(client: ClusterClient, run: str, hours: float, session: str = "1") -> None:
    """A pod that ended so long ago, as the driver of a run made it, and the secret that it joined with."""
    labels = {
        "app.kubernetes.io/managed-by": "headrace",
        "headrace.io/run": run,
        "headrace.io/key": f"key-{run}",
        "headrace.io/session": "1",
    }
    volume = {"name": "headrace-join", "secret": {"secretName": f"{run}-join"}}
    pod = bare_pod(f"{run}-1-1", volumes=[volume])
    pod["metadata"]["labels"] = labels
    made = client.create(pod)
    ended = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3600 * hours))
    state = {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": ended, "finishedAt": ended}}
    container = {"name": "main", "image": "", "imageID": "", "ready": False, "restartCount": 0, "state": state}
    status = {"status": {"phase": "Succeeded", "containerStatuses": [container]}}
    path = f"{POD.path(client.namespace, made['metadata']['name'])}/status"
    client.request("PATCH", path, status, content="application/merge-patch+json")
    secret = {"name": f"{run}-join", "labels": {**labels, "headrace.io/session": session}}
    client.create({"apiVersion": "v1", "kind": "Secret", "metadata": secret, "stringData": {"token": "x"}})


def test_pods_and_secrets_of_killed_drivers_are_deleted_by_the_next_one(cluster: Cluster, space: Space) -> None:
    with (
        ClusterClient(Access(str(cluster.kubeconfig)), space.name) as client,
        closing(ClusterApi(Access(str(cluster.kubeconfig)), space.name, LABELS)) as api,
    ):
        _leave(client, "killed", hours=2)
        _leave(client, "just-ended", hours=0)
        _leave(client, "resumed", hours=2, session="2")
        _leave(client, "goes-on", hours=2)
        pending = bare_pod("goes-on-1-2")
        pending["metadata"]["labels"] = {**LABELS, "headrace.io/key": "key-goes-on"}
        client.create(pending)
        api.start()
        api.reap("mine")
        _await(lambda: not client.find(SECRET, "killed-join") and not client.find(POD, "killed-1-1"))
        _await(lambda: not client.find(POD, "resumed-1-1") and not client.find(POD, "goes-on-1-1"))
        assert {one["metadata"]["name"] for one in client.list(POD)} == {"just-ended-1-1", "goes-on-1-2"}
        assert {one["metadata"]["name"] for one in client.list(SECRET)} == {
            "just-ended-join", "resumed-join", "goes-on-join"
        }  # fmt: skip


FLOW = """
import time
from headrace import flow, step

@step(cpu=0.02)
def work(n: int) -> int:
    print("attempt of", n, flush=True)
    time.sleep(600)
    return n

@flow
def train() -> int:
    return work(1)
"""


@pytest.mark.timeout(400)
def test_namespace_is_gone_soon_with_a_failed_driver_and_a_run_in_it_which_says_so(
    tmp_path: Path, cluster: Cluster, image: str, bucket: dict[str, str]
) -> None:
    driver = DriverJob(
        run="train/9",
        key="9",
        session=1,
        place="pods",
        image=image,
        words=("train/9",),
        variables={"PYTHONHOME": "/nowhere"},
    )
    with (
        made_space(cluster, "leaves") as space,
        ClusterClient(Access(str(cluster.kubeconfig)), space.name) as client,
    ):
        project = Project(tmp_path, space, cluster, image, bucket)
        project.write(FLOW)
        DriverJobs(client).start(driver)  # its pod fails at once
        run = project.start("run", "train.py", "--on", "pods")
        try:
            _await(lambda: _phases(client, driver.name) and "attempt of" in _logs(project))
            client.delete(NAMESPACE, space.name)
            said, _ = run.communicate(timeout=110)
        finally:
            run.kill()
            run.wait()
        assert run.returncode == 1
        assert "its namespace is being deleted" in said, said
        assert "headrace: place 'pods': a pod cannot be created" not in said, "its task says so"
        _await(lambda: client.find(NAMESPACE, space.name) is None)


def _phases(client: ClusterClient, driver: str) -> bool:
    found = list(client.list(POD, {"headrace.io/driver": driver}))
    return any(pod["status"].get("phase") == "Failed" for pod in found)


def _logs(project: Project) -> Any:
    return project.start("logs", "train/1").communicate(timeout=60)[0]
