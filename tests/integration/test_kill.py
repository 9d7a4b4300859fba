"""SIGKILL of anything at any moment: the run goes on where it was, and what was recorded never runs again."""

from __future__ import annotations

import contextlib
import math
import os
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from headrace._base.process import host_name
from headrace.model.errors import StoreAwayError
from headrace.model.records import Lease
from headrace.model.states import AttemptState, RunState, TaskState
from headrace.stores import codecs
from headrace.stores.artifacts.local import LocalStore

if TYPE_CHECKING:
    from tests.integration.conftest import Project

COUNT = 100
#: Tasks from this one on wait for the test's leave, so that the run cannot end before the test is done with it.
HELD = 80

#: Each task appends to a file of its own: "s" when it starts, "e" when it is about to return.
FLOW = """
@step(retries=RETRIES)
def work(n: int, folder: str) -> int:
    while n >= 80 and not os.path.exists("go"):
        time.sleep(0.005)
    with open(os.path.join(folder, str(n)), "a", buffering=1) as file:
        file.write("s")
        file.flush()
        time.sleep(0.015)
        file.write("e")
    return n * n

@step
def total(parts: list[int]) -> int:
    return sum(parts)

@flow
def squares(folder: str, count: int = 100) -> int:
    return total.submit(work.map(range(count), folder=folder)).result()

if __name__ == "__main__":
    squares(sys.argv[1])
"""

RESUME = "import headrace, sys; sys.exit(headrace.resume('squares/1').state != 'succeeded')"


