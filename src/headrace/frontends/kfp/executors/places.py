"""Where the artifacts and output parameters of one attempt are on this machine.

Outputs are written below the folder of the attempt. Inputs are read where Headrace keeps them, read-only; those that
are only a URI are fetched when their path is asked for.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from headrace.frontends.kfp.contract import WORKSPACE_MOUNT, ArtifactValue, ComponentCall
from headrace.frontends.kfp.executors import objects
from headrace.frontends.kfp.executors.errors import ComponentFailedError
from headrace.frontends.kfp.executors.folders import OUTPUTS
from headrace.frontends.kfp.ir import ArtifactType

_IN_WORKSPACE = "_kfp_workspace"


#: Size and time of change of files, by path.
Stamps = dict[str, tuple[int, int]]


class Places:
    """The paths and URIs of one attempt."""

    def __init__(self, call: ComponentCall) -> None:
        self._call = call
        self.folder = f"{call.folder}/{OUTPUTS}"
        root = call.step.job.root
        #: Below which URI the outputs go; empty: they are kept by Headrace alone.
        self.remote = f"{root}/{call.step.path}/{call.task_uuid}" if objects.is_remote(root) else ""
        self._fetched: dict[tuple[str, int], str] = {}
        self._lent: dict[str, Stamps] = {}  # contents of inputs, as they were

    @property
    def output_file(self) -> str:
        """Where a component may write ``executor_output.json``."""
        return f"{self.folder}/executor_output.json"

    def output_path(self, name: str) -> str:
        """Where an output parameter or artifact is written.

        Raises:
            ComponentFailedError: the name cannot be that of a file.
        """
        if not name or "/" in name or "\0" in name or name in (".", "..", "executor_output.json"):
            raise ComponentFailedError(f"{self._call.step.path}: output {name!r} has a name that no file can have")
        return f"{self.folder}/{name}"

    def output_uri(self, name: str) -> str:
        """The URI of an output artifact: its path, or an object below the pipeline root."""
        return f"{self.remote}/{name}" if self.remote else self.output_path(name)

    def take_files_beside(self, name: str) -> str:
        """A folder of what was written beside the path of an output, under names that begin with it; empty: nothing."""
        others = [*self._call.step.component.output_definitions.artifacts]
        others += [*self._call.step.component.output_definitions.parameters, "executor_output.json"]
        found = [
            one
            for one in os.listdir(self.folder)  # noqa: PTH208
            if one.startswith((f"{name}.", f"{name}_", f"{name}-")) and one not in others
        ]
        if not found:
            return ""
        folder = Path(self._call.folder, "beside", name)
        folder.mkdir(parents=True)
        for one in [*found, name]:
            if os.path.lexists(f"{self.folder}/{one}"):
                Path(self.folder, one).rename(folder / one)
        return str(folder)

    def input_path(self, name: str, number: int = 0) -> str:
        """Where an input artifact is on this machine; what is elsewhere is fetched.

        Raises:
            ComponentFailedError: it cannot be fetched.
        """
        artifact = self._call.artifacts[name][number]
        if artifact.content is not None:
            path = str(artifact.content.path)
            if path not in self._lent:
                self._lent[path] = stamps_of(path)
            return f"{path}/{artifact.stem}" if artifact.stem else path
        if artifact.metadata.get(_IN_WORKSPACE) is True:
            return workspace_path(self._call.step.job.workspace, artifact.uri)
        if not artifact.uri:  # only metadata: nothing is there, as where KFP would have had it
            return f"{self._call.folder}/inputs/{name}/{number}/{artifact.name}"
        if not objects.is_remote(artifact.uri):
            return artifact.uri.removeprefix("file://")
        found = self._fetched.get((name, number))
        if found is None:
            target = Path(self._call.folder, "inputs", name, str(number), objects.last_part(artifact.uri))
            try:
                objects.fetch(artifact.uri, target)
            except objects.ObjectError as error:
                raise ComponentFailedError(f"{self._call.step.path}: input artifact {name!r}: {error}") from error
            inside = "/models" if artifact.uri.startswith("oci://") and artifact.schema_title == "system.Model" else ""
            found = self._fetched[(name, number)] = f"{target}{inside}"
        return found

    def take_back_inputs(self) -> list[str]:
        """Forget copies of inputs that the component changed, which root may do; returns their paths.

        They are brought again from the store when they are needed next.
        """
        changed = [path for path, before in self._lent.items() if stamps_of(path) != before]
        for path in changed:
            remove(path)
        self._lent.clear()
        return changed

    def input_uri(self, name: str, number: int = 0) -> str:
        """The URI of an input artifact: where it came from, or its path."""
        artifact = self._call.artifacts[name][number]
        return artifact.uri or self.input_path(name, number)

    def executor_input(self) -> dict[str, Any]:
        """The ``ExecutorInput`` message of the attempt, as JSON can hold it."""
        definitions = self._call.step.component.output_definitions
        inputs = {
            name: {"artifacts": [self._input(name, number, one) for number, one in enumerate(artifacts)]}
            for name, artifacts in self._call.artifacts.items()
        }
        outputs = {
            name: {"artifacts": [self._output(name, declared.artifact_type, declared.metadata)]}
            for name, declared in definitions.artifacts.items()
        }
        return {
            "inputs": {"parameterValues": self._call.parameters, "artifacts": inputs},
            "outputs": {
                "parameters": {name: {"outputFile": self.output_path(name)} for name in definitions.parameters},
                "artifacts": outputs,
                "outputFile": self.output_file,
            },
        }

    def _input(self, name: str, number: int, artifact: ArtifactValue) -> dict[str, Any]:
        schema = {"schemaTitle": artifact.schema_title, "schemaVersion": artifact.schema_version}
        told = {"name": artifact.name, "type": schema, "uri": self.input_uri(name, number)}
        return {**told, "metadata": artifact.metadata}

    def _output(self, name: str, kind: ArtifactType, metadata: dict[str, Any]) -> dict[str, Any]:
        schema = {"schemaTitle": kind.schema_title, "schemaVersion": kind.schema_version}
        return {"name": name, "type": schema, "uri": self.output_uri(name), "metadata": metadata}


def stamps_of(path: str) -> Stamps:
    """Sizes and times of change of a file, or of all files below a folder, by path; empty where there is nothing."""
    if not os.path.isdir(path):  # noqa: PTH112 - hot path
        return {"": _stamp(path)} if os.path.lexists(path) else {}
    names = [os.path.join(parent, one) for parent, _, inside in os.walk(path) for one in inside]  # noqa: PTH118
    return {one: _stamp(one) for one in names}


def _stamp(path: str) -> tuple[int, int]:
    status = os.lstat(path)
    return status.st_size, status.st_mtime_ns


def remove(path: str) -> None:
    """Remove a file or folder that may be read-only."""
    from headrace.runtime.commands import folders

    if os.path.isdir(path) and not os.path.islink(path):  # noqa: PTH112, PTH114
        folders.remove(Path(path))
    else:
        Path(path).unlink(missing_ok=True)


def workspace_path(workspace: str, uri: str) -> str:
    """Where the artifact at ``uri`` is that was put into the workspace."""
    return f"{workspace or WORKSPACE_MOUNT}/.artifacts/{objects.mount_path(uri).lstrip('/')}"
