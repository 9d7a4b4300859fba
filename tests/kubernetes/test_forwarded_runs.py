"""Runs whose driver reaches nothing of the cluster but its API server."""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from tests.clusters import Cluster
from tests.kubernetes.conftest import Space
from tests.kubernetes.projects import Project

from headrace.testing.proxy import Proxy

FLOW = """
import socket, time
from headrace import flow, step

@step(cpu=0.05)
def double(n: int) -> tuple[int, str]:
    print("doubling", n, flush=True)
    return 2 * n, socket.gethostname()

@step(cpu=0.05)
def long(path: str) -> str:
    print("begun", flush=True)
    time.sleep(8)
    return socket.gethostname()

@flow
def train() -> list:
    made = [one.result() for one in double.map(list(range(20)))]
    return [sum(n for n, _ in made), len({host for _, host in made}), long("x")]
"""


class NamespacedProxy(Proxy):
    """A relay that listens in a network namespace and connects outside of it."""

    def __init__(self, namespace: str, address: tuple[str, int], target: tuple[str, int]) -> None:
        super().__init__(target)
        self._listener.close()
        made: list[socket.socket] = []
        thread = threading.Thread(target=_listen_in, args=(namespace, address, made))
        thread.start()  # a thread of its own, since it does not come back from there
        thread.join()
        (self._listener,) = made
        self.address = address


def _listen_in(namespace: str, address: tuple[str, int], made: list[socket.socket]) -> None:
    file = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(file, 0) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        made.append(socket.create_server(address))
    finally:
        os.close(file)


@pytest.fixture
def island() -> Iterator[str]:
    """A network namespace with a loopback, and no way to anywhere."""
    name = f"hr-{secrets.token_hex(4)}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        for words in (("link", "set", "lo", "up"), ("address", "add", "10.222.0.1/32", "dev", "lo")):
            subprocess.run(["ip", "-n", name, *words], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


@pytest.fixture
def project(tmp_path: Path, space: Space, cluster: Cluster, image: str, bucket: dict[str, str]) -> Project:
    return Project(tmp_path, space, cluster, image, bucket)


@contextlib.contextmanager
def _bridges(project: Project, cluster: Cluster, island: str) -> Iterator[Proxy]:
    """Let the island have the API server and the bucket, and nothing else; the relay of the first."""
    server = urlsplit(yaml.safe_load(cluster.kubeconfig.read_text())["clusters"][0]["cluster"]["server"])
    bucket = urlsplit(project.environ["AWS_ENDPOINT_URL"])
    assert server.hostname and server.port and bucket.hostname and bucket.port
    if server.hostname != "127.0.0.1" or bucket.hostname != "10.222.0.1":
        pytest.skip("needs the cluster of tests/cluster")
    api, store = (server.hostname, server.port), (bucket.hostname, bucket.port)
    with NamespacedProxy(island, api, api) as first, NamespacedProxy(island, store, store):
        yield first


def test_driver_that_reaches_the_api_server_alone_works_with_its_pods(
    project: Project, cluster: Cluster, island: str
) -> None:
    project.write(FLOW, address="forward", limits={"pods": 2})
    with _bridges(project, cluster, island) as api:
        command = ["ip", "netns", "exec", island, sys.executable, "-m", "headrace", "run", "train.py", "--on", "pods"]
        run = subprocess.Popen(
            command,
            cwd=project.folder,
            env=project.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            until = time.monotonic() + 90
            while "begun" not in _logs(project):
                assert run.poll() is None, run.communicate()
                assert time.monotonic() < until
                time.sleep(0.5)
            api.refusing = True  # the attempt goes on meanwhile
            api.cut()
            time.sleep(2)
            api.refusing = False
            said, _ = run.communicate(timeout=90)
        finally:
            run.kill()
            run.communicate()
    assert run.returncode == 0, said
    total, hosts, last = project.result("train/1")
    assert (total, hosts in (1, 2)) == (380, True)
    assert last.startswith("train-1-")
    logs = project.run("logs", "train/1")
    assert logs.count("begun") == 1, f"the attempt was repeated:\n{said}"
    assert logs.count("doubling") == 20


def test_attempt_of_a_killed_driver_is_taken_over_by_the_next_one(project: Project) -> None:
    flow = FLOW[: FLOW.index("@flow")] + "@flow\ndef train() -> list:\n    return [long('x')]\n"
    project.write(flow, address="forward")
    run = project.start("run", "train.py", "--on", "pods")
    try:
        until = time.monotonic() + 90
        while "begun" not in _logs(project):
            assert run.poll() is None, run.communicate()
            assert time.monotonic() < until
            time.sleep(0.2)
    finally:
        run.kill()
        run.communicate()
    said = project.run("resume", "train/1")
    assert project.result("train/1")[0].endswith("-1-1"), said  # the pod of the first session
    assert project.run("logs", "train/1").count("begun") == 1, said


def _logs(project: Project) -> str:
    """What the run has written so far, or that there is no such run yet."""
    return project.start("logs", "train/1").communicate(timeout=60)[0]