class Watched:
    """The flow's side effects, and its processes by their place in the tree."""

    def __init__(self, project: Project, retries: int = 0) -> None:
        self.project = project
        self.folder = project.path / "effects"
        self.folder.mkdir()
        self.file = project.write(FLOW.replace("RETRIES", str(retries)))

    def effects(self) -> dict[int, str]:
        return {int(file.name): file.read_text() for file in self.folder.iterdir()}

    def ended(self) -> int:
        return sum("e" in text for text in self.effects().values())

    def start(self) -> subprocess.Popen[str]:
        return self.project.start(str(self.file), str(self.folder))

    def resume(self) -> subprocess.Popen[str]:
        return self.project.start("-c", RESUME)

    def wait_for(self, ended: int, process: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + 20
        while self.ended() < min(ended, HELD) and process.poll() is None:
            assert time.monotonic() < deadline, f"only {self.ended()} of {ended} tasks"
            time.sleep(0.002)

    def recorded(self) -> set[int]:
        """The inputs of tasks whose success is committed, worked out from what they made."""
        done = {task.number for task in self.project.tasks("work") if task.state is TaskState.SUCCEEDED}
        made = [one for one in self.project.metadata.artifacts(self.project.last().id) if one.step == "work"]
        store = LocalStore(self.project.home / "artifacts")
        return {math.isqrt(codecs.unpack(one.value, store)) for one in made if one.number in done}  # type: ignore[arg-type]

    def let_it_end(self) -> None:
        (self.project.path / "go").touch()

    def victims(self, kind: str, driver: int) -> list[int]:
        if kind == "driver":
            return [driver]
        servers = children(driver)
        if kind == "server":
            return servers
        workers = [pid for server in servers for pid in children(server)]
        return workers if kind == "workers" else [driver, *servers, *workers]

    def kill_until_missed(self, kind: str, process: subprocess.Popen[str], dice: random.Random) -> None:
        """Kill a worker or the server until the flow fails; an idle one is not missed."""
        while process.poll() is None:
            victims = self.victims(kind, process.pid)
            kill(dice.sample(victims, min(1, len(victims))))
            try:
                process.wait(0.5)
            except subprocess.TimeoutExpired:
                continue

    def finish(self, process: subprocess.Popen[str]) -> int:
        return self.project.finish(process).code

    def check_end(self) -> None:
        run = self.project.last()
        assert (run.name, run.state) == ("squares/1", RunState.SUCCEEDED)
        artifacts = {a.step: a for a in self.project.metadata.artifacts(run.id) if a.step in ("", "total")}
        store = LocalStore(self.project.home / "artifacts")
        expected = sum(n * n for n in range(COUNT))
        assert [codecs.unpack(artifacts[step].value, store) for step in ("", "total")] == [expected] * 2
        assert {task.state for task in self.project.tasks()} == {TaskState.SUCCEEDED}
        wins = Counter(
            (a.step, a.number) for a in self.project.metadata.attempts(run.id) if a.state is AttemptState.SUCCEEDED
        )
        assert len(wins) == COUNT + 1
        assert set(wins.values()) == {1}, "a task succeeded twice"


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def kill(pids: list[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


@pytest.mark.parametrize("seed", [1])
def test_ten_kills_at_random_moments(project: Project, seed: int) -> None:
    dice = random.Random(seed)
    watched = Watched(project)
    began = time.monotonic()
    process = watched.start()
    kinds = ["driver", "worker", "server", "all"] * 3
    dice.shuffle(kinds)
    for kind in kinds[:10]:
        watched.wait_for(watched.ended() + dice.randint(1, 4), process)
        time.sleep(dice.random() * 0.02)
        if kind in ("worker", "server"):
            watched.kill_until_missed("workers" if kind == "worker" else "server", process, dice)
        else:
            kill(watched.victims(kind, process.pid))
        code = watched.finish(process)
        assert code == (-signal.SIGKILL if kind in ("driver", "all") else 1), kind
        project.assert_nothing_left()
        recorded, before = watched.recorded(), watched.effects()
        process = watched.resume()
        watched.wait_for(watched.ended() + 1, process)
        after = watched.effects()
        assert {n: after[n] for n in recorded} == {n: before[n] for n in recorded}, "what was recorded ran again"
    recorded, before = watched.recorded(), watched.effects()
    watched.let_it_end()
    assert watched.finish(process) == 0
    after = watched.effects()
    assert {n: after[n] for n in recorded} == {n: before[n] for n in recorded}
    watched.check_end()
    ran = sum(text.count("s") for text in after.values())
    assert COUNT <= ran <= COUNT + 10 * 2 * 4, "more ran again than what was under way at each kill"
    assert time.monotonic() - began < 40


def test_what_was_under_way_when_the_driver_died_is_recorded_as_lost(project: Project) -> None:
    watched = Watched(project)
    watched.file.write_text(watched.file.read_text().replace("0.015", "0.4"))
    process = watched.start()
    project.eventually(lambda: len([text for text in watched.effects().values() if text == "s"]) == 2)
    project.eventually(lambda: len(project.metadata.attempts(project.last().id)) == 2)
    running = project.metadata.attempts(project.last().id)
    assert {a.state for a in running} == {AttemptState.RUNNING}
    assert {(a.host, a.place, a.session) for a in running} == {(host_name(), "local", 1)}
    assert {a.pid for a in running} <= set(watched.victims("workers", process.pid))
    kill(watched.victims("all", process.pid))
    watched.finish(process)
    watched.file.write_text(watched.file.read_text().replace("0.4", "0.0"))
    watched.let_it_end()
    assert watched.finish(watched.resume()) == 0
    lost = [a for a in project.metadata.attempts(project.last().id) if a.state is AttemptState.LOST]
    assert {(a.number, a.attempt, a.pid) for a in lost} == {(a.number, 1, a.pid) for a in running}
    watched.check_end()


def test_workers_and_their_server_are_killed_under_a_run_that_retries(project: Project) -> None:
    dice = random.Random(7)
    watched = Watched(project, retries=20)
    process = watched.start()
    for kind in ("workers", "server", "workers", "workers", "server"):
        watched.wait_for(watched.ended() + dice.randint(2, 8), process)
        victims = watched.victims(kind, process.pid)
        kill(dice.sample(victims, min(1, len(victims))))
    watched.let_it_end()
    assert watched.finish(process) == 0
    watched.check_end()
    failed = [a for a in project.metadata.attempts(project.last().id) if a.state is AttemptState.FAILED]
    assert failed
    assert {a.failure for a in failed} == {"killed"}
    project.assert_nothing_left()


def test_a_terminated_driver_says_how_to_go_on(project: Project) -> None:
    watched = Watched(project)
    process = watched.start()
    watched.wait_for(10, process)
    process.send_signal(signal.SIGTERM)
    done = project.finish(process, timeout=10)
    assert done.code != 0
    project.assert_nothing_left()
    assert project.last().state is RunState.INTERRUPTED
    recorded, before = watched.recorded(), watched.effects()
    watched.let_it_end()
    assert watched.finish(watched.resume()) == 0
    assert {n: watched.effects()[n] for n in recorded} == {n: before[n] for n in recorded}
    watched.check_end()


def freeze_and_take_over(project: Project, run_id: int, pids: list[int]) -> Lease:
    """Stop the processes, take the run's lease from them.

    One that was stopped within a transaction keeps the database locked: it goes on for a moment and is stopped again.
    """
    for _ in range(20):
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        held = project.metadata.lease(f"run:{run_id}")
        assert held is not None
        with contextlib.suppress(StoreAwayError):
            lease = project.metadata.hasty().acquire(held.name, "elsewhere:1:1", 30.0, dead=held.owner)
            assert lease is not None
            return lease
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        time.sleep(0.01)
    pytest.fail("every time the driver was stopped within a transaction")


def test_a_stopped_driver_that_wakes_up_has_lost_its_lease(project: Project) -> None:
    """Not killed but frozen, as a laptop that sleeps: another process goes on, and the old one must not write."""
    watched = Watched(project)
    process = watched.start()
    watched.wait_for(10, process)
    frozen = watched.victims("all", process.pid)
    run = project.last()
    lease = freeze_and_take_over(project, run.id, frozen)
    before = watched.recorded()
    for pid in frozen:
        os.kill(pid, signal.SIGCONT)
    began = time.monotonic()
    done = project.finish(process)
    assert done.code != 0
    assert "LeaseLostError" in done.err
    assert time.monotonic() - began < 20
    assert watched.recorded() == before
    project.assert_nothing_left()
    held = project.metadata.lease(f"run:{run.id}")
    assert held is not None
    assert held.token == lease.token
    project.metadata.release(lease)
    watched.let_it_end()
    assert watched.finish(watched.resume()) == 0
    watched.check_end()
