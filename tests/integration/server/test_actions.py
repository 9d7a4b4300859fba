"""What users do to runs through the API, with real drivers underneath."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.integration.server.conftest import Served, environment, headrace

from headrace.services.marks import UNDO_SECONDS, purge
from headrace.settings import Settings
from headrace.wiring import Workspace

FLOW = """
import time
import headrace
from headrace import flow, step

@step
def double(n: int) -> int:
    return 2 * n

@step
def nap(seconds: float) -> None:
    time.sleep(seconds)

@flow
def train(n: int = 1, ask: bool = False, seconds: float = 0.0) -> int:
    if ask:
        n = headrace.wait_for("size", prompt="How many?")
    nap(seconds)
    return double(n)
"""
RUN = "/api/v1/projects/default/runs/train"


def eventually(what: Callable[[], Any], seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.1)
    return found


class Acted:
    """A workspace of its own, with a server over it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "train.py").write_text(FLOW)
        for _ in range(2):
            assert headrace(folder, "run", "train.py").returncode == 0
        self.server = Served(folder)

    @property
    def client(self) -> httpx.Client:
        return self.server.client

    def post(self, path: str, body: Any = None, status: int = 200, method: str = "POST") -> Any:
        """What the server answers to a change."""
        answer = self.client.request(method, path, json=body) if body is not None else self.client.request(method, path)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def run(self, number: int) -> Any:
        return self.client.get(f"{RUN}/{number}").json()["run"]

    def names(self, **query: str) -> list[str]:
        """The runs that a list has."""
        answer = self.client.get("/api/v1/projects/default/runs", params=query)
        assert answer.status_code == 200, answer.text
        return [one["name"] for one in answer.json()["items"]]

    def drive(self, *arguments: str) -> subprocess.Popen[str]:
        """A driver in the folder."""
        command = [sys.executable, "-m", "headrace", "run", "--quiet", "train.py", *arguments]
        return subprocess.Popen(command, cwd=self.folder, env=environment(), stdout=subprocess.DEVNULL, text=True)


@pytest.fixture(scope="module")
def acted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Acted]:
    made = Acted(tmp_path_factory.mktemp("acted"))
    yield made
    made.server.stop(signal.SIGKILL)


def test_run_is_named_tagged_pinned_and_archived(acted: Acted) -> None:
    run = f"{RUN}/1"
    assert acted.post(f"{run}/rename", {"name": "the good one"})["tags"] == {"name": "the good one"}
    assert acted.post(f"{run}/tags/stage", {"value": "prod"}, method="PUT")["tags"]["stage"] == "prod"
    assert acted.post(f"{run}/tags/stage", method="DELETE")["tags"] == {"name": "the good one"}
    assert acted.post(f"{run}/rename", {"name": "two\nlines"}, status=400)["error"] == "UsageError"
    assert acted.post(f"{run}/pin")["pinned"]
    assert "is pinned" in acted.post(f"{run}/delete", status=400)["detail"]
    assert not acted.post(f"{run}/pin?on=false")["pinned"]
    assert acted.post(f"{run}/archive")["archived"]
    assert "train/1" not in acted.names() and acted.names(mark="archived") == ["train/1"]
    assert "train/1" not in headrace(acted.folder, "runs").stdout
    done = headrace(acted.folder, "mark", "train/1", "--unarchive", "--pin", "--tag", "stage=test")
    assert done.returncode == 0 and "pinned" in done.stdout
    assert "train/1" in acted.names() and acted.run(1)["tags"]["stage"] == "test"
    assert "is pinned" in headrace(acted.folder, "rm", "--yes", "train/1").stderr


def test_deleted_run_can_be_restored_for_a_while_and_is_gone_then(acted: Acted) -> None:
    run = f"{RUN}/2"
    until = acted.post(f"{run}/delete")["until"]
    assert 0 < until - time.time() <= UNDO_SECONDS
    assert acted.post(f"{run}/delete")["until"] == until, "once"
    assert "train/2" not in acted.names() and acted.names(mark="deleted") == ["train/2"]
    refused = headrace(acted.folder, "resume", "train/2")
    assert refused.returncode == 2 and "train/2 was deleted" in refused.stderr
    assert "train/2 was deleted" in acted.post(f"{run}/resume", {}, status=400)["detail"]
    assert acted.post(f"{run}/restore")["deleted"] is None
    assert "train/2" in acted.names()
    until = acted.post(f"{run}/delete")["until"]
    with Workspace(Settings(home=str(acted.folder / ".headrace"))) as workspace:
        assert purge(workspace.metadata, until - 1) == []
        assert purge(workspace.metadata, until + 1) == ["train/2"]
    assert acted.client.get(run).status_code == 404
    assert acted.post(f"{run}/restore", status=404)["error"] == "NotFoundError"


def test_answer_reaches_a_live_run_and_cancel_stops_one(acted: Acted) -> None:
    driver = acted.drive("--ask", "true")
    number = eventually(lambda: next((one for one in acted.names(state="running")), "")).rpartition("/")[2]
    run = f"{RUN}/{number}"
    eventually(lambda: acted.client.get(run).json()["questions"])
    assert "it asks 'size'" in acted.post(f"{run}/waits/other/answer", {"value": 1}, status=404)["detail"]
    acted.post(f"{run}/waits/size/answer", {"value": 21})
    assert driver.wait(60) == 0 and acted.run(int(number))["state"] == "succeeded"
    assert "is not running" in acted.post(f"{run}/cancel", status=400)["detail"]
    driver = acted.drive("--seconds", "300")
    number = str(int(number) + 1)
    eventually(lambda: f"train/{number}" in acted.names(state="running"))
    assert acted.post(f"{RUN}/{number}/delete", status=409)["error"] == "RunBusyError"
    acted.post(f"{RUN}/{number}/cancel")
    assert driver.wait(60) != 0 and acted.run(int(number))["state"] == "cancelled"
    actions = [one["action"] for one in acted.client.get("/api/v1/audit", params={"limit": 100}).json()["items"]]
    assert {"run.cancel", "run.answer", "run.pin", "run.delete", "run.restore", "run.tag"} <= set(actions)
