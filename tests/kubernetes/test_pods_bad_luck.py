"""Runs whose pods are evicted, have no disk or another clock, or are lost together while nobody can ask for others."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap
from tests.cluster import common
from tests.clusters import Cluster
from tests.kubernetes.conftest import Space
from tests.kubernetes.projects import Project
from tests.kubernetes.test_pods_trouble import attempts, pods

from headrace.executors.kubernetes.access import Access
from headrace.executors.kubernetes.client import ClusterClient, ClusterError, Kind
from headrace.testing.proxy import Proxy

POD = Kind("v1", "Pod")
#: Seconds for which the API server is away: more than its client's longest pause between two tries, so that longer ones
#: are the same again.
AWAY = float(os.environ.get("HEADRACE_TEST_AWAY", "6"))
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
        client.request("POST", f"{POD.path(client.namespace, name)}/eviction", eviction)
    except ClusterError as error:
        assert error.code == 404, error  # it has ended just now


@pytest.mark.timeout(300)
def test_evictions_full_disks_and_wrong_clocks_are_told_apart(project: Project, space: Space, cluster: Cluster) -> None:
    _shifted_clock(space, project.folder)
    project.write(FLOW, repeats=2, limits={"pods": 8})
    started = time.time()
    run = project.start("run", "train.py", "--on", "pods")
    try:
        with ClusterClient(Access(str(cluster.kubeconfig)), space.name) as client:
            for times in range(1, 4):
                _await_begun(project, run, times, "train/1/evicted", "begun")
                for one in [pod.metadata.name for pod in pods(space) if _is_evicted(pod)]:
                    _evict(client, one)
        said, _ = run.communicate(timeout=120)
    finally:
        run.kill()
        run.wait()
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


TEN = """
import os
import time
from headrace import flow, step

@step(cpu=0.02)
def work(n: int) -> int:
    print("attempt of", n, flush=True)
    if int(os.environ["HEADRACE_POD"].rpartition("-")[2]) <= 10:
        time.sleep(600)
    return n

@flow
def train() -> int:
    return sum(one.result() for one in work.map(list(range(10))))
"""


class _Forgetful(Proxy):
    """A way to an API server which, once ``stale``, asks for the oldest version of pods until the server refuses it."""

    stale = False
    asked = 0

    def _share(self, direction: str, data: bytes) -> tuple[bytes, bool]:
        if self.stale and direction == "request" and re.match(rb"GET \S+/pods\?\S*watch=true", data):
            self.asked += 1
            data = re.sub(rb"resourceVersion=\d+", b"resourceVersion=1", data, count=1)
        if self.stale and direction == "answer" and b"too old resource version: 1 " in data:
            self.stale = False
        return super()._share(direction, data)


@contextlib.contextmanager
def _forgetful(project: Project, cluster: Cluster) -> Iterator[_Forgetful]:
    """Let the commands of a project reach the API server by a proxy, to which it speaks plain HTTP."""
    command = [common.BIN / "kubectl", "--kubeconfig", cluster.kubeconfig, "proxy", "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            host, _, port = server.stdout.readline().rpartition(" ")[2].strip().rpartition(":")
            with _Forgetful((host, int(port))) as proxy:
                _write_kubeconfig(project, f"http://{proxy.address[0]}:{proxy.address[1]}")
                yield proxy
        finally:
            server.kill()


def _write_kubeconfig(project: Project, server: str) -> None:
    config = {
        "clusters": [{"name": "behind", "cluster": {"server": server}}],
        "contexts": [{"name": "behind", "context": {"cluster": "behind"}}],
        "current-context": "behind",
    }
    file = project.folder / "kubeconfig"
    file.write_text(json.dumps(config))
    project.environ["KUBECONFIG"] = str(file)


def _compact_etcd() -> None:
    """Let the cluster's etcd forget all versions but the current ones."""
    keys = common.RUN / "pki"
    context = ssl.create_default_context(cafile=keys / "ca.crt")
    context.load_cert_chain(keys / "apiserver-client.crt", keys / "apiserver-client.key")

    def ask(path: str, **body: Any) -> Any:
        request = urllib.request.Request(f"https://127.0.0.1:2379/v3/kv/{path}", json.dumps(body).encode())
        with urllib.request.urlopen(request, context=context, timeout=20) as answer:
            return json.load(answer)

    now = ask("range", key=base64.b64encode(b"/").decode())["header"]["revision"]
    ask("compaction", revision=now, physical=True)


@pytest.mark.timeout(300)
def test_ten_pods_lost_while_the_api_server_is_away_are_replaced_when_it_is_back(
    project: Project, space: Space, cluster: Cluster
) -> None:
    """Meanwhile etcd is compacted, and the watch goes on from a version that is gone."""
    project.write(TEN, limits={"pods": 10})
    project.environ |= {"HEADRACE_LOG": "text", "HEADRACE_LOG_LEVEL": "debug"}
    with _forgetful(project, cluster) as way, ClusterClient(Access(str(cluster.kubeconfig)), space.name) as client:
        run = project.start("run", "train.py", "--on", "pods")
        try:
            _await_begun(project, run, 10)
            way.refusing = True
            way.cut()
            client.request("DELETE", POD.path(space.name))
            if cluster.kubeconfig == common.KUBECONFIG:
                _compact_etcd()
            time.sleep(AWAY)
            assert run.poll() is None
            way.stale, way.refusing = True, False
            said, _ = run.communicate(timeout=120)
        finally:
            run.kill()
            run.wait()
    assert run.returncode == 0, said
    assert way.asked
    tried = [one["state"] for n in range(1, 11) for one in attempts(project, f"train/1/work/{n}")]
    assert tried == ["lost", "succeeded"] * 10, said
    assert len(re.findall("the API server http://.* does not answer", said)) == 1
    assert said.count("the API server answers again") == 1
    told = len(re.findall(r"was deleted[^;]*; what it had in hand is done again", said))
    assert told == 1 or (told == 0 and AWAY > 50), "once; never where they are given up before"
    listed = re.findall(r"/(pods|events) is listed again: (.*)", said)
    assert "too old resource version: 1" in dict(listed)["pods"], said
    if cluster.kubeconfig == common.KUBECONFIG:  # events are asked of etcd itself
        assert "too old" in dict(listed)["events"], said


def _await_begun(
    project: Project, run: subprocess.Popen[str], count: int, what: str = "train/1", text: str = "attempt of"
) -> None:
    """Wait until so many attempts have printed ``text``."""
    until = time.monotonic() + 100
    while (begun := project.start("logs", what).communicate(timeout=60)[0].count(text)) < count:
        assert run.poll() is None, run.communicate()
        assert time.monotonic() < until, f"{begun} have begun"
        time.sleep(0.5)
