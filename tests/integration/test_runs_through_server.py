"""Runs of folders that have nothing but the address of a server: it keeps records and objects, and may be killed."""

from __future__ import annotations

import collections
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from headrace import connect

FLOW = """
import time
from pathlib import Path

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


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def wait_for(what: str, check: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not check():
        assert time.monotonic() < until, f"waited for {what}"
        time.sleep(0.02)


@contextlib.contextmanager
def served(home: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A server of its own process, which answers."""
    command = [sys.executable, "-m", "headrace", "server", "--port", str(port), "--home", str(home)]
    process = subprocess.Popen(command, cwd=home.parent, stderr=subprocess.PIPE)

    def answers() -> bool:
        assert process.poll() is None, process.stderr.read().decode() if process.stderr else ""
        with contextlib.suppress(OSError, urllib.error.URLError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5).close()
            return True
        return False

    try:
        wait_for("the server", answers)
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stderr:
            process.stderr.close()


def environment(port: int) -> dict[str, str]:
    variables = {name: text for name, text in os.environ.items() if not name.startswith("HEADRACE_")}
    return {**variables, "HEADRACE_SERVER": f"http://127.0.0.1:{port}", "HEADRACE_TOKEN": "unused-without-accounts"}


def test_run_goes_on_after_its_server_was_killed(tmp_path: Path) -> None:
    """Steps run once each, their objects are stored, and the run ends right, though its server was away for a while."""
    port, home, laptop = free_port(), tmp_path / "server" / "home", tmp_path / "laptop"
    home.parent.mkdir()
    laptop.mkdir()
    (laptop / "flow.py").write_text(FLOW)
    done = laptop / "done.txt"
    done.touch()
    command = [sys.executable, "-m", "headrace", "run", "flow.py"]
    with served(home, port) as first:
        run = subprocess.Popen(
            command, cwd=laptop, env=environment(port), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        wait_for("some steps", lambda: len(done.read_text().splitlines()) >= 10 or run.poll() is not None)
        first.send_signal(signal.SIGKILL)
        first.wait()
    killed_at = len(done.read_text().splitlines())
    time.sleep(3.0)
    assert run.poll() is None
    with served(home, port):
        told, errors = run.communicate(timeout=100)
        assert run.returncode == 0, errors
        assert killed_at < COUNT
        ran = collections.Counter(done.read_text().split())
        assert ran == {str(n): 1 for n in range(COUNT)}
        assert f"the Headrace server http://127.0.0.1:{port}" in errors
        assert f"result     {300_000 + 10}" in told + errors
        with connect(server=f"http://127.0.0.1:{port}") as client:
            found = client.run("long/1")
            assert [len(task.attempts) for task in found.tasks] == [1] * COUNT
    assert not list(laptop.glob(".headrace/*.db"))
