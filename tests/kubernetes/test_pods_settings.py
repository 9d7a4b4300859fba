"""What places and steps say of their pods holds; and drivers that are killed, or cut off from their pods."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap, Namespace, Secret
from tests.clusters import Cluster
from tests.kubernetes.conftest import Space
from tests.kubernetes.network import cut
from tests.kubernetes.projects import Project
from tests.kubernetes.test_pods_bad_luck import AWAY
from tests.kubernetes.test_pods_trouble import attempts, pods, wait_for

FLOW = """
import os
import signal
import time
from headrace import Pod, flow, step
from headrace._base.cores import usable_cores

NODE = {node!r}

@step(cpu=0.02, memory="64MiB", pod=Pod(
    node_selector={{"kubernetes.io/hostname": NODE}},
    tolerations=[{{"key": "gpu", "operator": "Exists"}}],
    affinity={{"nodeAffinity": {{"preferredDuringSchedulingIgnoredDuringExecution": [
        {{"weight": 1, "preference": {{"matchExpressions": [{{"key": "disk", "operator": "Exists"}}]}}}}]}}}},
    service_account="trainer",
    volumes=[{{"name": "scratch", "emptyDir": {{"medium": "Memory"}}}}],
    volume_mounts=[{{"name": "scratch", "mountPath": "/scratch"}}],
    secrets=["tokens"], config_maps=["tuning"], labels={{"team": "blue"}}, annotations={{"note": "x y"}},
    image_pull_policy="IfNotPresent",
    patch={{"spec": {{"dnsPolicy": "Default", "containers": [
        {{"name": "worker", "stdin": True, "resources": {{"limits": {{"cpu": "500m"}}}}}}]}}}},
))
def look() -> dict:
    return {{
        "scratch": os.path.ismount("/scratch"), "token": os.environ["SUITE_TOKEN"], "rate": os.environ["RATE"],
        "account": os.path.exists("/var/run/secrets/kubernetes.io/serviceaccount/token"),
        "large": sum(len(os.environ[f"LARGE_{{n}}"]) for n in range(5)), "user": os.getuid(),
        "cores": usable_cores(),
    }}

@step(cpu=0.02, timeout="1s", env={{"LONG": "x" * 500_000}})
def deaf() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    assert len(os.environ["LONG"]) == 500_000
    time.sleep(600)

@flow(name="Größe_of.Things")
def train() -> dict:
    found = look()
    try:
        deaf()
    except TimeoutError as error:
        found["deaf"] = str(error)
    return found
"""


@pytest.fixture
def project(tmp_path: Path, space: Space, cluster: Cluster, image: str, bucket: dict[str, str]) -> Project:
    return Project(tmp_path, space, cluster, image, bucket)


@pytest.fixture
def restricted(space: Space) -> Iterator[None]:
    """The namespace enforces the strictest standard of pods."""
    key = "pod-security.kubernetes.io/enforce"
    space.client.patch(Namespace, space.name, {"metadata": {"labels": {key: "restricted"}}})
    yield
    space.client.patch(Namespace, space.name, {"metadata": {"labels": {key: None}}})


def _secret(space: Space, name: str, values: dict[str, str]) -> None:
    space.client.create(Secret(metadata=ObjectMeta(name=name), stringData=values))


def test_settings_of_pods_hold_in_a_restricted_namespace_and_no_secret_is_in_their_specs(
    project: Project, space: Space, restricted: None, bucket: dict[str, str]
) -> None:
    from lightkube.resources.core_v1 import Node, ServiceAccount

    node = next(iter(space.client.list(Node))).metadata.name  # type: ignore[union-attr]
    space.client.create(ServiceAccount(metadata=ObjectMeta(name="trainer")))
    space.client.create(ConfigMap(metadata=ObjectMeta(name="tuning"), data={"RATE": "0.1"}))
    _secret(space, "tokens", {"SUITE_TOKEN": "tok-5ecret"})
    _secret(space, "stores", {name: value for name, value in bucket.items() if name.startswith("AWS_")})
    large = {f"LARGE_{n}": "x" * 100_000 for n in range(5)}
    project.write(FLOW.format(node=node), variables=large, secret="stores")
    with started(project, "run", "train.py", "--on", "pods") as run:
        specs = str(wait_for(lambda: pods(space)))
        said, _ = run.communicate(timeout=120)
    assert run.returncode == 0, said
    result = project.result("Größe_of.Things/1")
    assert {key: value for key, value in result.items() if key != "deaf"} == {
        "scratch": True, "token": "tok-5ecret", "rate": "0.1", "account": True, "large": 500_000, "user": 1000,
        "cores": 0.5,
    }  # fmt: skip
    assert "longer than the 1 s" in result["deaf"]
    token = (project.folder / ".headrace/places/pods.secret").read_text().strip()
    for secret in ("tok-5ecret", bucket["AWS_SECRET_ACCESS_KEY"], token, "hrw1."):
        assert secret not in specs
        assert secret not in project.run("logs", "Größe_of.Things/1")


def test_environment_that_no_process_can_have_is_refused_with_the_reason(project: Project) -> None:
    project.write(SLOW, variables={"LARGE": "x" * 500_000}, start_timeout="8s")
    said = project.run("run", "train.py", "--on", "pods", code=1)
    assert "LARGE" in said or "argument list too long" in said
    assert len(said) < 20_000


SLOW = """
import time
from headrace import flow, step

