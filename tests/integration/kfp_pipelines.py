"""Pipelines as the SDK compiles them, made without it, and their runs in this process."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import headrace
from headrace.client.default import default_scope
from headrace.frontends.kfp.launch import Ended, Launch, run_pipeline
from headrace.frontends.kfp.pipeline_file import pipeline_of

_PARTS = Path(__file__).parent.parent / "unit" / "frontends" / "kfp_parts.py"


def _parts() -> Any:
    name = "kfp_parts_of_unit_tests"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, _PARTS)
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


parts = _parts()


class Made:
    """A pipeline that is being made. Types of inputs and outputs follow from a dot: ``system.Model`` is an artifact."""

    def __init__(self, name: str = "made", root: str = "") -> None:
        self.document: dict[str, Any] = {
            "pipelineInfo": {"name": name},
            "root": {"dag": {"tasks": {}}},
            "components": {},
            "deploymentSpec": {"executors": {}},
            "schemaVersion": "2.1.0",
            **({"defaultPipelineRoot": root} if root else {}),
        }

    def add(
        self,
        task: str,
        executor: dict[str, Any],
        *,
        takes: dict[str, tuple[str, Any]] | None = None,
        gives: dict[str, str] | None = None,
    ) -> Made:
        """Add a task. ``takes``: type and value of each input; the value of an artifact is ``(task, output)``."""
        takes, gives = takes or {}, gives or {}
        executor = executor if "importer" in executor else {"container": executor}
        self.document["deploymentSpec"]["executors"][f"exec-{task}"] = executor
        self.document["components"][f"comp-{task}"] = {
            "executorLabel": f"exec-{task}",
            "inputDefinitions": _definitions({name: kind for name, (kind, _) in takes.items()}),
            "outputDefinitions": _definitions(gives),
        }
        producers = [value[0] for _, value in takes.values() if isinstance(value, tuple)]
        self.document["root"]["dag"]["tasks"][task] = {
            "taskInfo": {"name": task},
            "componentRef": {"name": f"comp-{task}"},
            "dependentTasks": sorted(set(producers)),
            "inputs": {
                "parameters": {name: _parameter(value) for name, (kind, value) in takes.items() if "." not in kind},
                "artifacts": {
                    name: {"taskOutputArtifact": {"producerTask": value[0], "outputArtifactKey": value[1]}}
                    for name, (kind, value) in takes.items()
                    if "." in kind
                },
            },
        }
        return self

    def give(self, name: str, task: str, output: str = "Output") -> Made:
        """Make an output of a task one of the pipeline."""
        component = self.document["components"][f"comp-{task}"]["outputDefinitions"]
        root, dag = self.document["root"], self.document["root"]["dag"]
        defined = root.setdefault("outputDefinitions", {"parameters": {}, "artifacts": {}})
        outputs = dag.setdefault("outputs", {"parameters": {}, "artifacts": {}})
        if output in component["parameters"]:
            defined["parameters"][name] = component["parameters"][output]
            selector = {"producerSubtask": task, "outputParameterKey": output}
            outputs["parameters"][name] = {"valueFromParameter": selector}
        else:
            defined["artifacts"][name] = component["artifacts"][output]
            outputs["artifacts"][name] = {"artifactSelectors": [{"producerSubtask": task, "outputArtifactKey": output}]}
        return self

    def run(self, **how: Any) -> Ended:
        """Run it here."""
        Path("made.yaml").write_text(json.dumps(self.document))
        pipeline = pipeline_of([self.document], "made.yaml")
        return run_pipeline(pipeline, {}, Launch(scope=default_scope(), entry="made.yaml:made", **how))


def logs_of(ended: Ended) -> str:
    """What the tasks of a run printed."""
    return str(headrace.Run(ended.run.name).logs)


def _definitions(kinds: dict[str, str]) -> dict[str, Any]:
    return {
        "parameters": {name: {"parameterType": kind} for name, kind in kinds.items() if "." not in kind},
        "artifacts": {
            name: {"artifactType": {"schemaTitle": kind, "schemaVersion": "0.0.1"}}
            for name, kind in kinds.items()
            if "." in kind
        },
    }


def _parameter(value: Any) -> dict[str, Any]:
    if isinstance(value, tuple):
        return {"taskOutputParameter": {"producerTask": value[0], "outputParameterKey": value[1]}}
    return {"runtimeValue": {"constant": value}}
