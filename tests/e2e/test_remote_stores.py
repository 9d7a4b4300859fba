"""Flows as a team runs them: metadata in PostgreSQL, artifacts in an object store, drivers that come and go."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headrace.model.records import RunRecord
from headrace.model.states import RunState
from headrace.stores.metadata.open import open_metadata
from headrace.stores.metadata.protocol import MetadataStore, RunFilter
from headrace.testing.postgres import postgres_server
from headrace.testing.servers import rclone_s3

pytestmark = pytest.mark.slow

FLOW = """
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd

from headrace import File, flow, step

COUNT = 50


def note(text):
    with open("executed", "a") as file:
        file.write(text + "\\n")


@step
def load(rows: int) -> pd.DataFrame:
    note("load")
    return pd.DataFrame({"x": np.arange(float(rows)), "s": [f"row {n}" for n in range(rows)]})


@step
def part(n: int, frame: pd.DataFrame) -> np.ndarray:
    note(f"part {n}")
    time.sleep(float(os.environ.get("SLOW", "0")))
    return frame["x"].to_numpy() * n


@step(cache=True)
def total(arrays: list[np.ndarray]) -> float:
    note("total")
    return float(sum(array.sum() for array in arrays))


@step
def publish(value: float) -> File:
    note("publish")
    if Path("broken").exists():
        raise OSError("the disk of the printer is full")
    Path("report.txt").write_text(f"total: {value}")
    return File("report.txt")


@flow
def train(rows: int = 20_000) -> float:
    frame = load(rows)
    parts = part.map(range(COUNT), frame=frame)
    value = total([future.result() for future in parts] if rows < 100 else parts)
    return value if publish(value).path.exists() else 0.0


if __name__ == "__main__":
    train()
"""

TWICE = """
from train import train

