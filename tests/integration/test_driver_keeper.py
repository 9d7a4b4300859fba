"""What drives a run in a pod: it keeps a driver at work, and leaves the run to the next one when it is asked to end."""

from __future__ import annotations

import collections
import os
import signal
import socket
import time
from typing import TYPE_CHECKING

from headrace.model.states import RunState
from headrace.services.leases import awaits_driver, make_way
from headrace.stores.metadata.protocol import RunFilter

if TYPE_CHECKING:
    from tests.integration.conftest import Project

FLOW = """
    @step
    def fit(n):
        time.sleep(0.2)
        print("fitted", n, flush=True)
        return n

    @flow
    def train() -> int:
        return sum(fit(n) for n in range(10))

    if __name__ == "__main__":
        train()
"""


def wait_for(project: Project, tasks: int) -> None:
    """Wait until the run has come to so many tasks."""
    found = project.home / "metadata.db"
    project.eventually(
        lambda: found.exists() and project.metadata.runs(RunFilter()) and len(project.tasks("fit")) >= tasks, 30
    )


def begin(project: Project, text: str = FLOW) -> None:
    """Start the flow, and kill its driver in the middle."""
    project.write(text)
    process = project.start("train.py")
    wait_for(project, 2)
    process.kill()
    project.finish(process)
    project.assert_nothing_left(20)


def test_driver_that_is_killed_is_started_again_and_the_keeper_leaves_the_run_to_the_next_one(project: Project) -> None:
    begin(project)
    keeper = project.start("-m", "headrace", "drive", "train/1")
    project.eventually(lambda: project.last().session > 1, 30)
    driver = project.last().pid
    os.kill(driver, signal.SIGKILL)
    project.eventually(lambda: project.last().pid != driver, 30, "no other driver came")
    keeper.send_signal(signal.SIGTERM)
    assert project.finish(keeper).code == 0
    assert project.last().state is RunState.RUNNING
    assert awaits_driver(project.metadata, project.last())

    done = project.finish(project.start("-m", "headrace", "drive", "train/1"))
    assert done.code == 0, done.err
    assert project.last().state is RunState.SUCCEEDED
    assert len(project.tasks("fit")) == 10
    again = project.finish(project.start("-m", "headrace", "drive", "train/1"))
    assert (again.code, again.out) == (0, "")


def test_run_whose_driver_cannot_work_fails_and_says_why(project: Project) -> None:
    begin(project)
    done = project.finish(project.start("-m", "headrace", "drive", "train/1", "--on", "nowhere"))
    assert done.code == 0
    assert project.last().state is RunState.FAILED
    assert "there is no place 'nowhere'" in project.last().error
    assert project.last().traceback.count("there is no place 'nowhere'") == 1, "of three tries the last one is told"


def test_run_that_waits_for_its_driver_is_cancelled_at_once(project: Project) -> None:
    begin(project)
    keeper = project.start("-m", "headrace", "drive", "train/1")
    project.eventually(lambda: project.last().session > 1, 30)
    keeper.send_signal(signal.SIGTERM)
    project.finish(keeper)
    began = time.monotonic()
    assert project.finish(project.start("-m", "headrace", "cancel", "train/1")).code == 0
    assert project.last().state is RunState.CANCELLED
    assert time.monotonic() - began < 15
    assert make_way(project.metadata, project.last())


def test_follow_shows_a_run_that_another_process_drives(project: Project) -> None:
    project.write(FLOW.replace("return sum(", "print('the flow says so', flush=True); return sum("))
    process = project.start("train.py")
    wait_for(project, 2)
    shown = project.finish(project.start("-m", "headrace", "follow", "train/1"))
    assert project.finish(process).code == 0
    assert shown.code == 0, shown.err
    assert "the flow says so" in shown.out
    assert "fit: 10/10 done" in shown.out
    assert "train/1 succeeded" in shown.out


COUNTED = """
    @step
    def fit(n):
        with open("ran", "a") as file:
            file.write(f"{n} ")
        time.sleep(0.4)
        return n

    @flow
    def train() -> int:
        return sum(one.result() for one in fit.map(list(range(40))))
"""


def test_driver_that_is_asked_to_end_leaves_what_runs_elsewhere_and_nothing_runs_twice(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    place = f'[tool.headrace.places.far]\nkind = "workers"\nlisten = "127.0.0.1:{port}"\nadopt = "1m"\n'
    (project.path / "pyproject.toml").write_text(place)
    project.write(COUNTED)
    token = project.home / "places" / "far.join"
    driver = project.start("-m", "headrace", "run", "train.py", "--on", "far")
    project.eventually(token.exists, 30)
    for _ in range(2):
        project.start(
            *("-m", "headrace", "worker", "--connect", f"127.0.0.1:{port}", "--secret-file", str(token)),
            *("--workers", "1", "--root", str(project.path)),
        )
    wait_for(project, 2)
    driver.kill()
    project.finish(driver)
    ran = project.path / "ran"
    killed = len(ran.read_text().split())
    for number in range(6):
        keeper = project.start("-m", "headrace", "drive", "train/1", "--on", "far")
        done = len(ran.read_text().split())
        project.eventually(lambda done=done: len(ran.read_text().split()) > done + 2, 40)
        time.sleep(0.07 * number)  # it may be anywhere in its work
        keeper.send_signal(signal.SIGTERM)
        assert project.finish(keeper).code == 0
    done = project.finish(project.start("-m", "headrace", "drive", "train/1", "--on", "far"), 90)
    assert project.last().state is RunState.SUCCEEDED, done.err
    counts = collections.Counter(ran.read_text().split())
    assert len(counts) == 40
    # The first driver was killed, not asked: two attempts had just begun.
    assert sum(counts.values()) <= 40 + 2, (killed, counts.most_common(5))
