"""Run by the Python that has the real kfp: compile the pipelines of the suite, and ask kfp.local what they give.

``python record.py compile FOLDER`` writes each pipeline as YAML, all in one process. ``python record.py record FOLDER``
runs each under kfp.local and writes ``recorded.json``: outputs, state and printed lines.
"""

import contextlib
import functools
import importlib
import io
import json
import os
import re
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
MODULES = ("dags", "branches", "loops", "exits", "inputs", "together")
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def cases() -> list[tuple[str, Any, dict[str, Any]]]:
    sys.path.insert(0, HERE)
    parts = importlib.import_module("pipelines.parts")
    found = []
    for module in MODULES:
        parts.CASES.clear()
        importlib.import_module(f"pipelines.{module}")
        found += [(f"{module}.{one.pipeline_func.__name__}", one, args) for one, args in parts.CASES]
    return found


def plain(value: Any) -> Any:
    """Outputs as JSON: artifacts as type, metadata and content."""
    if isinstance(value, list):
        return [plain(one) for one in value]
    if hasattr(value, "uri"):
        content = Path(value.path).read_text() if os.path.isfile(value.path) else None
        return {"type": value.schema_title, "metadata": value.metadata, "content": content}
    return value


def ask(pipeline: Any, arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    path = os.path.join(tempfile.mkdtemp(dir=folder), "file")
    given = {name: path if value == "<file>" else value for name, value in arguments.items()}
    out = io.StringIO()
    outputs: Any = None
    try:
        with contextlib.redirect_stdout(out):
            outputs = {name: plain(one) for name, one in pipeline(**given).outputs.items()}
        state = "succeeded"
    except Exception as error:
        state = "failed"
        sys.stderr.write(f"  {type(error).__name__}: {str(error)[:200]}\n")
    told = _ANSI.sub("", out.getvalue())
    lines = sorted(line.strip() for line in told.splitlines() if line.strip().startswith("»"))
    return {"state": state, "outputs": outputs, "lines": lines}


def ask_beside(pipeline: Any, arguments: dict[str, Any], folder: str) -> dict[str, Any]:
    """``ask`` in a process of its own: after a loop, kfp.local leaves ``print`` changed behind."""
    receive, send = os.pipe()
    child = os.fork()
    if not child:
        with os.fdopen(send, "w") as pipe:
            json.dump(ask(pipeline, arguments, folder), pipe)
        os._exit(0)
    os.close(send)
    with os.fdopen(receive) as pipe:
        told = json.load(pipe)
    os.waitpid(child, 0)
    return told


def main(command: str, folder: str) -> None:
    warnings.simplefilter("ignore")
    from kfp import compiler, dsl, local

    os.makedirs(folder, exist_ok=True)
    if command == "compile":
        for name, pipeline, _ in cases():
            compiler.Compiler().compile(pipeline, os.path.join(folder, f"{name}.yaml"))
        return
    os.environ["PATH"] = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    dsl.component = functools.partial(
        dsl.component, install_kfp_package=False
    )  # it is installed, and pip takes a second
    told = {}
    with tempfile.TemporaryDirectory() as root:
        local.init(local.SubprocessRunner(use_venv=False), pipeline_root=root)
        for name, pipeline, arguments in cases():
            told[name] = {"arguments": arguments, **ask_beside(pipeline, arguments, root)}
            print(name, told[name]["state"], flush=True)
    with open(os.path.join(folder, "recorded.json"), "w") as file:
        json.dump(told, file, indent=1, sort_keys=True, ensure_ascii=False)
        file.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