first = train(rows=20_000)
second = train(rows=10_000)
print(first, second)
"""


def expected(rows: int) -> float:
    return rows * (rows - 1) / 2 * sum(range(50))


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, str]]:
    """The environment that leads to both."""
    with postgres_server() as database, rclone_s3() as (bucket, config):
        yield {
            "HEADRACE_DATABASE": database,
            "HEADRACE_ARTIFACTS": bucket,
            **{name.upper(): value for name, value in config.items()},
        }


class Team:
    """A folder with the flow, and stores of its own on the servers."""

    def __init__(self, folder: Path, servers: dict[str, str]) -> None:
        self.folder = folder
        name = uuid.uuid4().hex[:12]
        self.remote = {
            **servers,
            "HEADRACE_DATABASE": f"{servers['HEADRACE_DATABASE']}&schema=s{name}",
            "HEADRACE_ARTIFACTS": f"{servers['HEADRACE_ARTIFACTS']}/{name}",
        }
        self._opened: MetadataStore | None = None
        self._started: list[subprocess.Popen[str]] = []
        (folder / "train.py").write_text(FLOW)
        (folder / "twice.py").write_text(TWICE)

    def start(self, *argv: str, remote: bool = True, **env: str) -> subprocess.Popen[str]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("HEADRACE_", "AWS_"))}
        program = str(Path(sys.executable).with_name(argv[0]))
        process = subprocess.Popen(
            [program, *argv[1:]],
            cwd=self.folder,
            env={**clean, **(self.remote if remote else {}), **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def call(self, *argv: str, remote: bool = True, code: int = 0, **env: str) -> str:
        """Run a program to its end and return what it wrote."""
        process = self.start(*argv, remote=remote, **env)
        try:
            out, err = process.communicate(timeout=100)
        except subprocess.TimeoutExpired:
            pytest.fail(f"hangs: {argv}")
        assert process.returncode == code, f"exit {process.returncode}\n{out}\n{err}"
        return out if code == 0 else out + err

    @property
    def metadata(self) -> MetadataStore:
        if self._opened is None:
            self._opened = open_metadata(self.remote["HEADRACE_DATABASE"])
        return self._opened

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
        for process in self._started:
            process.kill()
            process.communicate()

    def runs(self) -> list[RunRecord]:
        """Oldest first."""
        return self.metadata.runs(RunFilter())[::-1]

    def executed(self) -> list[str]:
        """What steps said they did."""
        file = self.folder / "executed"
        return file.read_text().splitlines() if file.exists() else []

    def value(self, name: str) -> float:
        """The result of a run, read by a process of its own."""
        script = f"import headrace; print(headrace.Run({name!r}).result)"
        return float(self.call("python", "-c", script))


@pytest.fixture
def team(tmp_path: Path, servers: dict[str, str]) -> Iterator[Team]:
    made = Team(tmp_path, servers)
    yield made
    made.close()


def eventually(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def test_a_step_fails_and_the_run_is_resumed(team: Team) -> None:
    (team.folder / "broken").touch()
    assert "the disk of the printer is full" in team.call("headrace", "run", "train.py", code=1)
    assert team.runs()[0].state is RunState.FAILED
    assert "publish/1" in team.call("headrace", "show", "train/1")
    before = team.executed()
    assert len(before) == 53
    (team.folder / "broken").unlink()
    team.call("headrace", "resume", "train/1")
    assert team.executed() == [*before, "publish"]
    assert team.value("train/1") == expected(20_000)
    assert not list((team.folder / ".headrace").rglob("*.db"))


def test_the_driver_is_killed_in_the_middle(team: Team) -> None:
    driver = team.start("headrace", "run", "train.py", SLOW="0.1")
    eventually(lambda: sum(line.startswith("part") for line in team.executed()) >= 10)
    driver.send_signal(signal.SIGKILL)
    driver.communicate(timeout=30)
    run = team.runs()[0]
    kept = {task.inputs[0].value.inline for task in team.metadata.tasks(run.id, "part") if task.state == "succeeded"}
    assert len(kept) < 50
    team.call("headrace", "resume", "train/1")
    executed = team.executed()
    assert executed.count("load") == 1
    for index in range(50):
        count = executed.count(f"part {index}")
        assert count == 1 or (count == 2 and str(index).encode() not in kept), (index, count)
    assert team.value("train/1") == expected(20_000)
    assert team.runs()[0].state is RunState.SUCCEEDED


def test_results_are_found_by_later_runs(team: Team) -> None:
    for _ in range(2):
        team.call("headrace", "run", "train.py")
    assert team.executed().count("load") == 2
    assert team.executed().count("total") == 1
    newest = team.runs()[-1]
    assert team.metadata.tasks(newest.id, "total")[0].reused_from
    assert team.value("train/2") == expected(20_000)


def test_two_runs_in_one_process(team: Team) -> None:
    """The first has used the object store, whose threads no fork survives."""
    out = team.call("python", "twice.py")
    assert f"{expected(20_000)} {expected(10_000)}" in out
    assert [run.state for run in team.runs()] == [RunState.SUCCEEDED] * 2


def test_two_drivers_at_once(team: Team) -> None:
    drivers = [team.start("headrace", "run", "train.py", "--rows", rows, SLOW="0.01") for rows in ("1000", "2000")]
    for driver in drivers:
        out, err = driver.communicate(timeout=100)
        assert driver.returncode == 0, out + err
    runs = team.runs()
    assert [run.number for run in runs] == [1, 2]
    assert [run.state for run in runs] == [RunState.SUCCEEDED] * 2
    assert {team.value("train/1"), team.value("train/2")} == {expected(1000), expected(2000)}
    assert len(team.executed()) == 2 * 53


def test_one_run_has_one_driver(team: Team) -> None:
    driver = team.start("headrace", "run", "train.py", SLOW="0.1")
    eventually(lambda: "part 3" in team.executed())
    assert "is being driven by process" in team.call("headrace", "resume", "train/1", code=2)
    out, err = driver.communicate(timeout=100)
    assert driver.returncode == 0, out + err
    assert len(team.executed()) == 53


def test_a_run_moves_from_here_to_there(team: Team) -> None:
    team.call("headrace", "run", "train.py", remote=False)
    team.call("headrace", "export", "train/1", "run.zip", remote=False)
    assert json.loads(team.call("headrace", "import", "run.zip", "--json"))["run"] == "train/1"
    assert team.value("train/1") == expected(20_000)
    script = (
        "import headrace; run = headrace.Run('train/1');"
        "print(run['publish'][1].result.open().read(), run['load'][1].result.shape)"
    )
    assert f"total: {expected(20_000)} (20000, 2)" in team.call("python", "-c", script)
    assert team.runs()[0].state is RunState.SUCCEEDED
    before = team.executed()
    team.call("headrace", "resume", "train/1")
    assert team.executed() == before


def test_garbage_is_collected(team: Team) -> None:
    team.call("headrace", "run", "train.py", "--rows", "1000")
    team.call("headrace", "rm", "train/1", "--yes")
    planned = json.loads(team.call("headrace", "gc", "--json"))
    assert planned["young"] > 0  # nothing that was just written is touched
    assert planned["blobs"] == 0
