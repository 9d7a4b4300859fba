"""Real runs read back: from another process, another folder, without the code, while they go on, and after a crash."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import headrace
from headrace import Artifact, Flow, Run, Task
from headrace.model.errors import NotFoundError, RunFailedError, TaskError, UsageError
from headrace.testing.postgres import postgres_server
from headrace.testing.servers import rclone_s3

HELPER = """
class Scaler:
    def __init__(self, by):
        self.by = by
"""

TRAIN = """
import sys, time
from dataclasses import dataclass
from typing import NamedTuple
import numpy as np
import headrace
from headrace import flow, step
from helper import Scaler

@dataclass
class Model:
    depth: int
    score: float
    scaler: Scaler

class Parts(NamedTuple):
    left: list
    right: list

class Odd(Exception):
    def __init__(self, code, why):
        super().__init__(f"{code}: {why}")
        self.code = code

@step
def load(n: int):
    print("loading", n)
    print("a warning", file=sys.stderr)
    return np.arange(float(n))

@step
def split(rows) -> Parts:
    half = len(rows) // 2
    return Parts(list(rows[:half]), list(rows[half:]))

@step(tags=("slow",))
def fit(depth: int, rows: list) -> Model:
    for at in range(3):
        headrace.log_metric("score", depth * at / 10, step=at)
    headrace.log_text("note", f"depth {depth}")
    return Model(depth, depth / 10, Scaler(len(rows)))

@step
def best(models: list) -> Model:
    return max(models, key=lambda one: one.score)

@step(retries=1)
def fails(code: int):
    print("about to fail")
    raise Odd(code, "no luck")

@flow(tags=["nightly"])
def train(n: int = 10, depths: list[int] = [2, 4, 3], fail: bool = False, wait: float = 0.0):
    headrace.log_metric("accuracy", n / 100)
    headrace.log_params({"kind": "forest"})
    rows = load(n)
    parts = split(rows)
    found = best.submit(fit.map(depths, rows=parts.left)).result()
    if wait:
        sleepy.submit(wait).result()
    if fail:
        fails(7)
    return found

@step
def sleepy(seconds: float):
    print("asleep", flush=True)
    headrace.log_metric("awake", 0)
    time.sleep(seconds)

if __name__ == "__main__":
    train.main()
