"""Runs of folders that have nothing but the address of a server: it keeps records and objects, and may be killed."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headrace import connect

FLOW = """
import time
from pathlib import Path

import pytest

from headrace import connect

from headrace import flow, step

@step
def work(n: int, before: bytes) -> bytes:
    with open("done.txt", "a") as file:
        file.write(f"{n}\\n")
    time.sleep(0.05)
    return bytes([n]) * 300_000 + before[:10]

@flow
def long(count: int = 30) -> int:
    value = b""
    for n in range(count):
        value = work(n, value)
    return len(value)
"""
COUNT = 30


def wait_for(what: str, check: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not check():
        assert time.monotonic() < until, f"waited for {what}"
        time.sleep(0.02)


class Office:
    """A server with accounts, in a process of its own, and the token of an editor."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        with socket.create_server(("127.0.0.1", 0)) as found:
            self.port = int(found.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self.command("user", "add", "ada", "--password-stdin", given="correct horse 9")
        self.command("user", "role", "ada", "editor")
        self.token = json.loads(self.command("token", "add", "laptop", "--user", "ada", "--json"))["token"]

    def command(self, *words: str, given: str = "") -> str:
        command = [sys.executable, "-m", "headrace", *words, "--home", str(self.home)]
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self) -> None:
        command = [sys.executable, "-m", "headrace", "server", "--port", str(self.port), "--home", str(self.home)]
        self.process = process = subprocess.Popen([*command, "--auth", "users"], stderr=subprocess.DEVNULL)

        def answers() -> bool:
            assert process.poll() is None
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{self.url}/healthz", timeout=5).close()
                return True
            return False

        wait_for("the server", answers)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def variables(self, **more: str) -> dict[str, str]:
        """Those of a process that knows the server and its token."""
        clean = {name: text for name, text in os.environ.items() if not name.startswith("HEADRACE_")}
        return {**clean, "HEADRACE_TOKEN": self.token, **more}


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    made = Office(tmp_path_factory.mktemp("office"))
    made.start()
    yield made
    made.kill()


def start_run(office: Office, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "headrace", "run", "flow.py"]
    environ = office.variables(HEADRACE_SERVER=office.url)
    return subprocess.Popen(command, cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_run_goes_on_after_its_server_was_killed(office: Office, tmp_path: Path) -> None:
    """Steps run once each, their objects are stored, and the run ends right, though its server was away for a while."""
    (tmp_path / "flow.py").write_text(FLOW)
    done = tmp_path / "done.txt"
    done.touch()
    run = start_run(office, tmp_path)
    wait_for("some steps", lambda: len(done.read_text().splitlines()) >= 10 or run.poll() is not None)
    office.kill()
    killed_at = len(done.read_text().splitlines())
    time.sleep(3.0)
    running = run.poll() is None
    office.start()
    told, errors = run.communicate(timeout=100)
    assert run.returncode == 0, errors
    assert running
    assert killed_at < COUNT
    assert collections.Counter(done.read_text().split()) == {str(n): 1 for n in range(COUNT)}
    assert f"the Headrace server {office.url}" in errors
    assert f"result     {300_000 + 10}" in told + errors
    with connect(home=office.home) as client:
        found = client.run("long/1")
        assert [len(task.attempts) for task in found.tasks] == [1] * COUNT
        assert found.user == "ada"
        assert found.result == 300_000 + 10
    assert not list(tmp_path.glob(".headrace/*.db"))


ELSEWHERE = """
import os
from headrace import flow, step

@step(place="far")
def away(n: int) -> tuple[bytes, str]:
    return bytes([n]) * 300_000, os.getcwd()

@step
def here(made: tuple[bytes, str]) -> str:
    assert len(made[0]) == 300_000
    return made[1]

@flow
def split() -> str:
    return here(away(1))
"""


def test_worker_elsewhere_needs_a_token_alone(office: Office, tmp_path: Path) -> None:
    """The driver tells it where the server is; its objects travel by way of that."""
    laptop, machine = tmp_path / "laptop", tmp_path / "machine"
    laptop.mkdir()
    machine.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as found:
        place = f"127.0.0.1:{found.getsockname()[1]}"
    (laptop / "flow.py").write_text(ELSEWHERE)
    (laptop / "pyproject.toml").write_text(f'[tool.headrace.places.far]\nkind = "workers"\nlisten = "{place}"\n')
    run = start_run(office, laptop)
    join = laptop / ".headrace/places/far.join"
    wait_for("the joining token", lambda: join.exists() or run.poll() is not None)
    command = [sys.executable, "-m", "headrace", "worker", "--connect", place, "--secret-file", str(join)]
    worker = subprocess.Popen([*command, "--once", "--root", str(machine)], env=office.variables())
    try:
        told, errors = run.communicate(timeout=100)
        assert run.returncode == 0, told + errors
        assert str(machine) in told + errors
        assert worker.wait(60) == 0
    finally:
        worker.kill()
        worker.wait()
