"""Runs that are stopped: by Ctrl-C, SIGTERM, SIGKILL and cancelling; nothing is left running."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.integration.conftest import Project


LONG = """
import subprocess

@step(cpu=0.1)
def slow(n):
    child = subprocess.Popen(["sleep", "300"])
    open(f"started-{n}", "w").close()
    time.sleep(300)

@step
def quick():
    return 1

@flow
def train():
    quick()
    futures = slow.map(range(3))
    [f.result() for f in futures]

if __name__ == "__main__":
    train()
"""

STUBBORN = LONG.replace("    child =", "    import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    child =")


def started(project: Project, text: str, count: int = 3) -> Any:
    process = project.start(str(project.write(text)))
    project.eventually(
        lambda: process.poll() is not None or len(list(project.path.glob("started-*"))) == count, 20, "no start"
    )
    assert process.poll() is None, project.finish(process)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_driver_stops_cleanly(project: Project, number: int) -> None:
    process = started(project, LONG)
    process.send_signal(number)
    done = project.finish(process)
    project.assert_nothing_left()
    assert done.seconds < 4
    assert project.last().state == "interrupted"
    assert {t.step: t.state for t in project.tasks()} == {"quick": "succeeded", "slow": "cancelled"}
    assert done.code == -signal.SIGINT, done.err  # what a shell shows as 130
    assert "headrace resume train/1" in done.err
    assert "Traceback" not in done.err


def test_two_signals_kill_at_once(project: Project) -> None:
    process = started(project, STUBBORN)
    process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    done = project.finish(process)
    assert done.seconds < 1
    project.assert_nothing_left()
    assert project.last().state == "interrupted"


def test_a_stubborn_worker_gets_a_second_then_is_killed(project: Project) -> None:
    process = started(project, STUBBORN)
    process.send_signal(signal.SIGTERM)
    done = project.finish(process)
    assert 0.8 < done.seconds < 4
    project.assert_nothing_left()
    assert project.last().state == "interrupted"


def test_a_killed_driver_takes_its_workers_with_it(project: Project) -> None:
    process = started(project, STUBBORN)
    process.kill()
    project.finish(process)
    project.assert_nothing_left()


def test_cancelling_from_another_process(project: Project) -> None:
    process = started(project, LONG)
    project.metadata.send(project.last().id, "cancel", "", b"", "ada", time.time())
    done = project.finish(process)
    project.assert_nothing_left()
    assert done.seconds < 5
    assert project.last().state == "cancelled"
    assert done.code == 1
    assert "cancelled by ada" in done.err
    assert {t.step: t.state for t in project.tasks()} == {"quick": "succeeded", "slow": "cancelled"}


def test_cancelling_reaches_a_flow_that_computes(project: Project) -> None:
    text = """
    @step
    def quick():
        return 1

    @flow
    def train():
        quick()
        open("started-0", "w").close()
        while True:
            sum(range(1000))

    train()
    """
    process = started(project, text, 1)
    project.metadata.send(project.last().id, "cancel", "", b"", "ada", time.time())
    done = project.finish(process)
    assert done.code == 1 and "cancelled by ada" in done.err
    assert project.last().state == "cancelled"
