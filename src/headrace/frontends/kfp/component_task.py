"""One attempt of a component, in a worker: inputs of the task -> ``ComponentCall`` -> ``executors`` -> outputs.

``ComponentTask`` is the raw function of every step of a pipeline (see ``runtime.raw``).
"""

from __future__ import annotations

import uuid
from typing import Any

import msgspec

from headrace.frontends.kfp import executors
from headrace.frontends.kfp.artifact_previews import preview_of
from headrace.frontends.kfp.artifacts import from_stored, to_stored
from headrace.frontends.kfp.contract import ArtifactValue, ComponentCall, ComponentResult, ComponentStep
from headrace.frontends.kfp.values import WrongTypeError, coerced, fits, shown, whole, word
from headrace.model.errors import HeadraceError
from headrace.model.messages import Output
from headrace.model.values import Preview
from headrace.runtime.raw import RawCall

#: The placeholder of the id of a task; the driver gives the id as an input of this name where it needs it.
TASK_UUID = "pipeline_task_uuid"


class ComponentInputError(HeadraceError):
    """An input of a component, or what it gave, is not of the declared type."""


class ComponentTask(msgspec.Struct, frozen=True):
    """What a worker needs to run a step."""

    step: ComponentStep

    def __call__(self, raw: RawCall) -> dict[str, Any]:
        """Run one attempt; the outputs by name."""
        with executors.attempt_folder() as folder:
            call = call_of(self.step, raw, folder)
            result = executors.execute(call)
            outputs = outputs_of(self.step, result)
            previews = {name: preview_of(given[0]) for name, given in result.artifacts.items() if len(given) == 1}
            # Stored here: files of artifacts are in the folder.
            return {name: _stored(raw, name, value, previews.get(name)) for name, value in outputs.items()}


def _stored(raw: RawCall, name: str, value: Any, preview: Preview | None) -> Output:
    made = raw.pack(name, value)
    return made if preview is None else msgspec.structs.replace(made, preview=preview)


def call_of(step: ComponentStep, raw: RawCall, folder: str) -> ComponentCall:
    """The inputs of an attempt as the component gets them.

    Raises:
        ComponentInputError: one does not fit.
        BlobError: one is gone.
    """
    declared = step.component.input_definitions
    parameters = {}
    for name, one in declared.parameters.items():
        if name in raw.arguments:
            try:
                parameters[name] = coerced(raw.value(name), one.parameter_type)
            except WrongTypeError as error:
                raise ComponentInputError(f"task {step.path!r}: input {name!r}: {error}") from None
    artifacts = {name: _artifacts(raw.value(name)) for name in declared.artifacts if name in raw.arguments}
    known = raw.arguments.get(TASK_UUID)
    task_uuid = raw.load(known.value) if known is not None else str(uuid.uuid5(uuid.NAMESPACE_URL, raw.task))
    return ComponentCall(
        step=step, parameters=parameters, artifacts=artifacts, folder=folder, task_uuid=task_uuid, raw=raw
    )


def _artifacts(stored: Any) -> list[ArtifactValue]:
    if not isinstance(stored, list):
        return [from_stored(stored)]
    return [artifact for one in stored for artifact in _artifacts(one)]


def outputs_of(step: ComponentStep, result: ComponentResult) -> dict[str, Any]:
    """What is stored of a result.

    Raises:
        ComponentInputError: a parameter is not of the declared type.
    """
    declared = step.component.output_definitions
    outputs: dict[str, Any] = {}
    for name, one in declared.parameters.items():
        value = whole(result.parameters.get(name))
        if value is None:
            continue
        if one.parameter_type == "STRING" and not isinstance(value, str):
            value = coerced(value, "STRING")
        if not fits(value, one.parameter_type):
            kind = f"{word(one.parameter_type)} ({one.parameter_type})"
            raise ComponentInputError(f"task {step.path!r}: its output {name!r} is {shown(value)}, which is not {kind}")
        outputs[name] = float(value) if one.parameter_type == "NUMBER_DOUBLE" else value
    for name, artifact in declared.artifacts.items():
        given = [to_stored(one) for one in result.artifacts.get(name, [])]
        if given:
            outputs[name] = given if artifact.is_artifact_list else given[0]
    return outputs
