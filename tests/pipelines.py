"""Pipelines for tests, written as the compiler of kfp writes them."""

from __future__ import annotations

import textwrap
from typing import Any

TYPES = {int: "NUMBER_INTEGER", float: "NUMBER_DOUBLE", str: "STRING", bool: "BOOLEAN", list: "LIST", dict: "STRUCT"}
FRAME = (
    'program_path=$(mktemp -d)\n\nprintf "%s" "$0" > "$program_path/ephemeral_component.py"\n'
    "_KFP_RUNTIME=true python3 -m kfp.dsl.executor_main                         --component_module_path"
    '                         "$program_path/ephemeral_component.py"                         "$@"\n'
)
HEAD = "\nimport kfp\nfrom kfp import dsl\nfrom kfp.dsl import *\nfrom typing import *\n\n"


def parameters(types: dict[str, Any]) -> dict[str, Any]:
    """Definitions of parameters; a type in a tuple has a default beside it."""
    found: dict[str, Any] = {}
    for name, kind in types.items():
        if isinstance(kind, tuple):
            found[name] = {"parameterType": TYPES[kind[0]], "defaultValue": kind[1], "isOptional": True}
        else:
            found[name] = {"parameterType": TYPES.get(kind, kind)}
    return {"parameters": found}


def constant(value: Any) -> dict[str, Any]:
    """A constant as the input of a task."""
    return {"runtimeValue": {"constant": value}}


def around(name: str) -> dict[str, Any]:
    """An input of the DAG as the input of a task."""
    return {"componentInputParameter": name}


def output(task: str, key: str = "Output") -> dict[str, Any]:
    """An output of another task as the input of a task."""
    return {"taskOutputParameter": {"producerTask": task, "outputParameterKey": key}}


def task(component: str, *after: str, **inputs: Any) -> dict[str, Any]:
    """A task that runs ``comp-COMPONENT``."""
    told: dict[str, Any] = {"componentRef": {"name": f"comp-{component}"}, "taskInfo": {"name": component}}
    if inputs:
        told["inputs"] = {"parameters": inputs}
    if after:
        told["dependentTasks"] = list(after)
    return told


class Pipeline:
    """A pipeline that is put together; ``spec`` is what the file holds."""

    def __init__(self, name: str = "made", **inputs: Any) -> None:
        self.spec: dict[str, Any] = {
            "pipelineInfo": {"name": name},
            "schemaVersion": "2.1.0",
            "sdkVersion": "kfp-2.17.3",
            "root": {"dag": {"tasks": {}}},
            "components": {},
            "deploymentSpec": {"executors": {}},
        }
        if inputs:
            self.spec["root"]["inputDefinitions"] = parameters(inputs)

    @property
    def tasks(self) -> dict[str, Any]:
        """The tasks of the root."""
        found: dict[str, Any] = self.spec["root"]["dag"]["tasks"]
        return found

    def python(self, source: str, outputs: dict[str, Any] | None = None, **inputs: Any) -> None:
        """A component of a Python function."""
        source = textwrap.dedent(source).strip() + "\n"
        name = source.partition("def ")[2].partition("(")[0]
        container = {
            "image": "python:3.11",
            "command": ["sh", "-ec", FRAME, HEAD + source],
            "args": ["--executor_input", "{{$}}", "--function_to_execute", name],
        }
        self.spec["deploymentSpec"]["executors"][f"exec-{name}"] = {"container": container}
        self.component(name, {"executorLabel": f"exec-{name}"}, outputs, **inputs)

    def component(self, name: str, what: dict[str, Any], outputs: dict[str, Any] | None = None, **inputs: Any) -> None:
        """A component with its definitions."""
        made = dict(what)
        if inputs:
            made["inputDefinitions"] = parameters(inputs)
        if outputs:
            made["outputDefinitions"] = parameters(outputs)
        self.spec["components"][f"comp-{name}"] = made

    def dag(self, name: str, tasks: dict[str, Any], outputs: dict[str, Any] | None = None, **inputs: Any) -> None:
        """A component of tasks; ``outputs``: by key the type, the task and its output."""
        dag: dict[str, Any] = {"tasks": tasks}
        if outputs:
            dag["outputs"] = {
                "parameters": {
                    key: {"valueFromParameter": {"producerSubtask": producer, "outputParameterKey": told}}
                    for key, (_, producer, told) in outputs.items()
                }
            }
        self.component(name, {"dag": dag}, {key: told[0] for key, told in (outputs or {}).items()}, **inputs)
