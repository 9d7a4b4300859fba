"""What a component gave, once it has ended: its output parameters and artifacts, by the rules of KFP's launcher."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from headrace.frontends.kfp.contract import ArtifactValue, ComponentCall, ComponentResult
from headrace.frontends.kfp.executors import objects
from headrace.frontends.kfp.executors.errors import ComponentFailedError
from headrace.frontends.kfp.executors.places import Places
from headrace.frontends.kfp.values import whole
from headrace.runtime import context
from headrace.stores.codecs.files import File, Folder


class Told(NamedTuple):
    """What a component says of an output artifact; a custom path is where its content is instead of at the URI."""

    uri: str = ""
    metadata: dict[str, Any] = {}  # noqa: RUF012 - never changed
    custom_path: str = ""


class Written(NamedTuple):
    """What a component says of its outputs. Parameters in ``files`` must be in their files; others may be absent."""

    parameters: dict[str, Any]
    artifacts: dict[str, Told]
    files: set[str]


def executor_output(places: Places, call: ComponentCall) -> Written:
    """What ``executor_output.json`` says, which a component may write.

    Raises:
        ComponentFailedError: the file is not what it is to be.
    """
    required = set(call.step.component.output_definitions.parameters)
    try:
        text = Path(places.output_file).read_bytes()
    except FileNotFoundError:
        return Written({}, {}, required)
    try:
        told = json.loads(text)
        artifacts = {
            name: _told(one["artifacts"][0]) for name, one in (told.get("artifacts") or {}).items() if one["artifacts"]
        }
        return Written(dict(told.get("parameterValues") or {}), artifacts, required)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ComponentFailedError(
            f"{call.step.path}: {places.output_file} is not an executor output: {error}; "
            'write {"parameterValues": {...}, "artifacts": {...}}'
        ) from error


def _told(one: dict[str, Any]) -> Told:
    custom = one.get("custom_path") or one.get("customPath") or ""
    return Told(str(one.get("uri") or ""), dict(one.get("metadata") or {}), str(custom))


def collect(call: ComponentCall, places: Places, written: Written) -> ComponentResult:
    """The outputs of an attempt. Metrics become metrics of the run.

    Raises:
        ComponentFailedError: a parameter was not written, or not as a value of its type.
    """
    result = ComponentResult()
    definitions = call.step.component.output_definitions
    for name, declared in definitions.parameters.items():
        if name in written.parameters:
            result.parameters[name] = written.parameters[name]
            continue
        path = places.output_path(name)
        if os.path.isfile(path):  # noqa: PTH113 - hot path
            result.parameters[name] = _read(call, name, path, declared.parameter_type)
        elif name in written.files:
            raise ComponentFailedError(
                f"{call.step.path}: the component ended well, but did not write output parameter {name!r} "
                f"({declared.parameter_type}) to {path}"
            )
    for name, output in definitions.artifacts.items():
        told = written.artifacts.get(name, Told())
        kind = output.artifact_type
        made = ArtifactValue(
            name=name,
            schema_title=kind.schema_title or "system.Artifact",
            schema_version=kind.schema_version or "0.0.1",
            metadata={**whole(dict(output.metadata)), **told.metadata},
        )
        _take_content(call, places, name, told, made)
        _log_metrics(made)
        result.artifacts[name] = [made]
    return result


def _read(call: ComponentCall, name: str, path: str, kind: str) -> Any:
    """The value in the file of an output parameter."""
    data = Path(path).read_bytes()
    try:
        text = data.decode()
        if kind == "STRING":
            return text
        if kind == "BOOLEAN":
            return {"true": True, "false": False}[text.strip().lower()]
        return json.loads(text)
    except (ValueError, KeyError):
        shown = data[:60].decode(errors="backslashreplace")
        raise ComponentFailedError(
            f"{call.step.path}: output parameter {name!r} is declared as {kind}, but the component wrote {shown!r}"
        ) from None


def _take_content(call: ComponentCall, places: Places, name: str, told: Told, made: ArtifactValue) -> None:
    """Find the content of an output artifact and what its URI is from now on."""
    own, uri = places.output_uri(name), told.uri or places.output_uri(name)
    path = told.custom_path or (places.output_path(name) if uri == own else objects.mount_path(uri))
    _refuse_other_tasks(call, name, path)
    for given, artifacts in call.artifacts.items():
        for number, one in enumerate(artifacts):
            is_here = one.content is not None or not one.uri
            if is_here and places.input_path(given, number) == path:  # an input, passed on
                made.content, made.uri, made.stem = one.content, one.uri, one.stem
                return
    beside = places.take_files_beside(name) if path == places.output_path(name) else ""
    if beside:
        made.content, made.stem = Folder(beside), name
    elif path and os.path.exists(path):  # noqa: PTH110
        made.content = Folder(path) if os.path.isdir(path) else File(path)  # noqa: PTH112
    if not objects.is_remote(uri):
        made.uri = "" if made.content is not None or uri == own else uri
        return
    made.uri = uri
    written = {path: uri} if made.content is not None else {}
    if beside:
        written = {f"{beside}/{one}": f"{uri}{one[len(name) :]}" for one in os.listdir(beside)}  # noqa: PTH208
    try:
        for file, target in written.items():
            objects.put(Path(file), target)
    except objects.ObjectError as error:
        raise ComponentFailedError(f"{call.step.path}: output artifact {name!r}: {error}") from error


def _refuse_other_tasks(call: ComponentCall, name: str, path: str) -> None:
    """Refuse an output in the folder of another attempt: it would be another task's, or gone."""
    own = os.path.realpath(call.folder)
    real = os.path.realpath(path)
    beside = os.path.join(os.path.dirname(own), "")  # noqa: PTH118, PTH120
    if real.startswith(beside) and not real.startswith(os.path.join(own, "")) and "/outputs/" in real[len(beside) :]:  # noqa: PTH118
        raise ComponentFailedError(
            f"{call.step.path}: output artifact {name!r} is at {path}, which is the place of another task's output; "
            "write to the path that the component is given"
        )


def _log_metrics(artifact: ArtifactValue) -> None:
    """Numbers of a metrics artifact as metrics of the run."""
    current = context.current()
    if current is None or artifact.schema_title != "system.Metrics":
        return
    for name, value in artifact.metadata.items():
        if isinstance(value, (int, float)):
            current.metric(name, float(value), None, None)
