"""Every executor, and the fake, passes the suite of the protocol."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from headrace.executors.local import LocalExecutor, may_fork
from headrace.model.policy import Resources
from headrace.stores.artifacts.memory import MemoryStore
from headrace.testing.engine import FakeExecutor
from headrace.testing.executors import ExecutorSuite, Talk, double, ends, gone, nap, pid

CAPACITY = Resources(cpu=2.0)


def server_of(worker: int) -> int:
    """The process that a worker was forked from."""
    return int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])


class TestForkedWorkers(ExecutorSuite):
    @pytest.fixture
    def executor(self) -> LocalExecutor:
        return LocalExecutor(CAPACITY, MemoryStore())

    def test_workers_are_forked_not_started(self, executor: LocalExecutor, request: pytest.FixtureRequest) -> None:
        if not may_fork():
            pytest.skip("another test left something in this process that does not survive a fork")
        talk = request.getfixturevalue("talk")
        worker = int(str(talk.call(pid)))
        assert server_of(server_of(worker)) == os.getpid()
        assert "headrace.worker.server" not in Path(f"/proc/{worker}/cmdline").read_text()

    def test_the_death_of_the_server_is_the_end_of_its_workers_and_another_takes_its_place(
        self, started: LocalExecutor
    ) -> None:
        talks = [Talk(started, started.provide()) for _ in range(2)]
        workers = [int(str(talk.call(pid))) for talk in talks]
        talks[0].begin(nap, 30.0)
        os.kill(server_of(workers[0]), signal.SIGKILL)
        ended = ends(started, 2)
        assert {id(one.link) for one in ended} == {id(talk.link) for talk in talks}
        assert {one.code for one in ended} == {-signal.SIGKILL}
        for talk in talks:
            talk.link.sock.close()
        fresh = Talk(started, started.provide())
        assert fresh.call(double, 4) == 8
        assert gone(*workers)


class TestStartedWorkers(ExecutorSuite):
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
    processes = False

    @pytest.fixture
    def executor(self) -> FakeExecutor:
        return FakeExecutor(CAPACITY)
