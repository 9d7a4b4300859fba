"""What runs in a component. So far: its command on this machine, without the part that installs packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from headrace.frontends.kfp import placeholders
from headrace.frontends.kfp.contract import ArtifactValue, ComponentCall, ComponentResult
from headrace.model.errors import HeadraceError
from headrace.stores.codecs import File, Folder


class ComponentFailedError(HeadraceError):
    """A component ended with an exit code other than 0, or did not write what it promises."""


def execute(call: ComponentCall) -> ComponentResult:
    """Run one attempt of a component; see ``contract``."""
    importer = call.step.executor.importer
    if importer is not None:
        return _import(call)
    container = call.step.executor.container
    assert container is not None
    told = _executor_input(call)
    text = msgspec.json.encode(told).decode()

    def lookup(path: placeholders.Path) -> str:
        if not path:
            return text
        if path[:2] == ("inputs", "parameters"):
            return placeholders.as_text(call.parameters[path[2]])
        if path[:2] == ("outputs", "parameters"):
            return str(told["outputs"]["parameters"][path[2]]["outputFile"])
        if path == ("outputs", "output_file"):
            return str(told["outputs"]["outputFile"])
        if path[1] == "artifacts":
            one = told[path[0]]["artifacts"][path[2]]["artifacts"][0]
            return str(one["uri"]) if path[3] in ("path", "uri") else placeholders.as_text(one.get(path[3], {}))
        facts = {
            "pipeline_job_name": call.step.job.name,
            "pipeline_job_resource_name": call.step.job.resource_name,
            "pipeline_job_uuid": call.step.job.uuid,
            "pipeline_task_name": call.step.task,
            "pipeline_task_uuid": call.task_uuid,
            "pipeline_root": call.step.job.root,
            "workspace_path": call.step.job.workspace,
            "pipeline_job_create_time_utc": call.step.job.create_time,
            "pipeline_job_schedule_time_utc": call.step.job.schedule_time,
        }
        return facts[path[0]]

    command = [*container.command, *container.args]
    if command[:2] == ["sh", "-c"] and "pip" in command[2] and '"$0" "$@"' in command[2]:
        command = command[3:]
    command = [placeholders.replace(one, lookup) for one in command]
    env = {**os.environ, **{one.name: placeholders.replace(one.value, lookup) for one in container.env}}
    work = Path(call.folder, "work")
    work.mkdir()
    process = subprocess.run(command, check=False, cwd=work, env=env, stdout=subprocess.PIPE, text=True)
    sys.stdout.write(process.stdout)
    if process.returncode:
        raise ComponentFailedError(f"the component ended with exit code {process.returncode}")
    return _result(call, told)


def _import(call: ComponentCall) -> ComponentResult:
    importer = call.step.executor.importer
    assert importer is not None
    uri = importer.artifact_uri.constant
    if uri is None:
        uri = call.parameters[importer.artifact_uri.runtime_parameter]

    def lookup(path: placeholders.Path) -> str:
        return placeholders.as_text(call.parameters[path[2]])

    path = Path(uri.removeprefix("file://"))
    content = None if "://" in uri.removeprefix("file://") or not path.exists() else _content(path)
    made = ArtifactValue(
        name="artifact",
        schema_title=importer.type_schema.schema_title,
        uri=placeholders.replace(uri, lookup),
        metadata=placeholders.replace_deep(importer.metadata, lookup),
        content=content,
    )
    return ComponentResult(artifacts={"artifact": [made]})


def _content(path: Path) -> File | Folder | None:
    if not path.exists():
        return None
    return Folder(path) if path.is_dir() else File(path)


def _executor_input(call: ComponentCall) -> dict[str, Any]:
    definitions = call.step.component.output_definitions
    folder = Path(call.folder)
    (folder / "outputs").mkdir()
    inputs = {}
    for name, artifacts in call.artifacts.items():
        told = []
        for number, one in enumerate(artifacts):
            uri = one.uri
            if one.content is not None:
                place = folder / "inputs" / name / str(number) / one.content.name
                place.parent.mkdir(parents=True)
                copy = shutil.copytree if isinstance(one.content, Folder) else shutil.copyfile
                copy(one.content.path, place)
                uri = str(place)
            schema = {"schemaTitle": one.schema_title, "schemaVersion": one.schema_version}
            told.append({"name": one.name, "type": schema, "uri": uri, "metadata": one.metadata})
        inputs[name] = {"artifacts": told}
    outputs = {}
    for name, declared in definitions.artifacts.items():
        place = folder / "outputs" / name
        schema = {"schemaTitle": declared.artifact_type.schema_title, "schemaVersion": "0.0.1"}
        outputs[name] = {"artifacts": [{"name": name, "type": schema, "uri": str(place), "metadata": {}}]}
    parameters = {name: {"outputFile": str(folder / "outputs" / name)} for name in definitions.parameters}
    return {
        "inputs": {"parameterValues": call.parameters, "artifacts": inputs},
        "outputs": {
            "parameters": parameters,
            "artifacts": outputs,
            "outputFile": str(folder / "outputs" / "executor_output.json"),
        },
    }


def _result(call: ComponentCall, told: dict[str, Any]) -> ComponentResult:
    file = Path(told["outputs"]["outputFile"])
    written = msgspec.json.decode(file.read_bytes()) if file.exists() else {}
    result = ComponentResult(parameters=written.get("parameterValues", {}))
    for name, declared in call.step.component.output_definitions.parameters.items():
        path = Path(told["outputs"]["parameters"][name]["outputFile"])
        if name in result.parameters or not path.exists():
            continue
        text = path.read_text()
        if declared.parameter_type != "STRING":
            text = text.strip().lower() if text[:1] in ("T", "F") else text
        result.parameters[name] = text if declared.parameter_type == "STRING" else msgspec.json.decode(text)
    for name in call.step.component.output_definitions.artifacts:
        one = told["outputs"]["artifacts"][name]["artifacts"][0]
        given = (written.get("artifacts", {}).get(name, {}).get("artifacts") or [{}])[0]
        uri = given.get("uri") or one["uri"]
        made = ArtifactValue(
            name=name,
            schema_title=one["type"]["schemaTitle"],
            uri=uri,
            metadata=given.get("metadata", {}),
            content=_content(Path(given.get("custom_path") or uri)),
        )
        result.artifacts[name] = [made]
    return result
