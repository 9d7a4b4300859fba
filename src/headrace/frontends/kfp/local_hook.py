"""Put into ``sitecustomize`` of a folder on Python's path: lets ``kfp.local`` run pipelines on Headrace.

Runs in the user's Python, which has kfp and need not have Headrace: only the standard library may be imported here.
``headrace dialect kfp`` writes the folder, with the interpreter of Headrace in place of ``{python}``.
"""

import functools
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from typing import Any

HEADRACE = "{python}"
_HOOKED = {
    "kfp.local.pipeline_orchestrator": ("run_local_pipeline", "Pipeline"),
    "kfp.local.task_dispatcher": ("run_single_task", "Task"),
}


def run(kind: str, pipeline_spec: Any, arguments: Any) -> Any:
    """Run a pipeline, or a component alone (``kind`` is "Task"), on Headrace; its outputs as kfp.local gives them."""
    from google.protobuf import json_format
    from kfp.dsl.executor import create_artifact_instance
    from kfp.local import config

    config.LocalExecutionConfig.validate()
    chosen = config.LocalExecutionConfig.instance
    request = {
        "pipeline": json_format.MessageToDict(pipeline_spec),
        "arguments": arguments,
        "root": os.path.abspath(chosen.pipeline_root),  # noqa: PTH100
        "script": os.path.abspath(sys.argv[0]) if sys.argv and os.path.isfile(sys.argv[0]) else "",  # noqa: PTH100, PTH113
        # A component that is called alone runs each time, as under kfp.local.
        "use_cache": kind == "Pipeline" and bool(getattr(chosen, "enable_caching", False)),
    }
    with tempfile.TemporaryDirectory(prefix="headrace-kfp-") as folder:
        paths = [os.path.join(folder, name) for name in ("request.json", "answer.json")]  # noqa: PTH118
        with open(paths[0], "w") as file:  # noqa: PTH123
            json.dump(request, file, allow_nan=False)
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        sys.stdout.flush()
        code = subprocess.call([HEADRACE, "-m", "headrace.cli.kfplocal", *paths], env=environ)
        if code:
            raise RuntimeError(f"Headrace ended with exit code {code}.")
        with open(paths[1]) as file:  # noqa: PTH123
            answer = json.load(file)

    def value_of(one: Any) -> Any:
        if isinstance(one, list):
            return [value_of(member) for member in one]
        return create_artifact_instance(one["artifact"]) if isinstance(one, dict) and set(one) == {"artifact"} else one

    name = pipeline_spec.pipeline_info.name
    if answer["problem"]:
        raise RuntimeError(f"Pipeline {name!r} cannot run: {answer['problem']}")
    if answer["state"] != "succeeded":
        *around, inner = answer["path"].split(".")
        chain = " inside ".join(repr(one) for one in [inner, *reversed(around)])
        told = f" Inner task failed: {chain}." if kind == "Pipeline" and inner else ""
        message = f"{kind} {name!r} finished with status FAILURE.{told} {answer['failed']}"
        if chosen.raise_on_error:
            raise RuntimeError(message)
        print(message)
        return {}
    return {key: value_of(one) for key, one in answer["outputs"].items()}


class _Loader(importlib.abc.Loader):
    """Loads a module of kfp as it is, then puts ``run`` in place of its entry point."""

    def __init__(self, real: Any, function: str, kind: str) -> None:
        self._real, self._function, self._kind = real, function, kind

    def create_module(self, spec: Any) -> Any:
        return self._real.create_module(spec)

    def exec_module(self, module: Any) -> None:
        self._real.exec_module(module)
        setattr(module, self._function, functools.partial(run, self._kind))


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in _HOOKED:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, *_HOOKED[name])
        return spec


def install() -> None:
    """Hook the modules of kfp, and run the ``sitecustomize`` that this one stands before."""
    sys.meta_path.insert(0, _Finder())
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
    rest = [one for one in sys.path if os.path.abspath(one or ".") != here]  # noqa: PTH100
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", rest)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)


if __name__ == "sitecustomize":
    install()
