"""Runs whose driver is here and whose steps are in pods."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.clusters import Cluster
from tests.kubernetes.conftest import Space
from tests.kubernetes.projects import Project

from headrace.testing.api_requests import counted_requests

FLOW = """
import os
import socket
from headrace import Pod, flow, log_metric, step

@step(cpu=0.05)
def fit(n: int) -> tuple[int, str]:
    print("fitting", n, flush=True)
    log_metric("loss", 1 / n)
    return n * n, socket.gethostname()

@step(cpu=0.05, pod=Pod(labels={"team": "blue"}, annotations={"note": "x"}))
def label() -> str:
    return socket.gethostname()

@step(place="local")
def here() -> str:
    return socket.gethostname()

@flow
def train() -> dict:
    fitted = [one.result() for one in fit.map(list(range(1, 13)))]
    return {"squares": [n for n, _ in fitted], "hosts": sorted({host for _, host in fitted}), "label": label(),
            "here": here()}
"""


@pytest.fixture
def project(tmp_path: Path, space: Space, cluster: Cluster, image: str, bucket: dict[str, str]) -> Project:
    return Project(tmp_path, space, cluster, image, bucket)


def test_steps_run_in_warm_pods_and_the_run_goes_as_it_does_here(project: Project) -> None:
    project.write(FLOW, limits={"pods": 2})
    said = project.run("run", "train.py", "--on", "pods")
    result = project.result("train/1")
    assert result["squares"] == [n * n for n in range(1, 13)], said
    assert 1 <= len(result["hosts"]) <= 2
    assert result["label"].startswith("train-1-")
    assert result["label"] not in result["hosts"], "a step with other settings has a pod of its own"
    assert result["here"] != result["label"]
    assert "fitting 7" in project.run("logs", "train/1")
    [attempt] = json.loads(project.run("show", "train/1/label/1", "--json"))["attempts"]
    pod, node = attempt["host"].split(" on ")
    assert (attempt["pod"]["name"], attempt["pod"]["node"]) == (pod, node)
    told = [one["text"] for one in attempt["pod"]["events"]]
    assert "its worker joined the run" in told
    shown = project.run("show", "train/1/label/1")
    assert f"Pod {pod}" in shown
    assert "its worker joined the run" in shown


MANY = """
from headrace import flow, step

@step(cpu=0.05)
def work(n: int) -> int:
    return n

@flow
def train(count: int) -> int:
    return sum(one.result() for one in work.map(range(count)))
"""


def test_api_server_is_asked_per_run_and_per_pod_and_never_per_task(project: Project) -> None:
    with counted_requests(project.space.variables["KUBECONFIG"]) as requests:
        project.write(MANY, kubeconfig=str(requests.kubeconfig), limits={"pods": 2})
        project.run("run", "train.py", "--count", "500", "--on", "pods")
    pods = requests.counted["POST pods"] - 1  # one is only offered, to see whether the namespace takes pods
    assert 1 <= pods <= 2
    assert requests.counted["DELETE pods"] == pods
    assert requests.total() - 2 * pods <= 16, requests.counted