"""


class Place(NamedTuple):
    """Where runs were made, and the environment that says so."""

    folder: Path
    env: dict[str, str]
    started: list[subprocess.Popen[str]]

    def start(self, *options: str, script: str = "train.py") -> subprocess.Popen[str]:
        """Start a script there."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")}
        process = subprocess.Popen(
            [sys.executable, script, *options],
            cwd=self.folder,
            env={**clean, **self.env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def finish(self, *options: str, script: str = "train.py", code: int = 0) -> str:
        """Run it to its end."""
        process = self.start(*options, script=script)
        out, err = process.communicate(timeout=60)
        assert process.returncode == code, out + err
        return err


_schemas = itertools.count()


@pytest.fixture(scope="module", params=["sqlite", "postgres and s3"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A folder with three runs of ``train``: 1 succeeded, 2 failed, 3 succeeded."""
    folder = tmp_path_factory.mktemp("place")
    started: list[subprocess.Popen[str]] = []
    (folder / "train.py").write_text(TRAIN)
    (folder / "helper.py").write_text(HELPER)
    env = {"HEADRACE_HOME": str(folder / ".headrace")}
    with contextlib.ExitStack() as stack:
        if request.param != "sqlite":
            env["HEADRACE_DATABASE"] = f"{stack.enter_context(postgres_server())}&schema=client{next(_schemas)}"
            env["HEADRACE_ARTIFACTS"], settings = stack.enter_context(rclone_s3())
            env |= {name.upper(): value for name, value in settings.items()} | {"AWS_ALLOW_HTTP": "true"}
        made = Place(folder, env, started)
        _fill(made)
        yield made
        for process in started:
            process.kill()
            process.communicate()


def _fill(place: Place) -> None:
    place.finish()
    place.finish("--fail", "true", code=1)
    place.finish("--n", "50")


@pytest.fixture(autouse=True)
def elsewhere(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read from another folder, where the flow's modules cannot be imported."""
    monkeypatch.chdir(tmp_path)
    for name, value in place.env.items():
        monkeypatch.setenv(name, value)


def test_a_run() -> None:
    run = Run("train/1")
    assert (run.name, run.flow, run.number, run.state, run.error) == ("train/1", "train", 1, "succeeded", "")
    assert run.params == {"n": 10, "depths": [2, 4, 3], "fail": False, "wait": 0.0, "kind": "forest"}
    assert dict(run.inputs) == {"n": 10, "depths": [2, 4, 3], "fail": False, "wait": 0.0}
    assert run.tags == {"nightly": ""}
    assert run.steps == {"load": _done(1), "split": _done(1), "fit": _done(3), "best": _done(1)}
    assert list(run) == list(run.steps)
    assert run.finished is not None
    assert run.duration is not None
    assert abs((run.finished - run.started).total_seconds() - run.duration) < 0.01
    assert run.started.tzinfo is not None
    assert run.failed_task is None
    assert "load/1 | loading 10\n" in run.logs
    assert Run("train").name == Run("train/latest").name == "train/3"
    assert run == Run("train/1") != Run("train/3")
    assert len({run, Run("train/1")}) == 1


def _done(count: int) -> dict[str, int]:
    return {"succeeded": count}


def test_surroundings(place: Place) -> None:
    run = Run("train/1")
    assert set(run.sources) == {"train.py", "helper.py"}
    assert run.sources["helper.py"] == HELPER
    assert "msgspec" in run.packages
    assert run.python.startswith("3.")
    assert run.command == ("train.py",)
    assert run.git_commit == run.git_diff == ""
    assert run.user
    assert run.host
    with pytest.raises(KeyError, match=r"did you mean 'helper.py'"):
        run.sources["halper.py"]


def test_tasks_go_by_their_numbers() -> None:
    run = Run("train/1")
    fit = run["fit"]
    assert len(fit) == 3
    assert [task.number for task in fit] == [1, 2, 3]
    assert fit[2].name == "train/1/fit/2"
    assert fit[-1].number == 3
    assert [task.number for task in fit[:2]] == [1, 2]
    assert [task.number for task in fit[1:]] == [2, 3]
    assert len(run.tasks) == 6
    assert [task.step for task in run.tasks] == ["load", "split", "fit", "fit", "fit", "best"]
    assert run.tasks[0].name == "train/1/load/1"
    assert fit[2].run == run
    assert "fit" in run
    with pytest.raises(KeyError, match="train/1 has no step 'fits'; did you mean 'fit'"):
        run["fits"]
    for number in (0, 4, -4):
        with pytest.raises(NotFoundError, match=r"step 'fit' has 3|train/1/fit has no task -4"):
            fit[number]


def test_a_task() -> None:
    task = Task("train/1/fit/2")
    assert (task.name, task.step, task.number, task.state) == ("train/1/fit/2", "fit", 2, "succeeded")
    assert task == Run("train/1")["fit"][2]
    assert task.tags == ("slow",)
    assert task.error == task.traceback == task.reused_from == ""
    assert task.exception is None
    assert task.duration is not None
    assert task.started is not None
    assert task.cpu_seconds >= 0
    assert task.peak_memory > 1_000_000
    [attempt] = task.attempts
    assert (attempt.number, attempt.state, attempt.failure, attempt.exit_code) == (1, "succeeded", "", None)
    assert task.inputs["depth"] == 4
    assert task.inputs["rows"] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert set(task.artifacts) == {"depth", "score", "scaler", "note", "result"}
    assert set(task.outputs) == {"depth", "score", "scaler", "result"}
    assert task.outputs["score"].value == 0.4
    assert task.result.scaler.by == 5
    assert task.artifacts["note"].value == "depth 4"
    assert task.artifacts["note"].kind == "logged"
    assert task.metrics["score"].values == [0.0, 0.4, 0.8]
    with pytest.raises(KeyError, match="train/1/fit/2 has no input 'rws'; did you mean 'rows'"):
        task.inputs["rws"]


def test_logs_of_a_task() -> None:
    task = Run("train/1")["load"][1]
    assert task.stdout == "loading 10\n"
    assert task.stderr == "a warning\n"
    assert sorted(task.logs.splitlines()) == ["a warning", "loading 10"]


def test_objects_of_classes_that_cannot_be_imported_here() -> None:
    with pytest.raises(ImportError):
        __import__("train")
    before, path = set(sys.modules), list(sys.path)
    run = Run("train/1")
    model = run.result
    assert (type(model).__module__, type(model).__name__) == ("train", "Model")
    assert (model.depth, model.score, model.scaler.by) == (4, 0.4, 5)
    assert isinstance(run["fit"][1].result, type(model))
    assert not {"train", "helper"} & (set(sys.modules) - before)
    assert sys.path == path
    assert not any("Finder" in type(finder).__name__ and "headrace" in repr(finder) for finder in sys.meta_path)


def test_objects_of_classes_whose_file_is_gone(place: Place) -> None:
    from headrace.client import object_loader

    object_loader._made.clear()
    for name in ("train.py", "helper.py"):
        (place.folder / name).rename(place.folder / f"{name}.away")
    try:
        assert Run("train/1").result.scaler.by == 5
    finally:
        for name in ("train.py", "helper.py"):
            (place.folder / f"{name}.away").rename(place.folder / name)


def test_another_module_of_the_same_name_is_not_mistaken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "helper.py").write_text("class Other: pass")
    monkeypatch.syspath_prepend(tmp_path)
    other = __import__("helper")
    try:
        from headrace.client import object_loader

        object_loader._made.clear()
        assert Run("train/1").result.scaler.by == 5
        assert sys.modules["helper"] is other
    finally:
        del sys.modules["helper"]


def test_several_outputs() -> None:
    task = Run("train/1")["split"][1]
    assert set(task.outputs) == {"left", "right", "result"}
    assert task.outputs["right"].value == [5.0, 6.0, 7.0, 8.0, 9.0]
    parts = task.result
    assert type(parts).__name__ == "Parts"
    assert parts == ([0.0, 1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0, 9.0])


def test_lineage_both_ways() -> None:
    run = Run("train/1")
    left = Artifact("train/1/split/1/left")
    assert left.producer == run["split"][1]
    assert left.consumers == list(run["fit"])
    assert Artifact("train/1/split/1/right").consumers == []
    assert run["fit"][1].parents == [run["split"][1]]
    assert run["fit"][1].children == [run["best"][1]]
    assert run["fit"][1].inputs.sources("rows") == ["train/1/split/1/left"]
    assert len(run["best"][1].inputs["models"]) == 3
    assert Artifact("train/1/load/1").producer == run["load"][1]
    assert run.artifacts["result"].producer is None  # a dataclass of its own, made from the fields of best/1


def test_artifacts() -> None:
    run = Run("train/1")
    artifact = Artifact("train/1/load/1")
    assert (artifact.name, artifact.path, artifact.kind) == ("result", "train/1/load/1/result", "output")
    assert artifact.value.shape == (10,)
    assert artifact.type == "numpy.ndarray"
    assert dict(artifact.preview.facts)["shape"] == "(10,)"
    assert artifact.size == 80
    assert len(bytes.fromhex(artifact.digest)) == 32
    assert artifact.created is not None
    assert set(run.artifacts) >= {"result", "load/1/result", "split/1/left", "fit/2/note"}
    assert Artifact("train/1").value.depth == 4
    with pytest.raises(KeyError, match="train/1/fit/1 has no artifact 'nota'; did you mean 'note'"):
        Artifact("train/1/fit/1/nota")


def test_metrics() -> None:
    run = Run("train/1")
    assert run.metrics["accuracy"].last == 0.1
    score = run.metrics["score"]
    assert (score.min, score.max, len(score)) == (0.0, 0.8, 9)
    assert sorted(zip(score.steps, score.values, strict=True))[-1] == (2, 0.8)
    assert len(score.times) == 9
    assert (list(score), score[-1], score[:2]) == (score.values, score.values[-1], score.values[:2])
    frame = score.to_pandas()
    assert list(frame.columns) == ["step", "value", "time", "task"]
    assert set(frame["task"]) == {"fit/1", "fit/2", "fit/3"}
    assert len(run.metrics.to_pandas()) == 10
    assert "accuracy" in run.metrics
    assert run.metrics.get("none") is None
    with pytest.raises(KeyError, match="did you mean 'accuracy'"):
        run.metrics["acuracy"]


def test_a_run_that_failed() -> None:
    run = Run("train/2")
    assert run.state == "failed"
    assert run.error == "train.Odd: 7: no luck"
    with pytest.raises(RunFailedError, match=r"run train/2 has no result, it failed: .*no luck") as caught:
        _ = run.result
    assert 'raise Odd(code, "no luck")' in str(caught.value.__cause__)
    task = run.failed_task
    assert task is not None
    assert task == run["fails"][1]
    assert (task.state, len(task.attempts)) == ("failed", 2)
    assert "Odd: 7: no luck" in task.error
    assert "raise Odd" in task.traceback
    assert type(task.exception).__name__ == "Odd"
    assert task.exception.code == 7  # type: ignore[union-attr]
    assert [attempt.stdout for attempt in task.attempts] == ["about to fail\n"] * 2
    assert task.stdout == "about to fail\n"
    with pytest.raises(TaskError, match="train/2/fails/1 has no result, it failed"):
        _ = task.result


def test_runs_by_what_is_known_of_them() -> None:
    def names(**asked: Any) -> list[str]:
        return [run.name for run in headrace.runs(flow="train", **asked)]

    assert names() == ["train/3", "train/2", "train/1"]
    assert names(status="failed") == ["train/2"]
    assert names(status=["failed", "succeeded"], limit=2) == ["train/3", "train/2"]
    assert names(where="metrics.accuracy > 0.2") == ["train/3"]
    assert names(where="metrics.accuracy <= 0.2 and params.fail = false") == ["train/1"]
    assert names(where="params.kind == forest and number > 1 and state != failed") == ["train/3"]
    assert names(where="params.n = 50 and created > 2020-01-01 and duration < 10m") == ["train/3"]
    assert names(tag="nightly", limit=1) == ["train/3"]
    assert names(tag="weekly") == names(status="crashed") == names(limit=0) == []
    assert names(where="state = failed and state = succeeded") == []
    with pytest.raises(UsageError, match="'done' is not a state"):
        headrace.runs(status="done")
    with pytest.raises(UsageError, match="where: expected"):
        headrace.runs(where="accuracy > 1")


def test_runs_are_sliced_and_compared() -> None:
    found = headrace.runs(flow="train")
    assert len(found) == 3
    assert found[0].name == "train/3"
    assert found[-1].name == "train/1"
    assert [run.name for run in found[1:]] == ["train/2", "train/1"]
    assert found
    assert not headrace.runs(tag="weekly")
    with pytest.raises(IndexError):
        found[3]
    frame = found.to_pandas()
    assert list(frame.index) == ["train/3", "train/2", "train/1"]
    assert frame.loc["train/1", "metrics.accuracy"] == 0.1
    assert frame.loc["train/3", "params.n"] == 50
    assert list(headrace.runs(tag="weekly").to_pandas().columns)[:2] == ["flow", "number"]


def test_a_flow() -> None:
    flow = Flow("train")
    assert len(flow) == 3
    assert flow.latest.name == flow[-1].name == "train/3"
    assert flow[1].name == "train/1"
    assert [run.name for run in flow] == ["train/3", "train/2", "train/1"]
    assert [run.name for run in flow.runs(status="failed")] == ["train/2"]
    with pytest.raises(NotFoundError, match="did you mean 'train'"):
        Flow("trian")
    with pytest.raises(NotFoundError):
        flow[-4]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Run, "trian/1"),
        (Run, "train/9"),
        (Run, "train/1/fit/1"),
        (Run, "7"),
        (Task, "train/1"),
        (Task, "train/1/fit/9"),
    ],
)
def test_names_of_nothing(kind: Any, name: str) -> None:
    with pytest.raises(NotFoundError):
        kind(name)


