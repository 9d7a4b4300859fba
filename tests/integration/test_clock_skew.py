"""Drivers whose clocks differ by a minute leave each other's runs alone, and take over those of drivers that died."""

from __future__ import annotations

import os
import signal
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from headrace.model.records import LEASE_SECONDS
from headrace.model.states import RunState
from headrace.stores.metadata.open import open_metadata
from headrace.testing.postgres import postgres_server

if TYPE_CHECKING:
    from tests.integration.conftest import Project

FLOW = """
@step
def held():
    while not os.path.exists("go"):
        time.sleep(0.01)
    return 7

@flow
def train():
    open("begun", "w").close()
    return held()

if __name__ == "__main__":
    print("value", train())
"""

#: Makes a process believe that it is another time, on another machine.
ELSEWHERE = """
import os, time
_real, _shift, _host = time.time, float(os.environ["SHIFT"]), os.environ["HOST"]
time.time = lambda: _real() + _shift
_uname = os.uname
os.uname = lambda: os.uname_result((_uname().sysname, _host, *tuple(_uname())[2:]))
"""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres_server() as url:
        yield url


def place(project: Project, server: str, host: str, shift: float) -> dict[str, str]:
    """The environment of a process on machine ``host``, whose clock is ``shift`` seconds ahead."""
    folder = project.path / "site"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(textwrap.dedent(ELSEWHERE))
    name = Path(project.path).name.replace("-", "_").lower()
    return {
        "PYTHONPATH": str(folder),
        "SHIFT": str(shift),
        "HOST": host,
        "HEADRACE_DATABASE": f"{server}&schema=s{name}"[:200],
    }


@pytest.mark.parametrize(("ours", "theirs"), [(0.0, 60.0), (0.0, -60.0), (60.0, 0.0)])
def test_run_is_not_taken_from_a_driver_whose_clock_differs(
    project: Project, server: str, ours: float, theirs: float
) -> None:
    here, there = place(project, server, "here", ours), place(project, server, "there", theirs)
    process = project.start(str(project.write(FLOW)), **here)
    project.eventually((project.path / "begun").exists, 60)
    resumed = project.finish(project.start("-m", "headrace", "resume", "train/1", **there))
    assert resumed.code != 0
    assert "is being driven by process" in resumed.err
    listed = project.finish(project.start("-m", "headrace", "runs", **there))
    assert "crashed" not in listed.out
    assert "running" in listed.out
    (project.path / "go").touch()
    done = project.finish(process)
    assert done.out == "value 7\n", done.err


@pytest.mark.parametrize("shift", [60.0, -60.0])
def test_run_of_a_driver_that_died_is_taken_over_when_its_lease_ends(
    project: Project, server: str, shift: float
) -> None:
    here, there = place(project, server, "here", shift), place(project, server, "there", 0.0)
    process = project.start(str(project.write(FLOW)), **here)
    project.eventually((project.path / "begun").exists, 60)
    os.killpg(process.pid, signal.SIGKILL)
    project.finish(process)
    died = time.monotonic()
    (project.path / "go").touch()
    while True:
        resumed = project.finish(project.start("-m", "headrace", "resume", "train/1", **there))
        if resumed.code == 0:
            break
        assert "is being driven by process" in resumed.err
        assert time.monotonic() - died < LEASE_SECONDS + 40  # a clock that is a minute ahead does not add to it
    store = open_metadata(here["HEADRACE_DATABASE"])
    run = store.run("train", 1)
    assert run is not None
    assert run.state is RunState.SUCCEEDED
    store.close()
