"""A native flow as a compiled pipeline of one step, which unpacks the flow's files and drives it in its container."""

from __future__ import annotations

import base64
import json
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from headrace.frontends.kfp.errors import PipelineError

_DRIVER = Path(__file__).with_name("exported_step.py")
#: Linux takes 128 KiB in one argument.
_CHUNK = 96 << 10
#: All arguments of a command together, as Kubernetes takes them.
_LIMIT = 1 << 20
_TYPES: dict[Any, str] = {
    int: "NUMBER_INTEGER",
    float: "NUMBER_DOUBLE",
    str: "STRING",
    bool: "BOOLEAN",
    list: "LIST",
    tuple: "LIST",
    dict: "STRUCT",
}


class ExportedParameter(msgspec.Struct, frozen=True):
    """A parameter of the flow: its annotation, and its default; ``UNSET`` where there is none."""

    name: str
    annotation: Any
    default: Any


class ExportedFlow(msgspec.Struct, frozen=True, kw_only=True):
    """A flow to export: ``entry`` is ``FILE:FLOW`` in ``archive``, a .tar.gz of its files."""

    name: str
    description: str
    parameters: Sequence[ExportedParameter]
    returns: Any
    entry: str
    archive: bytes
    image: str
    requirement: str  # what pip installs where the image has no Headrace


def pipeline_text(flow: ExportedFlow) -> str:
    """The pipeline as JSON, which is YAML.

    Raises:
        PipelineError: a parameter cannot be passed by KFP, or the files are too large.
    """
    text = base64.b64encode(flow.archive).decode()
    if len(text) > _LIMIT:
        raise PipelineError(
            f"the files of {flow.name} have {len(text) >> 10} KiB packed; a command can hold {_LIMIT >> 10} KiB: put "
            "them into an image, or leave some out with `exclude` in [tool.headrace]"
        )
    chunks = [text[at : at + _CHUNK] for at in range(0, len(text), _CHUNK)]
    task = f"run-{flow.name.replace('_', '-')}"
    inputs = {one.name: _declared(flow.name, one) for one in flow.parameters}
    kind = _type_of(flow.returns)
    outputs = {"parameters": {"result": {"parameterType": kind}}} if kind else {}
    component: dict[str, Any] = {"executorLabel": "exec-driver"}
    root: dict[str, Any] = {
        "dag": {
            "tasks": {
                task: {
                    "taskInfo": {"name": task},
                    "componentRef": {"name": "comp-driver"},
                    "cachingOptions": {},
                    "inputs": {"parameters": {name: {"componentInputParameter": name} for name in inputs}},
                }
            }
        }
    }
    if inputs:
        component["inputDefinitions"] = root["inputDefinitions"] = {"parameters": inputs}
    if outputs:
        component["outputDefinitions"] = root["outputDefinitions"] = outputs
        selected = {"valueFromParameter": {"producerSubtask": task, "outputParameterKey": "result"}}
        root["dag"]["outputs"] = {"parameters": {"result": selected}}
    container = {
        "image": flow.image,
        "command": ["python3", "-u", "-c", _DRIVER.read_text()],
        "args": ["{{$}}", flow.requirement, flow.entry, *chunks],
    }
    spec = {
        "pipelineInfo": {"name": flow.name.replace("_", "-"), "description": flow.description},
        "schemaVersion": "2.1.0",
        "sdkVersion": "kfp-2.0.0",
        "root": root,
        "components": {"comp-driver": component},
        "deploymentSpec": {"executors": {"exec-driver": {"container": container}}},
    }
    return json.dumps(spec, indent=1, ensure_ascii=False) + "\n"


def _declared(flow: str, one: ExportedParameter) -> dict[str, Any]:
    kind = _type_of(one.annotation)
    if not kind:
        raise PipelineError(
            f"parameter {one.name!r} of {flow} is a {one.annotation!r}, which a Kubeflow pipeline cannot pass; it "
            "passes int, float, str, bool, lists and dictionaries"
        )
    if one.default is msgspec.UNSET:
        return {"parameterType": kind}
    told: dict[str, Any] = {"parameterType": kind, "isOptional": True}
    if one.default is not None:
        try:
            told["defaultValue"] = json.loads(json.dumps(one.default))
        except (TypeError, ValueError):
            raise PipelineError(f"the default of {one.name!r}, {one.default!r}, cannot be written as JSON") from None
    return told


def _type_of(annotation: Any) -> str:
    """The type of a parameter with an annotation; empty if there is none for it."""
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        members = [one for one in typing.get_args(annotation) if one is not type(None)]
        return _type_of(members[0]) if len(members) == 1 else ""
    if origin is typing.Literal:
        kinds = {type(one) for one in typing.get_args(annotation)}
        return _TYPES.get(kinds.pop(), "") if len(kinds) == 1 else ""
    found: Any = origin or annotation
    return _TYPES.get(found, "") if isinstance(found, type) else ""
