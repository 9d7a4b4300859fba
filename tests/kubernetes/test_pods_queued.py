"""Pods that a queue of the cluster holds: they name the queue, the run says what they wait for, and goes on."""

from __future__ import annotations

import time
from pathlib import Path

from lightkube.resources.core_v1 import Pod
from lightkube.types import PatchType
from tests.clusters import Cluster
from tests.kubernetes.conftest import Space
from tests.kubernetes.projects import Project

FLOW = """
from headrace import flow, step

@step(cpu=0.02)
def one() -> int:
    return 1

@flow
def train() -> int:
    return one()
"""


def test_pods_name_their_queue_and_wait_until_it_lets_them_go(
    tmp_path: Path, space: Space, cluster: Cluster, image: str, bucket: dict[str, str]
) -> None:
    project = Project(tmp_path, space, cluster, image, bucket)
    # What Kueue's webhook does to a pod with this label, and below what its controller does when there is room.
    gates = {"schedulingGates": [{"name": "kueue.x-k8s.io/admission"}]}
    project.write(FLOW, queue="research", pod={"patch": {"spec": gates}})
    run = project.start("run", "train.py", "--on", "pods")
    try:
        until = time.monotonic() + 90
        while not (held := list(space.client.list(Pod))):
            assert run.poll() is None, run.communicate()[0]
            assert time.monotonic() < until
            time.sleep(0.2)
        assert held[0].metadata.labels["kueue.x-k8s.io/queue-name"] == "research"
        assert held[0].status.conditions[0].reason == "SchedulingGated"
        name = held[0].metadata.name
        patch = [{"op": "remove", "path": "/spec/schedulingGates"}]
        space.client.patch(Pod, name, patch, patch_type=PatchType.JSON)
        said, _ = run.communicate(timeout=90)
    finally:
        run.kill()
        run.communicate()
    assert run.returncode == 0, said
    assert project.result("train/1") == 1
