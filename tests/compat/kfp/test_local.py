"""A script for ``kfp.local``, unchanged: under the real one, and with the folder of ``headrace dialect kfp``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys, warnings
warnings.simplefilter("ignore")
from typing import List, NamedTuple
from kfp import dsl, local

local.init(local.SubprocessRunner(use_venv=False), pipeline_root=sys.argv[1])
component = __import__("functools").partial(dsl.component, install_kfp_package=False)

@component
def add(a: int, b: int = 2) -> int:
    return a + b

@component
def save(text: str, out: dsl.Output[dsl.Model]):
    out.framework = "x"
    with open(out.path, "w") as file:
        file.write(text)

@component
def bad(x: str) -> str:
    raise ValueError(x)

@component
def half(x: int) -> NamedTuple("Half", [("half", float), ("odd", float)]):
    return (x / 2, float("nan"))

@component
def evaluate(metrics: dsl.Output[dsl.Metrics], table: dsl.Output[dsl.Dataset]):
    metrics.log_metric("accuracy", 0.5)
    table.path = table.path + ".csv"
    with open(table.path, "w") as file:
        file.write("a")

@component
def look(metrics: dsl.Input[dsl.Metrics]) -> str:
    import os
    return f"{os.path.basename(metrics.uri)} {os.path.basename(metrics.path)} {os.path.exists(metrics.path)}"

@dsl.pipeline
def evaluated() -> NamedTuple("Evaluated", [("seen", str), ("metrics", dsl.Metrics), ("table", dsl.Dataset)]):
    made = evaluate()
    outputs = NamedTuple("Evaluated", [("seen", str), ("metrics", dsl.Metrics), ("table", dsl.Dataset)])
    seen = look(metrics=made.outputs["metrics"]).output
    return outputs(seen=seen, metrics=made.outputs["metrics"], table=made.outputs["table"])

@dsl.pipeline
def both(x: int) -> NamedTuple("Both", [("n", int), ("m", dsl.Model)]):
    made = NamedTuple("Both", [("n", int), ("m", dsl.Model)])
    return made(n=add(a=add(a=x).output).output, m=save(text="saved").outputs["out"])

@dsl.pipeline
def fails() -> str:
    return bad(x="on purpose").output

@dsl.pipeline
def fails_inside() -> str:
    return fails().output

one = add(a=1, b=5)
print("»", one.output, one.outputs["Output"])
two = both(x=4)
model = two.outputs["m"]
print("»", two.outputs["n"], type(model).__name__, model.framework, open(model.path).read())
plain = lambda text: __import__("re").sub("\\x1b.[0-9]*m", "", text)
for failing in (fails_inside, bad):
    try:
        failing(**{"x": "alone"} if failing is bad else {})
    except RuntimeError as error:
        print("»", plain(str(error)).split("FAILURE")[0], "'bad' inside 'fails'" in plain(str(error)))
found = evaluated().outputs
print("»", found["seen"], found["metrics"].uri.split("/")[-1], found["metrics"].metadata)
print("»", found["table"].path.split("/")[-1], open(found["table"].path).read())
print("»", sorted(half(x=6).outputs.items()))
try:
    bad(x=float("nan"))
except Exception as error:
    print("» refused")
print("»", add(a=5).output)
"""


def test_a_script_for_kfp_local_runs_on_headrace_unchanged(real_kfp: str, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("HEADRACE_", "PYTHON"))}
    clean |= {"HEADRACE_HOME": str(tmp_path / "home"), "HEADRACE_CACHE": str(tmp_path / "cache")}
    clean["PATH"] = f"{Path(real_kfp).parent}:{clean['PATH']}"
    dialect = [sys.executable, "-m", "headrace", "dialect", "kfp"]
    folder = subprocess.run(dialect, env=clean, capture_output=True, text=True, check=True).stdout.strip()

    def lines(**more: str) -> list[str]:
        command = [real_kfp, "script.py", str(tmp_path / "out")]
        environ = {**clean, **more}
        done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return [line for line in done.stdout.splitlines() if line.startswith("»")]

    ours = lines(PYTHONPATH=folder)
    runs = [sys.executable, "-m", "headrace", "runs"]
    assert "both/1" in subprocess.run(runs, env=clean, capture_output=True, text=True, check=True).stdout
    assert ours == lines()


FLOW = """
from headrace import flow, step

import helper


@step
def fit(n: int) -> int:
    print("fitting", n)
    return helper.twice(n)


@flow
def train_it(n: int, names: list[str] = ["a"], scale: float = 0.5, note: str = "") -> dict[str, float]:
    "Train it."
    return {name + note: fit(n) * scale for name in names}
"""


def test_a_native_flow_is_exported_as_a_pipeline_that_kfp_reads_and_headrace_runs(
    real_kfp: str, tmp_path: Path
) -> None:
    (tmp_path / "train.py").write_text(FLOW)
    (tmp_path / "helper.py").write_text("def twice(n):\n    return 2 * n\n")
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("HEADRACE_", "PYTHON"))}
    clean["PATH"] = f"{Path(sys.executable).parent}:{clean['PATH']}"

    def call(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def headrace(*words: str) -> str:
        return call(sys.executable, "-m", "headrace", *words)

    headrace("export", "kfp", "train.py")
    load = "from kfp.components import load_component_from_file as load; "
    code = f"{load} print(sorted(load('pipeline.yaml').component_spec.inputs))"
    assert "['n', 'names', 'note', 'scale']" in call(real_kfp, "-W", "ignore", "-c", code)
    words = ("--n", "4", "--names", '["x", "y"]', "--note", "'$(id)")
    told = json.loads(headrace("run", "--containers", "host", "--json", "pipeline.yaml", *words))
    assert told["state"] == "succeeded"
    assert """{"x'$(id)": 4, "y'$(id)": 4}""" in told["result"]["text"]
    assert "fitting 4" in headrace("logs", "train-it/1")
    again = subprocess.run(
        [sys.executable, "-m", "headrace", "export", "kfp", "train.py"],
        cwd=tmp_path,
        env=clean,
        capture_output=True,
        check=False,
    )
    assert again.returncode == 2
    assert b"--force" in again.stderr
