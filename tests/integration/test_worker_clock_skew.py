"""A worker elsewhere whose clock is a minute ahead or behind is a worker like any other."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING

import pytest

from headrace.model.handshake import SILENCE_SECONDS

if TYPE_CHECKING:
    from tests.integration.conftest import Project

FLOW = """
@step(place="far", timeout="40s")
def quick(n):
    time.sleep(0.2)
    open("clock", "w").write(str(time.time()))
    return n + 1

@step(place="far")
def lasting(n):
    print("begun", flush=True)
    with open(os.path.join(HERE, "executions"), "a") as file:
        file.write("one ")
    deadline = time.monotonic() + 120
    while not os.path.exists(os.path.join(HERE, "go")) and time.monotonic() < deadline:
        time.sleep(0.05)
    return n

HERE = {here!r}

@flow
def main():
    return lasting(quick(1))
"""
#: Makes a process believe that it is another time.
SHIFTED = """
import os, time
_real, _shift = time.time, float(os.environ["SHIFT"])
time.time = lambda: _real() + _shift
"""


def headrace(project: Project, *words: str) -> subprocess.Popen[str]:
    return project.start("-m", "headrace", *words)


def start_worker(project: Project, port: int, shift: float) -> subprocess.Popen[bytes]:
    site = project.path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(textwrap.dedent(SHIFTED))
    join = project.home / "places" / "far.join"
    project.eventually(join.exists, 60)
    environ = {**os.environ, "PYTHONPATH": str(site), "SHIFT": str(shift)}
    command = [sys.executable, "-m", "headrace.cli", "worker", "--connect", f"127.0.0.1:{port}", "--workers", "1"]
    return subprocess.Popen([*command, "--secret-file", str(join), "--root", str(project.path / "w")], env=environ)


@pytest.mark.parametrize("shift", [60.0, -60.0])
def test_worker_whose_clock_differs_by_a_minute_is_one_like_others(project: Project, shift: float) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = f'[tool.headrace.places.far]\nkind = "workers"\nlisten = "127.0.0.1:{port}"\nadopt = "2m"\n'
    (project.path / "pyproject.toml").write_text(settings)
    project.write(FLOW.format(here=str(project.path)))
    began = time.time()
    driver = headrace(project, "run", "train.py")
    worker = start_worker(project, port, shift)
    try:
        project.eventually((project.path / "executions").exists, 60)
        assert abs(float((project.path / "w" / "clock").read_text()) - time.time() - shift) < 30
        time.sleep(SILENCE_SECONDS + 2.0)  # neither side takes the other for gone
        driver.send_signal(signal.SIGKILL)
        driver.communicate()
        resumed = headrace(project, "resume", "main/1")
        project.eventually(lambda: resumed.poll() is not None or _is_running(project), 60)
        (project.path / "go").touch()
        assert project.finish(resumed).code == 0
    finally:
        worker.terminate()
        worker.wait(30)
    assert (project.path / "executions").read_text() == "one "
    for task, shortest, longest in (("quick", 0.2, 30.0), ("lasting", SILENCE_SECONDS, 300.0)):
        shown = json.loads(project.finish(headrace(project, "show", f"main/1/{task}/1", "--json")).out)
        (attempt,) = shown["attempts"]
        assert attempt["state"] == "succeeded"
        assert began - 1 < attempt["started"] < attempt["finished"] < time.time() + 1
        assert shortest <= attempt["finished"] - attempt["started"] < longest


def _is_running(project: Project) -> bool:
    return "running" in project.finish(headrace(project, "runs")).out
