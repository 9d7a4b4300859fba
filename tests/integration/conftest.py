"""A folder of its own for each test, in which flows run as a user would run them: ``python train.py``."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlparse

import pytest

from headrace.model.records import AttemptRecord, RunRecord, TaskId, TaskRecord
from headrace.services.logs import LogFilter, read_logs
from headrace.stores.artifacts.local import LocalStore
from headrace.stores.metadata.open import open_metadata
from headrace.stores.metadata.protocol import MetadataStore, RunFilter
from headrace.testing.proxy import HttpProxy
from headrace.testing.servers import rclone_s3

#: Marks every process that a test's flow starts, so that leftovers can be found.
_MARK = "HEADRACE_TEST_MARK"


class Finished(NamedTuple):
    """How a script ended."""

    code: int
    out: str
    err: str
    seconds: float


class Project:
    """See the module. Everything is kept in ``path/.headrace``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.home = path / ".headrace"
        self._mark = f"{path}-{os.getpid()}"
        self._opened: list[MetadataStore] = []
        self._started: list[subprocess.Popen[str]] = []
        #: Called in every process that is started, before it is Python.
        self.limit: Callable[[], None] | None = None

    # --- running ----------------------------------------------------------------------------------------------

    def write(self, text: str, name: str = "train.py") -> Path:
        """A file with ``text``, dedented, with the usual imports in front."""
        file = self.path / name
        file.write_text(
            "import os, sys, time\nimport headrace\nfrom headrace import flow, step\n" + textwrap.dedent(text)
        )
        return file

    def start(self, *argv: str, **env: str) -> subprocess.Popen[str]:
        """Start ``python *argv`` here, in a process group of its own."""
        kept = "HEADRACE_TEST_LOOK"
        clean = {key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_") or key == kept}
        process = subprocess.Popen(
            [sys.executable, *argv],
            cwd=self.path,
            env={**clean, _MARK: self._mark, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=self.limit,
        )
        self._started.append(process)
        return process

    def finish(self, process: subprocess.Popen[str], timeout: float = 40) -> Finished:
        """Wait for the end of what ``start`` began; a hang kills it and fails the test."""
        began = time.monotonic()
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self._kill()
            out, err = process.communicate()
            pytest.fail(f"hangs; it wrote:\n{out}\n{err}")
        return Finished(process.returncode, out, err, time.monotonic() - began)

    def run(self, text: str, *argv: str, name: str = "train.py", timeout: float = 40, **env: str) -> Finished:
        """Write ``text`` to a file and run it to its end."""
        return self.finish(self.start(str(self.write(text, name)), *argv, **env), timeout)

    def succeed(self, text: str, *argv: str, name: str = "train.py", **env: str) -> str:
        """Run it, see that it exits with 0, and return its stdout."""
        done = self.run(text, *argv, name=name, **env)
        assert done.code == 0, f"exit {done.code}\n{done.out}\n{done.err}"
        return done.out

    def fail(self, text: str, *argv: str, code: int = 1, name: str = "train.py", **env: str) -> str:
        """Run it, see that it exits with ``code`` and shows no frame of Headrace, and return its stderr."""
        done = self.run(text, *argv, name=name, **env)
        assert done.code == code, f"exit {done.code}\n{done.out}\n{done.err}"
        assert_no_frames_of_ours(done.err)
        return done.err

    def processes(self) -> list[int]:
        """Live processes that came of anything started here."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    mark = f"{_MARK}={self._mark}".encode()
                    alive = b") Z " not in (entry / "stat").read_bytes()
                    if alive and mark in (entry / "environ").read_bytes().split(b"\0"):
                        found.append(int(entry.name))
        return found

    def assert_nothing_left(self, seconds: float = 3) -> None:
        """All processes are gone, at the latest in a moment."""
        self.eventually(lambda: not self.processes(), seconds, "processes are left behind")

    @staticmethod
    def eventually(condition: Callable[[], object], seconds: float = 10, message: str = "it never happened") -> None:
        """Wait until ``condition`` holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(message)
            time.sleep(0.02)

    # --- looking ----------------------------------------------------------------------------------------------

    @property
    def metadata(self) -> MetadataStore:
        """The store of the runs made here."""
        if not self._opened:
            self._opened.append(open_metadata(f"sqlite:///{self.home / 'metadata.db'}"))
        return self._opened[0]

    def close(self) -> None:
        """Let go of the store; end what is left."""
        for store in self._opened:
            store.close()
        self._opened.clear()
        self._kill()
        for process in self._started:  # of a test that failed: its pipes must not be found open in a later one
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            for pipe in (process.stdout, process.stderr):
                if pipe:
                    pipe.close()
        self._started.clear()

    def _kill(self) -> None:
        while found := self.processes():
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def last(self) -> RunRecord:
        """The newest run."""
        runs = self.metadata.runs(RunFilter(limit=1))
        assert runs, "no run was made"
        return runs[0]

    def tasks(self, step: str | None = None) -> list[TaskRecord]:
        """The tasks of the newest run."""
        return self.metadata.tasks(self.last().id, step)

    def attempts(self, step: str, number: int = 1) -> list[AttemptRecord]:
        """The attempts of one task of the newest run."""
        return self.metadata.attempts(self.last().id, TaskId(step, number))

    def log(self, step: str, number: int = 1, stream: str | None = None) -> bytes:
        """What a task of the newest run printed."""
        want = LogFilter(task=TaskId(step, number), stream=stream or "")
        chunks = read_logs(self.metadata, LocalStore(self.home / "artifacts"), self.last().id, want)
        return b"".join(chunk.data for chunk in chunks)


def assert_no_frames_of_ours(text: str) -> None:
    """No traceback in ``text`` shows a line of this package."""
    ours = [line for line in text.splitlines() if 'File "' in line and f"{os.sep}src{os.sep}headrace{os.sep}" in line]
    assert not ours, text


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project in a folder of its own; whatever is left running in it is killed."""
    made = Project(tmp_path)
    yield made
    made.close()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """The same for flows that run in the test's own process."""
    made = Project(tmp_path)
    monkeypatch.setenv("HEADRACE_HOME", str(made.home))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(_MARK, made._mark)
    yield made
    made.close()


@pytest.fixture
def s3() -> Iterator[tuple[HttpProxy, dict[str, str]]]:
    """An S3 server behind a proxy that may refuse; and the settings of a run that keeps its artifacts there."""
    with rclone_s3() as (url, config):
        at = urlparse(config["aws_endpoint_url"])
        assert at.hostname is not None
        assert at.port is not None
        with HttpProxy((at.hostname, at.port), lambda method, path: None) as proxy:
            config = {**config, "aws_endpoint_url": f"http://127.0.0.1:{proxy.address[1]}"}
            yield proxy, {"HEADRACE_ARTIFACTS": url, **{name.upper(): value for name, value in config.items()}}
