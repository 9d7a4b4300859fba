"""An importer: an artifact of a URI, with the type and metadata that the pipeline gives it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from headrace.frontends.kfp import placeholders
from headrace.frontends.kfp.contract import ArtifactValue, ComponentCall, ComponentResult
from headrace.frontends.kfp.executors import objects
from headrace.frontends.kfp.executors.commands import Words
from headrace.frontends.kfp.executors.errors import ComponentFailedError
from headrace.frontends.kfp.executors.places import Places, workspace_path
from headrace.frontends.kfp.ir import Importer
from headrace.frontends.kfp.values import whole
from headrace.runtime import context


def run_importer(call: ComponentCall, importer: Importer, places: Places) -> ComponentResult:
    """The artifact of an importer. The URI need not lead to anything.

    Raises:
        ComponentFailedError: the URI is missing, or cannot be copied to the workspace.
    """
    words = Words(call, places)
    uri = importer.artifact_uri.constant
    if uri is None:
        uri = call.parameters.get(importer.artifact_uri.runtime_parameter)
    if not isinstance(uri, str) or not uri:
        raise ComponentFailedError(f"{call.step.path}: the importer has no URI: it got {uri!r}")
    uri = words.text(uri) if importer.artifact_uri.constant is not None else uri
    metadata = placeholders.replace_deep(whole(dict(importer.metadata)), words.lookup)
    made = ArtifactValue(
        name="artifact",
        schema_title=importer.type_schema.schema_title or "system.Artifact",
        schema_version=importer.type_schema.schema_version or "0.0.1",
        uri=uri,
        metadata=metadata,
        stamp=stamp_of(uri),
    )
    if made.stamp:  # another run is to look at the file again
        context.do_not_reuse()
    if importer.download_to_workspace:
        _copy_to_workspace(call, uri)
        made.metadata = {**metadata, "_kfp_workspace": True}
    name = next(iter(call.step.component.output_definitions.artifacts), "artifact")
    return ComponentResult(artifacts={name: [made]})


def _copy_to_workspace(call: ComponentCall, uri: str) -> None:
    workspace = call.step.job.workspace
    if not workspace:
        raise ComponentFailedError(
            f"{call.step.path}: the importer downloads to the workspace, and the pipeline has none; give it one with "
            "@dsl.pipeline(pipeline_config=dsl.PipelineConfig(workspace=...))"
        )
    target = Path(workspace_path(workspace, uri))
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if objects.is_remote(uri):
            objects.fetch(uri, target)
            return
        source = Path(objects.mount_path(uri))
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, target)
    except (OSError, objects.ObjectError) as error:
        raise ComponentFailedError(f"{call.step.path}: {uri} cannot be copied to the workspace: {error}") from error


def stamp_of(uri: str) -> dict[str, Any]:
    """Sizes and times of a local file, or of those below a folder; empty where nothing is, or the URI is elsewhere."""
    path = objects.mount_path(uri)
    if objects.is_remote(uri) or "://" in path or not os.path.exists(path):  # noqa: PTH110
        return {}
    files = [path] if os.path.isfile(path) else _files_below(path)  # noqa: PTH113
    found = {}
    for one in files:
        status = os.stat(one)  # noqa: PTH116
        found[os.path.relpath(one, path)] = [status.st_size, status.st_mtime_ns]
    return found


def _files_below(path: str) -> list[str]:
    return sorted(os.path.join(parent, one) for parent, _, names in os.walk(path) for one in names)  # noqa: PTH118