def test_everything_shows_itself() -> None:
    run, failed = Run("train/1"), Run("train/2")
    shown: list[Any] = [
        *(run, failed, run.tasks, run["fit"], run["fit"][2], failed["fails"][1], failed["fails"][1].attempts[0]),
        *(run.artifacts, run.artifacts["load/1/result"], run.metrics, run.metrics["score"], run["fit"][2].inputs),
        *(run.sources, run.logs, headrace.runs(), Flow("train"), headrace.runs(tag="weekly")),
    ]
    for one in shown:
        assert repr(one)
        assert one._repr_html_().startswith("<")
    assert repr(run).startswith("<run train/1: succeeded>\n  started: ")
    assert "metrics: accuracy=0.1, score=" in repr(run)
    assert "error: train.Odd: 7: no luck" in repr(failed)
    assert repr(run.artifacts["load/1/result"]).startswith("<artifact train/1/load/1/result: numpy.ndarray, 80 B")


def test_tags_are_put_on_and_taken_off() -> None:
    run = Run("train/1")
    run.add_tag("team", "vision")
    assert run.tags == {"nightly": "", "team": "vision"}
    assert [one.name for one in headrace.runs(tag="team=vision")] == ["train/1"]
    run.remove_tag("team")
    assert run.tags == {"nightly": ""}


