"""Runs that the pages of a server resume and start, when their place is a cluster: their drivers are there."""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.clusters import Cluster
from tests.kubernetes.conftest import Space
from tests.kubernetes.projects import Project, allow_drivers, driven_project

FLOW = """
import socket
from headrace import flow, step

@step(cpu=0.02)
def fit(n: int) -> str:
    return socket.gethostname()

@flow
def train(n: int = 1, fail: bool = False) -> list:
    found = fit(n)
    if fail:
        raise ValueError("not this time")
    return [found, socket.gethostname()]
"""


class Office:
    """A server without accounts over the stores and in the folder of a project."""

    def __init__(self, project: Project) -> None:
        self.project = project
        with socket.create_server(("127.0.0.1", 0)) as found:
            port = int(found.getsockname()[1])
        self.url = f"http://127.0.0.1:{port}/api/v1/projects/{project.environ['HEADRACE_PROJECT']}"
        self.process = project.start("server", "--port", str(port))
        until = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5).close()
            except OSError:
                assert time.monotonic() < until, "the server does not answer"
                assert self.process.poll() is None
                time.sleep(0.1)
            else:
                return

    def ask(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from None

    def carried_out(self, path: str, body: Any) -> Any:
        """An order once its driver is done."""
        order = self.ask(path, body)
        until = time.monotonic() + 150
        while order["state"] != "ended":
            assert time.monotonic() < until, order
            time.sleep(0.3)
            order = self.ask(f"/drivers/{order['id']}")
        assert order["exit_code"] == 0, order["output"]
        return order


@pytest.fixture
def office(
    tmp_path: Path, space: Space, cluster: Cluster, image: str, bucket: dict[str, str], database: str
) -> Iterator[Office]:
    variables = {**bucket, "HEADRACE_DATABASE": database}
    allow_drivers(space, variables)
    project = driven_project(tmp_path, space, cluster, image, variables)
    project.write(FLOW)
    said = project.run("run", "train.py", "--fail", "true", "--on", "pods", code=1)
    assert "not this time" in said
    (tmp_path / "train.py").write_text("raise SystemExit('this is not what was recorded')")
    made = Office(project)
    yield made
    made.process.kill()
    made.process.communicate()


@pytest.mark.timeout(400)
def test_pages_resume_and_start_runs_whose_drivers_are_in_the_cluster(office: Office) -> None:
    command = office.ask("/runs/train/1")["surroundings"]["command"]
    assert command[-6:] == ["run", "train.py", "--fail", "true", "--on", "pods"], (
        "what was called, not what the pod ran"
    )
    office.carried_out("/runs/train/1/resume", {"parameters": {"fail": False}})
    assert office.ask("/runs/train/1")["run"]["state"] == "succeeded"
    order = office.carried_out("/flows/train/start", {"run": 1, "parameters": {"n": 2, "fail": False}})
    assert order["run"] == "train/2"
    for run in ("train/1", "train/2"):
        worker, driver = office.project.result(run)
        assert worker.startswith(f"{run.replace('/', '-')}-")
        assert "-driver-" in driver