@step(cpu=0.02)
def work(n: int, seconds: float) -> int:
    print("attempt of", n, flush=True)
    time.sleep(seconds)
    return n

@flow
def train(seconds: float = 0.0) -> int:
    return sum(one.result() for one in work.map([1, 2], seconds=seconds))
"""


@contextlib.contextmanager
def started(project: Project, *command: str) -> Iterator[subprocess.Popen[str]]:
    """A command that runs, and is killed at last where it still does."""
    run = project.start(*command)
    try:
        yield run
    finally:
        run.kill()
        run.communicate()


def begun(project: Project) -> int:
    """How many attempts have printed something."""
    with started(project, "logs", "train/1") as command:
        return command.communicate(timeout=60)[0].count("attempt of")


def test_pods_go_on_without_their_driver_and_the_next_session_takes_them_over(project: Project, space: Space) -> None:
    project.write(SLOW)
    with started(project, "run", "train.py", "--seconds", "12", "--on", "pods"):
        wait_for(lambda: begun(project) == 2)
        assert "is being driven by process" in project.run("resume", "train/1", code=2)
    names = _pods_of(project)
    said = project.run("resume", "train/1")
    assert project.result("train/1") == 3
    tried = [one for n in (1, 2) for one in attempts(project, f"train/1/work/{n}")]
    assert [one["state"] for one in tried] == ["succeeded"] * 2, said
    assert {one["host"].partition(" on ")[0] for one in tried} == names
    assert begun(project) == 2
    wait_for(lambda: not names & {one.metadata.name for one in pods(space)})


def _pods_of(project: Project) -> set[str]:
    """Where the attempts of the run are, as their records say."""
    tried = [one for n in (1, 2) for one in attempts(project, f"train/1/work/{n}")]
    return {one["host"].partition(" on ")[0] for one in tried}


def test_pods_of_a_dead_driver_are_deleted_by_the_next_session(project: Project, space: Space) -> None:
    project.write(SLOW)
    with started(project, "run", "train.py", "--seconds", "600", "--on", "pods"):
        wait_for(lambda: begun(project) == 2)
    old = _pods_of(project)
    assert old <= {one.metadata.name for one in pods(space)}
    project.write(SLOW.replace("float) -> int:\n    print", "float) -> int:\n    seconds = 0\n    print"))
    project.run("resume", "train/1")
    assert project.result("train/1") == 3
    wait_for(lambda: not old & {one.metadata.name for one in pods(space)})


def test_cut_between_driver_and_pods_costs_time_and_nothing_else(project: Project, cluster: Cluster) -> None:
    """Longer than the silence after which either side takes the connection to be lost."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = probe.getsockname()[1]
    project.write(SLOW, address=f"{cluster.host}:{port}")
    with started(project, "run", "train.py", "--seconds", "20", "--on", "pods") as run:
        wait_for(lambda: begun(project) == 2)
        with cut(port):
            time.sleep(max(13.0, AWAY))
        said, _ = run.communicate(timeout=120)
    assert run.returncode == 0, said
    assert [len(attempts(project, f"train/1/work/{n}")) for n in (1, 2)] == [1, 1]
