"""A script for ``kfp.local``, unchanged: under the real one, and with the folder of ``headrace dialect kfp``."""

from __future__ import annotations

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

@dsl.pipeline
def both(x: int) -> NamedTuple("Both", [("n", int), ("m", dsl.Model)]):
    made = NamedTuple("Both", [("n", int), ("m", dsl.Model)])
    return made(n=add(a=add(a=x).output).output, m=save(text="saved").outputs["out"])

@dsl.pipeline
def fails() -> str:
    return bad(x="on purpose").output

one = add(a=1, b=5)
print("»", one.output, one.outputs["Output"])
two = both(x=4)
model = two.outputs["m"]
print("»", two.outputs["n"], type(model).__name__, model.framework, open(model.path).read())
try:
    fails()
except RuntimeError as error:
    print("»", type(error).__name__, "finished with status" in str(error), "FAILURE" in str(error))
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
