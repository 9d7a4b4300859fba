"""Every executor, and the fake, passes the suite of the protocol."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from headrace.engine.ports import Executor
from headrace.executors.environments import EnvironmentsExecutor, Preparation
from headrace.executors.local import LocalExecutor
from headrace.model.environments import EnvironmentLock
from headrace.model.errors import EnvironmentSetupError
from headrace.model.messages import Ready
from headrace.model.policy import Resources, StepPolicy
from headrace.model.values import Blob
from headrace.model.workers import ServedRun
from headrace.services.environments.construction import Construction
from headrace.stores.artifacts.memory import MemoryStore
from headrace.testing.engine import FakeExecutor
from headrace.testing.executors import ExecutorSuite, ProcessExecutorSuite, Talk, double, hire, pid

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


class TestBehindEnvironments(ProcessExecutorSuite):
    """The same through the executor that keeps one executor for each environment."""

    @pytest.fixture
    def executor(self):
        return EnvironmentsExecutor(LocalExecutor(CAPACITY, MemoryStore()), there, no_environment)


def there(lock: EnvironmentLock, step: str) -> None:
    return None


def no_environment(lock: EnvironmentLock, run: ServedRun) -> Executor:
    raise EnvironmentSetupError(f"{lock.label} is gone")


def test_worker_of_an_environment_that_cannot_be_had_ends_with_the_reason() -> None:
    executor = EnvironmentsExecutor(LocalExecutor(CAPACITY, MemoryStore()), there, no_environment)
    executor.start()
    executor.introduce(ServedRun("train/1", "key", 1, Blob(b"", 0), "memory:"))
    lock = EnvironmentLock(
        digest=b"d", request=b"r", label="old", python="3.10.1", platform="any", requirements="", packages=()
    )
    spec = executor.spec(StepPolicy(lock=lock))
    assert spec.environment == b"d".hex() and executor.spec(StepPolicy()).environment == ""
    link = executor.provide(spec, "fit")
    try:
        assert select.select([executor.fileno()], [], [], 10)[0]
        (ended,) = executor.exits()
        assert ended.link is link and ended.refused == "old is gone"
        assert executor.exits() == [] and not select.select([executor.fileno()], [], [], 0)[0]
    finally:
        link.close()
        executor.close()


def test_environments_are_prepared_at_once_while_their_workers_are_waited_for() -> None:
    begun, gate = threading.Semaphore(0), threading.Event()

    def wait() -> None:
        begun.release()
        assert gate.wait(60)

    def prepare(lock: EnvironmentLock, step: str) -> Preparation:
        return Construction(wait)

    def make(lock: EnvironmentLock, run: ServedRun | None) -> Executor:
        made = LocalExecutor(CAPACITY, MemoryStore())
        made.start()
        return made

    executor = EnvironmentsExecutor(LocalExecutor(CAPACITY, MemoryStore()), prepare, make)
    executor.start()
    locks = [
        EnvironmentLock(digest=one, request=b"", label="", python="3.11.1", platform="", requirements="", packages=())
        for one in (b"1", b"2")
    ]
    links = [executor.provide(executor.spec(StepPolicy(lock=lock)), "fit") for lock in (*locks, locks[0])]
    try:
        assert begun.acquire(timeout=60) and begun.acquire(timeout=60), "both are being prepared"
        assert not begun.acquire(blocking=False), "once each"
        executor.stop(links.pop(), 0.0)
        (ended,) = executor.exits()
        assert ended.code == -signal.SIGKILL
        ended.link.close()
        assert [link.receive() for link in links] == [[], []]
        gate.set()
        waiting = set(links)
        while waiting:
            assert select.select([executor, *waiting], [], [], 60)[0]
            assert executor.exits() == []
            waiting -= {link for link in waiting if any(isinstance(one, Ready) for one in link.receive() or ())}
        for link in links:
            executor.stop(link, 0.0)
        gone: set[Any] = set()
        while len(gone) < 2:
            assert select.select([executor], [], [], 60)[0]
            gone |= {ended.link for ended in executor.exits()}
        assert gone == set(links)
    finally:
        gate.set()
        executor.close()
        for link in links:
            link.close()


def test_a_worker_that_serves_once_is_ready_before_it_is_asked_for() -> None:
    executor = LocalExecutor(CAPACITY, MemoryStore())
    executor.start()
    links: list[Any] = []
    try:
        for _ in range(5):
            time.sleep(0.5)  # as a task may take
            links.append(hire(executor, isolated=True))
            assert select.select([links[-1]], [], [], 0.0)[0], "it is not up yet"
    finally:
        executor.close()
        for link in links:
            link.close()


def test_a_spare_worker_that_dies_is_not_handed_out() -> None:
    executor = LocalExecutor(CAPACITY, MemoryStore())
    executor.start()
    try:
        first = Talk(executor, hire(executor, isolated=True))
        worker = int(str(first.call(pid)))
        for spare in siblings(worker):
            os.kill(spare, signal.SIGKILL)
        time.sleep(0.5)
        assert executor.exits() == []
        second = Talk(executor, hire(executor, isolated=True))
        assert second.call(double, 4) == 8
        first.link.close()
        second.link.close()
    finally:
        executor.close()


def siblings(process: int) -> list[int]:
    """The other processes with the same parent."""

    def parent(of: str) -> str:
        return Path(f"/proc/{of}/stat").read_text().rpartition(")")[2].split()[1]

    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != process:
            with contextlib.suppress(OSError):
                if parent(entry.name) == parent(str(process)):
                    found.append(int(entry.name))
    return found


class TestFakeExecutor(ExecutorSuite):
    @pytest.fixture
    def executor(self) -> FakeExecutor:
        return FakeExecutor(CAPACITY)
