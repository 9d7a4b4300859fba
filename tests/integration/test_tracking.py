"""Logging for real: in steps, in flow functions, and in scripts without any flow."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import headrace
from headrace import Run, wiring
from headrace.model.errors import NotFoundError, StoreError, UsageError
from headrace.services import tracking
from headrace.testing.postgres import postgres_server


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres_server() as url:
        yield url


@pytest.fixture(autouse=True, params=["sqlite", "postgres"])
def here(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty project in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / ".headrace"))
    if request.param == "postgres":
        url = request.getfixturevalue("server")
        monkeypatch.setenv("HEADRACE_DATABASE", f"{url}&schema=t{abs(hash(str(tmp_path)))}")
    yield tmp_path
    wiring.scope_here().workspace.close()


def start(text: str, name: str = "script.py") -> subprocess.Popen[str]:
    Path(name).write_text(text)
    return subprocess.Popen([sys.executable, name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run_script(text: str, code: int = 0) -> tuple[str, str]:
    process = start(text)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, out + err
    return out, err


def eventually(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def exists(name: str) -> bool:
    try:
        Run(name)
    except NotFoundError:
        return False
    return True


# --- without a flow ---------------------------------------------------------------------------------------------


def test_a_script_is_tracked() -> None:
    run_script(
        """
import headrace, math
with headrace.track("study", params={"depth": 4}, tags=["first", "team=vision"]) as run:
    assert run.state == "running"
    for at in range(10):
        headrace.log_metric("loss", 1 / (at + 1), step=at * 10)
    headrace.log_metrics({"accuracy": 0.9, "odd": math.nan})
    headrace.log_metric("odd", math.inf)
    headrace.log_params({"kind": "forest"})
    headrace.set_tag("late", 3)
    headrace.log_text("note", "fine")
    headrace.log_artifact("table", {"a": [1, 2]})
print(run.name)
"""
    )
    run = Run("study")
    assert (run.name, run.state, run.error) == ("study/1", "succeeded", "")
    assert run.params == {"depth": 4, "kind": "forest"}
    assert run.tags == {"first": "", "team": "vision", "late": "3"}
    assert run.metrics["loss"].steps == [at * 10 for at in range(10)]
    assert run.metrics["loss"].min == pytest.approx(0.1)
    assert run.metrics["accuracy"].last == 0.9
    assert math.isnan(run.metrics["odd"].values[0])
    assert run.metrics["odd"].last == math.inf
    assert run.artifacts["note"].value == "fine"
    assert run.artifacts["table"].value == {"a": [1, 2]}
    assert run.artifacts["table"].kind == "logged"
    assert list(run.sources) == ["script.py"]
    assert run.python.startswith("3.")
    assert run.finished is not None
    assert headrace.runs(where="metrics.accuracy > 0.8 and tags.late = 3")[0] == run
    with pytest.raises(UsageError, match=r"recorded by headrace\.track"):
        _ = run.result


def test_classes_of_the_script_are_found_again() -> None:
    run_script(
        """
import headrace
class Model:
    def __init__(self, depth): self.depth = depth
with headrace.track("study"):
    headrace.log_artifact("model", Model(3))
"""
    )
    assert Run("study").artifacts["model"].value.depth == 3
    assert "headrace" not in repr(sys.modules["__main__"])


@pytest.mark.parametrize(
    ("body", "code", "state", "error"),
    [
        ("raise ValueError('no luck')", 1, "failed", "ValueError: no luck"),
        ("raise SystemExit(3)", 3, "failed", "SystemExit: 3"),
        ("raise SystemExit(0)", 0, "succeeded", ""),
        ("raise KeyboardInterrupt", -signal.SIGINT, "interrupted", "KeyboardInterrupt"),
    ],
)
def test_how_a_tracked_run_ends(body: str, code: int, state: str, error: str) -> None:
    run_script(f"import headrace\nwith headrace.track('study'):\n    headrace.log_metric('m', 1)\n    {body}\n", code)
    run = Run("study")
    assert (run.state, run.error) == (state, error)
    assert (body in run.traceback) == bool(error)
    assert run.metrics["m"].values == [1.0]


def test_a_tracked_script_that_is_killed_has_crashed_and_keeps_what_it_logged() -> None:
    process = start(
        "import headrace, time\nwith headrace.track('s'):\n    headrace.log_metric('m', 1)\n    time.sleep(60)\n"
    )
    eventually(lambda: exists("s") and "m" in Run("s").metrics)
    run = Run("s")
    assert run.state == "running"
    process.kill()
    process.communicate()
    assert run.state == "crashed"
    assert run.metrics["m"].values == [1.0]


def test_a_long_silence_keeps_the_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "_BEAT", 0.1)
    with headrace.track("quiet") as run:
        metadata = wiring.scope_here().workspace.metadata

        def expiry() -> float:
            held = metadata.lease(f"run:{run._reader.id}")
            assert held is not None
            return held.left + time.monotonic()

        first = expiry()
        eventually(lambda: expiry() > first + 0.3)
    assert metadata.lease(f"run:{run._reader.id}") is None


def test_nested_tracks_are_refused() -> None:
    with headrace.track("outer") as run:
        inner = headrace.track("inner")
        with pytest.raises(UsageError, match=r"track\('inner'\) inside of outer/1, which is recorded already"):
            inner.__enter__()
        headrace.log_metric("m", 1)
    assert run.state == "succeeded"
    assert run.metrics["m"].last == 1.0
    assert not exists("inner")
    with headrace.track("outer") as second:
        pass
    assert second.number == 2
    with pytest.raises(UsageError, match="outside of a run"):
        headrace.log_metric("m", 1)


def test_threads_of_a_script_log_to_its_run() -> None:
    with headrace.track("study") as run:
        threads = [threading.Thread(target=headrace.log_metric, args=("m", number)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(run.metrics["m"].values) == [0.0, 1.0, 2.0, 3.0]


def test_a_forked_child_of_a_script_neither_logs_nor_ends_the_run() -> None:
    with headrace.track("study") as run:
        headrace.log_metric("m", 1)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                headrace.log_metric("m", 2)
            except UsageError:
                code = 3
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
        assert run.state == "running"
    assert run.state == "succeeded"
    assert run.metrics["m"].values == [1.0]


def full(*_: object) -> None:
    raise StoreError("no space left")


def test_what_cannot_be_written_is_told_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = wiring.scope_here().workspace.metadata
    with monkeypatch.context() as patch, pytest.raises(StoreError, match="no space left"), headrace.track("study"):
        headrace.log_metric("m", 1)
        patch.setattr(metadata, "commit", full)


def test_an_exception_is_not_hidden_by_one_of_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = wiring.scope_here().workspace.metadata
    with (
        monkeypatch.context() as patch,
        pytest.raises(ValueError, match="mine") as caught,
        headrace.track("study"),
    ):
        patch.setattr(metadata, "commit", full)
        raise ValueError("mine")
    assert "could not be recorded: no space left" in caught.value.__notes__[0]


def test_a_hundred_thousand_points_all_arrive_in_order() -> None:
    count = 100_000
    with headrace.track("study") as run:
        began = time.thread_time()  # of this thread alone, however busy the machine is
        for number in range(count):
            headrace.log_metric("m", number)
        seconds = time.thread_time() - began
    metric = run.metrics["m"]
    assert metric.values == [float(number) for number in range(count)]
    assert metric.steps == list(range(count))
    assert (metric.last, len(metric)) == (count - 1, count)
    assert seconds < count * 10e-6  # about 0.8 us a call on an idle machine


# --- in flows ---------------------------------------------------------------------------------------------------

FLOW = """
import os, sys
import headrace
from headrace import flow, step

