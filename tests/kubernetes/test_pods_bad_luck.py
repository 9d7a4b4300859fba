"""Runs whose pods are evicted, have no disk or another clock, or are lost together while nobody can ask for others."""

from __future__ import annotations

import base64
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap
from tests.clusters import Cluster
from tests.kubernetes.conftest import Space
from tests.kubernetes.projects import Project
from tests.kubernetes.test_pods_trouble import attempts, pods

from headrace.executors.kubernetes.access import Access
from headrace.executors.kubernetes.client import ClusterClient, ClusterError, Kind

#: Seconds by which the clock of a pod is wrong. S3 refuses requests from clocks that are wrong by more than 15 minutes.
SKEW = -800
#: Shifts the clock of all programs that load it, and nothing that measures how long something takes.
CLOCK = f"""
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {{
    int code = syscall(SYS_clock_gettime, clock, now);
    if (!code && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += {SKEW};
    return code;
}}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {{
    int code = syscall(SYS_gettimeofday, now, zone);
    if (!code) now->tv_sec += {SKEW};
    return code;
}}
time_t time(time_t *out) {{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}}
"""

FLOW = """
import os
import time
from headrace import Pod, flow, log_metric, step

def worker(**container):
    return {"spec": {"containers": [{"name": "worker", **container}]}}

@step(cpu=0.02, pod=Pod(labels={"luck": "evicted"}))
def evicted() -> None:
    print("begun", flush=True)
    time.sleep(600)

@step(cpu=0.02, pod=Pod(patch=worker(resources={"limits": {"ephemeral-storage": "20Mi"}})))
def greedy() -> None:
    with open("/tmp/much", "wb") as file:
        file.write(bytes(64 << 20))
    time.sleep(600)

@step(cpu=0.02, pod=Pod(patch={"spec": {"volumes": [
    {"name": "headrace-root", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}]}}))
def full(n: int) -> bytes:
    try:
        with open("/headrace/much", "wb") as file:
            while True:
                file.write(bytes(1 << 16))
    except OSError as error:
        print("disk:", error, flush=True)
    return os.urandom(n)

@step(cpu=0.02, pod=Pod(
    volumes=[{"name": "clock", "configMap": {"name": "clock"}}],
    volume_mounts=[{"name": "clock", "mountPath": "/clock"}],
    patch=worker(env=[{"name": "LD_PRELOAD", "value": "/clock/clock.so"}]),
))
def late(told: float, data: bytes) -> tuple[int, int]:
    log_metric("loss", 1.0)
    time.sleep(1)
    return 100 * round((time.time() - told) / 100), len(data)

@flow
def train() -> dict:
    tasks = {"evicted": evicted.submit(), "greedy": greedy.submit(), "full": full.submit(3 << 20),
             "late": late.submit(time.time(), full(1000))}
    said = {}
    for name, task in tasks.items():
        try:
            said[name] = task.result()
        except Exception as error:
            said[name] = str(error)
    return said["late"], len(said["full"])
"""


@pytest.fixture
def project(tmp_path: Path, space: Space, cluster: Cluster, image: str, bucket: dict[str, str]) -> Project:
    return Project(tmp_path, space, cluster, image, bucket)


def _shifted_clock(space: Space, folder: Path) -> None:
    """A config map with a library that shifts clocks."""
    source, library = folder / "clock.c", folder / "clock.so"
    source.write_text(CLOCK)
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    data = {library.name: base64.b64encode(library.read_bytes()).decode()}
    space.client.create(ConfigMap(metadata=ObjectMeta(name="clock"), binaryData=data))


def _evict(client: ClusterClient, name: str) -> None:
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    try:
        client.request("POST", f"{Kind('v1', 'Pod').path(client.namespace, name)}/eviction", eviction)
    except ClusterError as error:
        assert error.code == 404, error  # it has ended just now


def test_evictions_full_disks_and_wrong_clocks_are_told_apart(project: Project, space: Space, cluster: Cluster) -> None:
    _shifted_clock(space, project.folder)
    project.write(FLOW, repeats=2, limits={"pods": 8})
    started = time.time()
    run = project.start("run", "train.py", "--on", "pods")
    until = time.monotonic() + 180
    seen: dict[str, float] = {}
    try:
        with ClusterClient(Access(str(cluster.kubeconfig)), space.name) as client:
            while run.poll() is None:
                assert time.monotonic() < until
                for one in [pod.metadata.name for pod in pods(space) if _is_evicted(pod)]:
                    if time.monotonic() - seen.setdefault(one, time.monotonic()) > 1.5:
                        _evict(client, one)
                time.sleep(0.2)
        said, _ = run.communicate(timeout=10)
    finally:
        run.kill()
    assert run.returncode == 0, said
    assert project.result("train/1") == ((SKEW, 1000), 3 << 20), said
    assert "disk: [Errno 28] No space left on device" in project.run("logs", "train/1/full")

    taken = attempts(project, "train/1/evicted/1")
    assert [one["state"] for one in taken] == ["lost", "lost", "failed"], taken
    assert all("was evicted (its node is drained" in one["error"] for one in taken)
    assert "So the task lost its worker 3 times; its place repeats that 2 times" in said
    (greedy,) = attempts(project, "train/1/greedy/1")
    assert "used more disk space than its limit (ephemeral-storage)" in greedy["error"], "its own fault"
    (late,) = attempts(project, "train/1/late/1")
    assert started < late["started"] < late["finished"] - 0.9 < time.time(), "as the clock of the driver says"


def _is_evicted(pod: Any) -> bool:
    return "luck" in pod.metadata.labels and pod.status.phase == "Running" and not pod.metadata.deletionTimestamp
