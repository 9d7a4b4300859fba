"""The suite of executors on workers that are forked from the process of the tests.

``test_executors.py`` runs this file in a process of its own, which has no thread that does not survive a fork.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from headrace.executors.local import LocalExecutor, may_fork
from headrace.model.policy import Resources
from headrace.stores.artifacts.memory import MemoryStore
from headrace.testing.executors import ProcessExecutorSuite, Talk, double, ends, gone, hire, nap, pid


def server_of(worker: int) -> int:
    """The process that a worker was forked from."""
    return int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])


class TestForkedWorkers(ProcessExecutorSuite):
    @pytest.fixture
    def executor(self) -> LocalExecutor:
        assert may_fork()
        return LocalExecutor(Resources(cpu=2.0), MemoryStore())

    def test_workers_are_forked_not_started(self, talk: Talk) -> None:
        worker = int(str(talk.call(pid)))
        assert server_of(server_of(worker)) == os.getpid()
        assert "headrace.worker.server" not in Path(f"/proc/{worker}/cmdline").read_text()

    def test_the_death_of_the_server_is_the_end_of_its_workers_and_another_takes_its_place(
        self, started: LocalExecutor
    ) -> None:
        talks = [Talk(started, hire(started)) for _ in range(2)]
        workers = [int(str(talk.call(pid))) for talk in talks]
        talks[0].begin(nap, 30.0)
        os.kill(server_of(workers[0]), signal.SIGKILL)
        ended = ends(started, 2)
        assert {id(one.link) for one in ended} == {id(talk.link) for talk in talks}
        assert {one.code for one in ended} == {-signal.SIGKILL}
        for talk in talks:
            talk.link.close()
        fresh = Talk(started, hire(started))
        assert fresh.call(double, 4) == 8
        assert gone(*workers)