@step
def fit(depth):
    for at in range(3):
        headrace.log_metric("score", depth + at)
    headrace.log_metrics({"loss": 1 / depth}, step=depth)
    headrace.log_params({f"depth{depth}": depth})
    headrace.set_tag("fitted")
    headrace.log_text("note", f"depth {depth}")
    headrace.log_table("rows", [{"a": depth}])
    return depth

@step(retries=1)
def flaky(mark):
    headrace.log_metric("tries", 1)
    if not os.path.exists(mark):
        open(mark, "w").close()
        raise ValueError("once")

@step
def wrong():
    headrace.log_metric("accuracy", "high")

@step
def nested():
    with headrace.track("inner"):
        pass

@flow
def train(how: str = ""):
    headrace.log_metric("flow", 1)
    headrace.log_text("about", "the flow")
    if how == "nested":
        with headrace.track("inner"):
            pass
    if how == "nested step":
        nested()
    if how == "wrong":
        wrong()
    if how == "raise":
        headrace.log_metric("flow", 2)
        raise ValueError("no luck")
    flaky(os.path.abspath("mark"))
    out = [future.result() for future in fit.map([1, 2])]
    headrace.log_metric("flow", 2)
    return out

if __name__ == "__main__":
    train.main()
"""


def run_flow(how: str = "", code: int = 0) -> str:
    Path("train.py").write_text(FLOW)
    done = subprocess.run(
        [sys.executable, "train.py", "--how", how], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stderr


def test_steps_and_flows_log_to_their_run() -> None:
    run_flow()
    run = Run("train/1")
    assert run.result == [1, 2]
    assert run.metrics["flow"].values == [1.0, 2.0]
    assert run.metrics["flow"].steps == [0, 1]
    assert sorted(run.metrics["score"].values) == [1.0, 2.0, 2.0, 3.0, 3.0, 4.0]
    assert run["fit"][2].metrics["score"].values == [2.0, 3.0, 4.0]
    assert run["fit"][2].metrics["loss"].steps == [2]
    assert run.metrics["tries"].values == [1.0, 1.0]
    assert run.params == {"how": "", "depth1": 1, "depth2": 2}
    assert run.tags == {"fitted": ""}
    assert run["fit"][1].artifacts["note"].value == "depth 1"
    assert run["fit"][1].artifacts["note"].kind == "logged"
    assert run["fit"][1].artifacts["rows"].preview.table == (("a",), ("1",))
    assert run["fit"][1].result == 1
    assert run.artifacts["about"].value == "the flow"


def test_what_a_flow_logged_before_it_failed_is_kept() -> None:
    run_flow("raise", 1)
    run = Run("train/1")
    assert run.state == "failed"
    assert run.metrics["flow"].values == [1.0, 2.0]
    assert run.artifacts["about"].value == "the flow"


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("nested", "track('inner') inside of train/1, which is recorded already"),
        ("nested step", "track('inner') inside of train/1/nested/1, which is recorded already"),
        ("wrong", "metric 'accuracy': 'high' is not a number"),
    ],
)
def test_mistakes_in_flows_name_the_thing(how: str, message: str) -> None:
    assert message in run_flow(how, 1)
    assert message in Run("train/1").error


def test_a_flow_inside_of_a_tracked_script_is_a_run_of_its_own() -> None:
    Path("train.py").write_text(FLOW)
    run_script(
        """
import headrace
from train import train
with headrace.track("outer"):
    headrace.log_metric("before", 1)
    train()
    headrace.log_metric("after", 1)
"""
    )
    assert set(Run("outer").metrics) == {"before", "after"}
    assert set(Run("train").metrics) == {"flow", "score", "loss", "tries"}
