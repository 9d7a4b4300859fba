"""The suite of executors on workers that join over TCP."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.executors.remote import RemoteExecutor
from headrace.model.handshake import Welcome
from headrace.stores.artifacts.local import LocalStore
from headrace.testing.executors import ProcessExecutorSuite, Talk, pid
from headrace.worker.joining import identity_of

SECRET = "a secret of the tests"


class Joined(RemoteExecutor):
    """One that a worker host of this machine joins."""

    def __init__(self, folder: Path) -> None:
        store = LocalStore(str(folder / "artifacts"))
        probe = store.put((b"a blob that every worker reads",))
        welcome = Welcome(session="s1", run="flow/1", artifacts=store.url, probe=(probe.digest.hex(), probe.size))
        super().__init__("remote", ("127.0.0.1", 0), identity_of(SECRET), welcome)
        self._folder = folder
        self.host: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        super().start()
        command = [sys.executable, "-m", "headrace.cli", "worker", "--workers", "2", "--root", str(self._folder / "w")]
        environ = {**os.environ, "HEADRACE_WORKER_SECRET": identity_of(SECRET).token.write()}
        self.host = subprocess.Popen([*command, "--connect", f"{self.address[0]}:{self.address[1]}"], env=environ)

    def close(self) -> None:
        super().close()
        if self.host is not None:
            self.host.terminate()
            assert self.host.wait(20) in (0, -signal.SIGTERM)  # the latter before it has begun


class TestWorkersOverTcp(ProcessExecutorSuite):
    @pytest.fixture
    def executor(self, tmp_path: Path) -> Iterator[RemoteExecutor]:
        return Joined(tmp_path)

    def test_workers_are_processes_of_another_interpreter(self, started: Joined, talk: Talk) -> None:
        worker = int(str(talk.call(pid)))
        assert "headrace.worker.server" in Path(f"/proc/{worker}/cmdline").read_text()
