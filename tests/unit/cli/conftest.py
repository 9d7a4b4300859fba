"""A store with some runs in it, made once, and the command line on it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

FLOW = '''
from headrace import flow, step

@step
def load(n: int) -> list[int]:
    print("loading", n)
    return list(range(n))

@step(cache=True)
def square(x: int, bad: int = -1) -> int:
    if x == bad:
        raise ValueError(f"cannot square {x}")
    return x * x

@flow
def numbers(n: int = 3, bad: int = -1, word: str = "x") -> int:
    """Square numbers.

    Args:
        n: how many.
        bad: which fails.
    """
    print("the flow prints")
    return sum(f.result() for f in square.map(load(n), bad=bad))
'''


def program(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run ``headrace`` in ``folder`` without settings from outside."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")}
    return subprocess.run(
        [sys.executable, "-m", "headrace", *argv], cwd=folder, env=env, capture_output=True, text=True, timeout=60
    )


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs: numbers/1 succeeded, numbers/2 failed, numbers/3 took some from the cache."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "squares.py").write_text(FLOW)
    assert program(folder, "run", "squares.py").returncode == 0
    assert program(folder, "run", "squares.py", "--bad", "1", "--tag", "try=first").returncode == 1
    assert program(folder, "run", "squares.py", "n=4").returncode == 0
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A private copy of ``made`` as the working directory."""
    from headrace import wiring

    copy = tmp_path / "work"
    shutil.copytree(made, copy)
    for name in list(os.environ):
        if name.startswith("HEADRACE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(copy)
    yield copy
    monkeypatch.delenv("HEADRACE_MAX_PARALLEL", raising=False)
    wiring.scope_here().workspace.close()


class Called:
    """How a command ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    @property
    def json(self) -> object:
        import msgspec

        return msgspec.json.decode(self.out)


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Called]:
    """Run a command in this process, as the program does."""
    from headrace.cli.main import main

    def replace(*_: object) -> None:
        raise AssertionError("this command replaces the process, tests and all: use `program`")

    monkeypatch.setattr(os, "execve", replace)

    def run(*argv: str) -> Called:
        capfd.readouterr()
        try:
            code = main(list(argv))
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        done = capfd.readouterr()
        return Called(code, done.out, done.err)

    return run


@pytest.fixture
def runner() -> CliRunner:
    return CliRunner()
