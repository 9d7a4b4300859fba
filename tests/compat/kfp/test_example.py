"""The example pipeline, run three ways: compiled, from its Python file, and by a script for ``kfp.local``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[3] / "examples" / "kfp"
#: A file without a pipeline: its component is one of one task.
ALONE = """
from kfp import dsl

@dsl.component
def after(x: int = 1) -> int:
    import kfp
    print(f"after {x}: {x + 1} of {kfp.__version__}")
    return x + 1
"""


def test_the_example_runs_compiled_from_its_file_and_by_kfp_local(real_kfp: str, tmp_path: Path) -> None:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("HEADRACE_", "PYTHON"))}
    clean |= {"HEADRACE_HOME": str(tmp_path / "home"), "HEADRACE_CACHE": str(tmp_path / "cache")}
    clean["PATH"] = f"{Path(real_kfp).parent}:{clean['PATH']}"

    def call(*command: str, **more: str) -> str:
        environ = {**clean, **more}
        done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def headrace(*words: str) -> str:
        return call(sys.executable, "-m", "headrace", *words)

    headrace("run", str(FOLDER / "digits_pipeline.yaml"), "--goal", "0.9")
    assert "published at" in headrace("logs", "digits/1")
    assert "accuracy" in headrace("show", "digits/1")
    headrace("run", f"{FOLDER}/digits_pipeline.py:digits", "--goal", "1.0")
    log = headrace("logs", "digits/2")
    assert "not good enough" in log
    assert "exit-handler-1 SUCCEEDED" in log
    assert "came from the cache" in headrace("explain", "digits/2/exit-handler-1.load/1")
    printed = call(
        real_kfp, str(FOLDER / "digits_pipeline.py"), str(tmp_path), PYTHONPATH=headrace("dialect", "kfp").strip()
    )
    assert "published at" in printed
    assert "digits/3" in headrace("runs")
    (tmp_path / "alone.py").write_text(ALONE)
    headrace("run", "alone.py", "--x", "41")
    assert "after 41: 42 of 2." in headrace("logs", "after/1")


def test_the_compiled_example_is_that_of_its_file(real_kfp: str, tmp_path: Path) -> None:
    code = (
        "import sys, warnings; warnings.simplefilter('ignore'); sys.path.insert(0, sys.argv[1])\n"
        "from digits_pipeline import digits; from kfp import compiler\n"
        "compiler.Compiler().compile(digits, sys.argv[2])"
    )
    made = tmp_path / "made.yaml"
    subprocess.run([real_kfp, "-B", "-c", code, str(FOLDER), str(made)], check=True)
    assert made.read_text() == (FOLDER / "digits_pipeline.yaml").read_text()
