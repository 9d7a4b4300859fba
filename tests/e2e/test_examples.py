"""The examples do what they and the README say, through the command line, on their real data."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A place of its own with copies of the examples; runs are kept there too."""
    for file in EXAMPLES.glob("*.py"):
        shutil.copy(file, tmp_path)
    return tmp_path


def call(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run a program of this environment in ``folder``."""
    program = Path(sys.executable).with_name(argv[0])
    env = {key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")}
    return subprocess.run([program, *argv[1:]], cwd=folder, env=env, capture_output=True, text=True, check=False)


def succeed(folder: Path, *argv: str) -> str:
    """Run it, see that it succeeds, and return what it wrote."""
    done = call(folder, *argv)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_digits_improves_until_it_publishes(folder: Path) -> None:
    output = succeed(folder, "headrace", "run", "digits.py", "--goal", "0.97")
    assert "published: 8 trees" in output
    assert "digits/1" in succeed(folder, "headrace", "runs")


def test_digits_gives_up(folder: Path) -> None:
    assert "not published" in succeed(folder, "headrace", "run", "digits.py", "goal=0.999", "rounds=2")


def test_flights_as_a_plain_script(folder: Path) -> None:
    output = succeed(folder, "python", "flights.py")
    assert "Alaska Airlines Inc." in output


def test_failure_is_mended_and_resumed(folder: Path) -> None:
    failed = call(folder, "headrace", "run", "failure.py")
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert "worst/20" in failed.stdout + failed.stderr
    assert "Encountered all NA values" in failed.stdout + failed.stderr

    file = folder / "failure.py"
    file.write_text(
        file.read_text().replace("    # if there", "    if there").replace("    #     return", "        return")
    )
    output = succeed(folder, "headrace", "resume", "failure/1")

    assert "LGA: no arrivals" in output
    assert "worst" in output
    assert "load" in succeed(folder, "headrace", "explain", "failure/1/load/1")
