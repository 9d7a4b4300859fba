"""What goes wrong with pods: tasks are repeated, or fail with the reason in plain words."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightkube.models.core_v1 import ResourceQuotaSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Pod, ResourceQuota
from tests.clusters import Cluster
from tests.kubernetes.conftest import Space
from tests.kubernetes.projects import Project

FLOW = """
import os
import time
from headrace import flow, step

@step(cpu=0.02)
def work(n: int, seconds: float, gate: str) -> int:
    print("attempt of", n, flush=True)
    time.sleep(seconds)
    while gate and not os.path.exists(gate):
        time.sleep(0.1)
    return n

@flow
def train(count: int = 1, seconds: float = 0.0, gate: str = "") -> int:
    return sum(one.result() for one in work.map(list(range(count)), seconds=seconds, gate=gate))
"""


@pytest.fixture
def project(tmp_path: Path, space: Space, cluster: Cluster, image: str, bucket: dict[str, str]) -> Project:
    return Project(tmp_path, space, cluster, image, bucket)


def pods(space: Space) -> list[Any]:
    return list(space.client.list(Pod))


def wait_for(condition: Callable[[], Any], seconds: float = 90.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.2)
    return found


def attempts(project: Project, task: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(project.run("show", task, "--json"))["attempts"]
    return found


def test_quota_of_two_pods_is_enough_for_a_hundred_tasks(project: Project, space: Space) -> None:
    quota = ResourceQuota(metadata=ObjectMeta(name="few"), spec=ResourceQuotaSpec(hard={"pods": "2"}))
    space.client.create(quota)
    try:
        project.write(FLOW, limits={"pods": 10})
        said = project.run("run", "train.py", "--count", "100", "--on", "pods")
        assert "quota few of the namespace is used up" in said
        assert project.result("train/1") == sum(range(100))
    finally:
        space.client.delete(ResourceQuota, "few")


def test_image_that_does_not_exist_fails_its_tasks_with_the_reason(project: Project) -> None:
    project.write(FLOW, image="localhost/headrace/missing:1", start_timeout="4s")
    said = project.run("run", "train.py", "--count", "3", "--on", "pods", code=1)
    assert "no pod began to work within 4 s" in said
    assert "localhost/headrace/missing:1" in said


def test_pod_for_which_no_node_has_room_fails_its_tasks_with_the_reason(project: Project) -> None:
    project.write(FLOW.replace("cpu=0.02", "cpu=64"), start_timeout="3s")
    said = project.run("run", "train.py", "--on", "pods", code=1)
    assert "cpu" in said
    assert "no pod began to work within 3 s" in said


def test_tasks_whose_pod_is_pending_wait_and_page_and_terminal_say_for_what(project: Project) -> None:
    project.write(FLOW.replace("cpu=0.02", "cpu=64"))
    run = project.start("run", "train.py", "--count", "3", "--on", "pods")
    try:
        assert run.stdout is not None
        said = next(line for line in run.stdout if "place 'pods'" in line)
        view = wait_for(lambda: _pending(project))
        project.run("cancel", "train/1")
        run.communicate(timeout=60)
    finally:
        run.kill()
    [step] = view["steps"]
    assert step["counts"] == {"ready": 3}
    assert view["run"]["queue"]["running"] == 0
    assert view["running"] == []
    assert f"place 'pods': {step['waits_for']}\n" in said


def _pending(project: Project) -> dict[str, Any] | None:
    view: dict[str, Any] = json.loads(project.run("show", "train/1", "--json"))
    return view if any("too little cpu" in one["waits_for"] for one in view["steps"]) else None


def test_output_of_a_pod_that_ends_before_its_worker_speaks_is_kept(project: Project) -> None:
    broken = {"spec": {"containers": [{"name": "worker", "command": ["sh", "-c", "echo no python here >&2; exit 3"]}]}}
    project.write(FLOW, pod={"patch": broken})
    said = project.run("run", "train.py", "--on", "pods", code=1)
    assert "exit code 3" in said or "code 3" in said
    assert "no python here" in said
    assert "no python here" in project.run("logs", "train/1")


def test_pods_deleted_by_hand_cost_their_tasks_no_retry(project: Project, space: Space) -> None:
    shared = {"name": "shared", "hostPath": {"path": str(project.folder / "shared")}}  # the node is this machine
    (project.folder / "shared").mkdir()
    settings = {"volumes": [shared], "volume_mounts": [{"name": "shared", "mountPath": "/shared"}]}
    project.write(FLOW, limits={"pods": 3}, pod=settings)
    run = project.start("run", "train.py", "--count", "3", "--gate", "/shared/gate", "--on", "pods")
    try:
        running = wait_for(lambda: len(found := [one for one in pods(space) if _runs(one)]) == 3 and found)
        alive = wait_for(lambda: _at_work(project, 3))
        assert {one["pod"]["name"] for one in alive} == {one.metadata.name for one in running}, "told while they live"
        assert "attempt of 1" in project.run("logs", "train/1/work/2"), "and so is what they print"
        for one in running:
            space.client.delete(Pod, one.metadata.name)
        wait_for(lambda: not {one.metadata.name for one in running} & {one.metadata.name for one in pods(space)})
        (project.folder / "shared" / "gate").touch()
        said, _ = run.communicate(timeout=120)
    finally:
        run.kill()
    assert run.returncode == 0, said
    assert "was deleted" in said
    tried = [attempts(project, f"train/1/work/{n}") for n in (1, 2, 3)]
    states = sorted(one["state"] for task in tried for one in task)
    assert states == ["lost"] * 3 + ["succeeded"] * 3, tried
    lost = next(one for one in tried[0] if one["state"] == "lost")
    assert "was deleted" in lost["error"]
    assert "was deleted" in lost["pod"]["events"][-1]["text"], "and after they are gone"
    node = running[0].spec.nodeName
    assert f"scheduled on node {node}" in [one["text"] for one in lost["pod"]["events"]]
    assert all(one["host"].endswith(f" on {node}") for task in tried for one in task), "pod and node are recorded"


def _at_work(project: Project, count: int) -> list[dict[str, Any]] | None:
    """The attempts of ``count`` tasks, when all of them run and have a pod whose history is known."""
    shown = json.loads(project.run("show", "train/1", "--json"))
    if len(shown["running"]) < count:
        return None
    found = [attempts(project, f"train/1/work/{n + 1}")[0] for n in range(count)]
    return found if all(one["pod"] for one in found) else None


def _runs(pod: Any) -> bool:
    return bool(pod.status and pod.status.phase == "Running" and not pod.metadata.deletionTimestamp)


MEMORY = """
from headrace import Retry, flow, step

@step(cpu=0.02, memory="64MiB", retries=Retry(1, memory_factor=8))
def hold() -> int:
    held = bytearray(b"x") * (256 << 20)
    return len(held)

@flow
def train() -> int:
    return hold()
"""


def test_out_of_memory_is_its_own_failure_and_is_retried_with_more(project: Project, space: Space) -> None:
    project.write(MEMORY)
    project.run("run", "train.py", "--on", "pods")
    assert project.result("train/1") == 256 << 20
    first, second = attempts(project, "train/1/hold/1")
    assert (first["state"], first["failure"], second["state"]) == ("failed", "out of memory", "succeeded")
    assert first["host"] != second["host"], "the second pod has a larger limit"


def test_run_leaves_nothing_in_the_namespace(project: Project, space: Space) -> None:
    from lightkube.resources.core_v1 import Secret

    project.write(FLOW)
    project.run("run", "train.py", "--on", "pods")
    wait_for(lambda: not pods(space))
    assert not list(space.client.list(Secret))