def test_a_run_is_watched_while_it_goes_on(place: Place) -> None:
    before = Run("train")
    process = place.start("--wait", "1.5")
    run = _newer(before)
    assert run.state == "running"
    with pytest.raises(UsageError, match="is running; wait for its result"):
        _ = run.result
    with pytest.raises(UsageError, match="is running; stop it first"):
        run.delete()
    with pytest.raises(TimeoutError, match=r"still running after 0\.05 s"):
        run.wait(0.05)
    _eventually(lambda: {"awake", "accuracy"} <= set(run.metrics) and "asleep" in run.logs)
    _eventually(lambda: "sleepy" in run.steps)  # a task has its row a tenth of a second after it began
    assert run.metrics["accuracy"].last == 0.1
    assert run["sleepy"][1].state == "running"
    assert headrace.runs(status="running")[0] == run
    assert run["fit"][2].result.depth == 4
    assert run.wait(30).state == "succeeded"
    assert run.result.depth == 4
    assert process.wait(30) == 0
    process.communicate()
    run.delete()
    with pytest.raises(NotFoundError, match="was deleted"):
        _ = run.result
    with pytest.raises(NotFoundError):
        Run(run.name)


def test_a_run_whose_process_was_killed_has_crashed(place: Place) -> None:
    before = Run("train")
    process = place.start("--wait", "60")
    run = _newer(before)
    _eventually(lambda: "sleepy" in run.steps and run.steps["sleepy"] == {"running": 1})
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert run.state == "crashed"
    assert run.wait(5).state == "crashed"
    assert [one.name for one in headrace.runs(status="crashed")] == [run.name]
    assert not headrace.runs(status="running")
    assert headrace.runs(where="state = crashed").to_pandas()["state"].tolist() == ["crashed"]
    assert [one.name for one in headrace.runs(where="number > 99 or state in (crashed, running)")] == [run.name]
    assert run.name not in [one.name for one in headrace.runs(where="state != crashed")]
    assert run.duration is None
    with pytest.raises(RunFailedError, match="it crashed"):
        _ = run.result
    assert run["fit"][2].result.depth == 4
    run.delete()


def _newer(before: Run) -> Run:
    _eventually(lambda: Run("train") != before)
    return Run("train")


def _eventually(condition: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_place_without_runs_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEADRACE_HOME", "HEADRACE_DATABASE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(NotFoundError, match="there are no runs yet"):
        Run("train/1")
    assert list(tmp_path.iterdir()) == []


def test_reading_never_starts_a_run(place: Place) -> None:
    script = (
        "from headrace import flow\n\nclass Thing:\n    pass\n\n@flow\ndef eager():\n    return Thing()\n\neager()\n"
    )
    (place.folder / "eager.py").write_text(script)
    place.finish(script="eager.py")
    with pytest.raises(UsageError, match="flow 'eager' was called while its file was imported"):
        _ = Run("eager/1").result
    assert len(Flow("eager")) == 1
