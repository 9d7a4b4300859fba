"""The client asks, answers and stops runs that another process drives."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import headrace
from headrace.client.views import Named
from headrace.model.errors import NotFoundError, UsageError

ASKING = """
import headrace
from headrace import flow, step

@step
def note(value): return value

@flow
def asking():
    return note(headrace.wait_for("approval", prompt="Shall we?"))

if __name__ == "__main__":
    asking()
"""


@pytest.fixture
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """A run that waits for an answer."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / ".headrace"))
    (tmp_path / "asking.py").write_text(ASKING)
    with subprocess.Popen([sys.executable, "asking.py"], stderr=subprocess.DEVNULL) as started:
        yield started
        started.kill()


def asking() -> headrace.Run:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            run = headrace.Run("asking/1")
        except NotFoundError:
            time.sleep(0.05)
            continue
        if run.questions:
            return run
        time.sleep(0.05)
    raise AssertionError("it asks nothing")


def test_an_answer(process: subprocess.Popen[bytes]) -> None:
    run = asking()
    assert run.questions == {"approval": "Shall we?"}
    with pytest.raises(NotFoundError, match="it asks 'approval'"):
        run.answer("permission", True)
    with pytest.raises(UsageError, match="cannot be an answer"):
        run.answer("approval", object())
    run.answer("approval", {"limit": [1, 2]})
    assert run.wait(20).result == {"limit": [1, 2]}
    assert (run.state, run.questions) == ("succeeded", {})
    assert run.created <= run.started


def test_a_cancel(process: subprocess.Popen[bytes]) -> None:
    run = asking()
    run.cancel(timeout=20)
    assert run.state == run.status == "cancelled"
    with pytest.raises(UsageError, match="it is cancelled"):
        run.cancel()


def test_a_long_collection_shows_its_beginning() -> None:
    many = Named("artifact", "train/1", {f"a{place}": place for place in range(10_000)})
    assert len(repr(many).splitlines()) == 102
    assert repr(many).endswith("... 10000 artifacts")
    assert many._repr_html_().count("<tr>") == 101
