"""Compile a pipeline of a Python file with the user's own kfp, in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from headrace.frontends.kfp.errors import PipelineError
from headrace.frontends.kfp.ir import Pipeline
from headrace.frontends.kfp.pipeline_file import parse_pipeline

_SCRIPT = Path(__file__).with_name("compile_script.py")


def compile_file(file: str, name: str) -> tuple[Pipeline, str]:
    """The pipeline ``name`` of a file, and its name; an empty ``name`` is the only one.

    Raises:
        PipelineError: kfp is not installed, the file cannot be imported or compiled, or it is not clear which is meant.
    """
    with tempfile.TemporaryDirectory(prefix="headrace-kfp-") as folder:
        output = Path(folder, "pipeline.yaml")
        environ = {**os.environ, "PYTHONWARNINGS": "ignore::FutureWarning"}
        command = [python_with_kfp(), str(_SCRIPT), file, name, str(output)]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        if done.returncode:
            raise PipelineError(f"{file} cannot be compiled:\n{done.stderr.strip()}")
        told = json.loads(done.stdout.splitlines()[-1])
        if not told["compiled"]:
            found = told["pipelines"]
            if name:
                raise PipelineError(f"no pipeline {name!r} in {file}; pipelines in it: {', '.join(found) or 'none'}")
            if not found:
                raise PipelineError(f"{file} holds no pipeline or component: a function with @dsl.pipeline at its top")
            choices = "\n".join(f"  {file}:{one}" for one in found)
            raise PipelineError(f"{file} holds several pipelines; say which one:\n{choices}")
        return parse_pipeline(output.read_bytes(), f"{file}:{told['compiled']}"), str(told["compiled"])


def python_with_kfp() -> str:
    """The interpreter that has kfp: this one, else the one that PATH finds.

    Raises:
        PipelineError: neither has it.
    """
    import importlib.util

    if importlib.util.find_spec("kfp.compiler.compiler" if "kfp" in sys.modules else "kfp") is not None:
        return sys.executable
    for name in ("python3", "python"):
        found = shutil.which(name)
        if found is not None and _has_kfp(found):
            return found
    raise PipelineError(
        "a Python file with @dsl.pipeline is compiled by your own kfp, which is not installed here: pip install kfp, "
        "or compile it elsewhere (kfp dsl compile --py FILE.py --output pipeline.yaml) and run the YAML"
    )


def _has_kfp(python: str) -> bool:
    code = "import importlib.util as u, sys; sys.exit(u.find_spec('kfp') is None)"
    return subprocess.run([python, "-c", code], check=False, capture_output=True).returncode == 0
