"""The suite of executors on workers that join over TCP: from this machine, and from another one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.executors.remote.executor import RemoteExecutor, RemoteOptions
from headrace.model.code import CodePackage
from headrace.model.workers import ServedRun
from headrace.stores.artifacts.local import LocalStore
from headrace.stores.artifacts.objects import ObjectStore
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.testing.executors import ProcessExecutorSuite, Talk, pid
from headrace.testing.namespaces import OtherMachine
from headrace.testing.servers import rclone_s3
from headrace.worker.join_token import identity_of

SECRET = "a secret of the tests"
TOKEN = identity_of(SECRET).token.write()


class Joined(RemoteExecutor):
    """One that a worker host joins as soon as it listens."""

    def __init__(self, host: str, store: ArtifactStore) -> None:
        super().__init__("remote", (host, 0), identity_of(SECRET), RemoteOptions())
        self._run = ServedRun("flow/1", "1@0", 1, store.put([CodePackage(()).encode()]), store.url)
        self.host: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        super().start()
        self.introduce(self._run)
        self.host = self.start_host(["-m", "headrace.cli", "worker", "--workers", "2"])

    def start_host(self, arguments: list[str]) -> subprocess.Popen[bytes]:
        raise NotImplementedError

    def close(self) -> None:
        super().close()
        if self.host is not None:
            self.host.terminate()
            assert self.host.wait(20) in (0, -signal.SIGTERM)  # the latter before it has begun
            self.host = None


class JoinedFromHere(Joined):
    def __init__(self, folder: Path) -> None:
        super().__init__("127.0.0.1", LocalStore(str(folder / "artifacts")))
        self._folder = folder

    def start_host(self, arguments: list[str]) -> subprocess.Popen[bytes]:
        command = [sys.executable, *arguments, "--root", str(self._folder / "w")]
        environ = {**os.environ, "HEADRACE_WORKER_SECRET": TOKEN}
        return subprocess.Popen([*command, "--connect", f"{self.address[0]}:{self.address[1]}"], env=environ)


class TestWorkersOverTcp(ProcessExecutorSuite):
    @pytest.fixture
    def executor(self, tmp_path: Path) -> JoinedFromHere:
        return JoinedFromHere(tmp_path)

    def test_workers_are_processes_of_another_interpreter(self, started: Joined, talk: Talk) -> None:
        worker = int(str(talk.call(pid)))
        assert "headrace.worker.server" in Path(f"/proc/{worker}/cmdline").read_text()


class JoinedFromElsewhere(Joined):
    def __init__(self, machine: OtherMachine, url: str, settings: dict[str, str]) -> None:
        super().__init__(machine.here, ObjectStore(url, config=settings))
        self._machine = machine
        self._settings = settings

    def start_host(self, arguments: list[str]) -> subprocess.Popen[bytes]:
        environ = {name.upper(): value for name, value in self._settings.items()}
        address = f"{self.address[0]}:{self.address[1]}"
        return self._machine.start(
            [*arguments, "--root", "/root/work", "--connect", address], {**environ, "HEADRACE_WORKER_SECRET": TOKEN}
        )


@pytest.fixture(scope="module")
def bucket(machine: OtherMachine) -> Iterator[tuple[str, dict[str, str]]]:
    with rclone_s3(host=machine.here) as bucket:
        yield bucket


class TestWorkersOfAnotherMachine(ProcessExecutorSuite):
    """Another network, another root folder: what they share with the driver is an S3 server."""

    @pytest.fixture
    def executor(self, machine: OtherMachine, bucket: tuple[str, dict[str, str]]) -> JoinedFromElsewhere:
        return JoinedFromElsewhere(machine, *bucket)

    def test_nothing_of_this_project_is_there(self, started: Joined, talk: Talk) -> None:
        worker = int(str(talk.call(pid)))
        root = Path(f"/proc/{worker}/root")
        assert Path(__file__).exists()
        assert not (root / Path(__file__).relative_to("/")).exists()
        assert os.readlink(f"/proc/{worker}/ns/net") != os.readlink("/proc/self/ns/net")
        assert os.readlink(f"/proc/{worker}/cwd").endswith("/root/work")
