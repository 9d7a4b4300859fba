"""A workspace with runs of every fate, made once, and a real ``headrace server`` over it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

FLOW = """
import sys
from headrace import flow, step, log_artifact, log_metric, set_tag

@step
def load(rows: int) -> list[int]:
    print("loading", rows)
    return list(range(rows))

@step
def fit(depth: int, data: list[int]) -> dict[str, float]:
    for i in range(200):
        log_metric("loss", 1.0 / (i + 1 + depth), step=i)
    print(f"fitted \\x1b[1m{depth}\\x1b[0m <script>alert(1)</script>")
    print("a warning", file=sys.stderr)
    log_artifact("notes", {"depth": depth, "text": "<b>x</b>"})
    return {"score": depth / 10}

@step
def break_(depth: int) -> int:
    raise ValueError(f"no good: {depth}")

@flow
def train(rows: int = 3, depth: int = 2, fail: bool = False) -> dict[str, float]:
    set_tag("team", "vision")
    data = load.submit(rows)
    results = fit.map(range(depth), data=data)
    best = max([one.result() for one in results], key=lambda one: one["score"])
    if fail:
        break_(depth)
    log_metric("best", float(depth))
    return best

if __name__ == "__main__":
    train.run()
"""
KINDS = """
import math
from typing import Any, NamedTuple
import matplotlib
matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
from pathlib import Path
from headrace import File, Folder, flow, step, log_figure, log_metric

class Mine:
    pass

class Made(NamedTuple):
    array: Any
    turned: Any
    table: Any
    text: str
    blob: bytes
    plain: Any
    file: File
    folder: Folder
    object: Any

@step
def make() -> Made:
    Path("d").mkdir(exist_ok=True)
    Path("d/x.txt").write_text("x")
    Path("f.bin").write_text("in a file")
    array = np.arange(4).reshape(2, 2)
    table = pa.table({"n": [1, 2], "s": ["a", "<b>"]})
    text = "<script>alert('\u00e4')</script>"
    blob = bytes(range(256)) * 400
    return Made(array, array.T, table, text, blob, {"a": [1, None]}, File("f.bin"), Folder("d"), Mine())

@flow
def kinds() -> None:
    make()
    figure, axes = plt.subplots()
    axes.plot([1, 2])
    log_figure("curve", figure)
    for step, value in enumerate([1.0, math.nan, math.inf, 3.0]):
        log_metric("val/loss", value, step=step)
"""
#: Arguments of the runs of the workspace, in order: train/1 to train/4.
RUNS = (("--depth", "2"), ("--depth", "3"), ("--fail", "true"), ("--rows", "5"))


def environment(**more: str) -> dict[str, str]:
    """The variables of this process without settings of Headrace."""
    return {name: text for name, text in os.environ.items() if not name.startswith("HEADRACE_")} | more


def headrace(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in ``folder``."""
    return subprocess.run(
        [sys.executable, "-m", "headrace", *argv],
        cwd=folder,
        env=environment(),
        text=True,
        capture_output=True,
        timeout=100,
    )


@pytest.fixture(scope="session")
def runs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which ``train`` was run as ``RUNS`` say; for reading."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "train.py").write_text(FLOW)
    for arguments in RUNS:
        done = headrace(folder, "run", "train.py", *arguments)
        assert done.returncode == (1 if "--fail" in arguments else 0), done.stderr
    (folder / "kinds.py").write_text(KINDS)
    done = headrace(folder, "run", "kinds.py")
    assert done.returncode == 0, done.stderr
    return folder


class Served:
    """A server process: ``client`` speaks to it, ``url`` is where it is."""

    def __init__(self, folder: Path, *options: str, **env: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "headrace", "server", "--port", "0", *options],
            cwd=folder,
            env=environment(**env),
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        found = re.search(r" at (https?://\S+)", line)
        if found is None:
            self.process.kill()
            raise AssertionError(line + self.process.stderr.read())
        self.url = found[1]
        self.client = httpx.Client(base_url=self.url, timeout=30, verify=False)

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Ask it to stop; its exit code, and what it wrote to standard error."""
        self.client.close()
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=30)
        return self.process.returncode, err


@pytest.fixture(scope="session")
def served(runs_folder: Path) -> Iterator[Served]:
    """A server over ``runs_folder``; for reading."""
    server = Served(runs_folder)
    yield server
    server.stop(signal.SIGKILL)


@pytest.fixture(scope="session")
def client(served: Served) -> httpx.Client:
    """Speaks to ``served``."""
    return served.client
