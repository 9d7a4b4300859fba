"""Every executor, and the fake, passes the suite of the protocol."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from headrace.executors.local import LocalExecutor
from headrace.model.policy import Resources
from headrace.stores.artifacts.memory import MemoryStore
from headrace.testing.engine import FakeExecutor
from headrace.testing.executors import ExecutorSuite, ProcessExecutorSuite, Talk, pid

CAPACITY = Resources(cpu=2.0)
TESTS_OF_THE_SUITE = len([name for name in dir(ProcessExecutorSuite) if name.startswith("test_")])


def test_forked_workers() -> None:
    """In a process of its own: another test may have left a thread in this one, which could then not be forked."""
    file = Path(__file__).with_name("forked_workers.py")
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", str(file)]
    done = subprocess.run(command, cwd=file.parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = re.search(r"^=+ (\d+) passed in", done.stdout, re.MULTILINE)
    assert summary, f"some were skipped:\n{done.stdout}"
    assert int(summary[1]) > TESTS_OF_THE_SUITE


class TestStartedWorkers(ProcessExecutorSuite):
    """The same when this process has threads, so that it cannot be forked."""

    @pytest.fixture
    def executor(self):
        over = threading.Event()
        thread = threading.Thread(target=over.wait)
        thread.start()
        yield LocalExecutor(CAPACITY, MemoryStore())
        over.set()
        thread.join()

    def test_workers_come_from_a_fresh_interpreter(self, started: LocalExecutor, talk: Talk) -> None:
        worker = int(str(talk.call(pid)))
        assert "headrace.worker.server" in Path(f"/proc/{worker}/cmdline").read_text()


class TestFakeExecutor(ExecutorSuite):
    @pytest.fixture
    def executor(self) -> FakeExecutor:
        return FakeExecutor(CAPACITY)
