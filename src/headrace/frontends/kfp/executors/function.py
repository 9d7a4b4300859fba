"""The function of a Python component, called as ``kfp.dsl.executor`` calls it: arguments by their annotations."""

from __future__ import annotations

import functools
import inspect
import json
import os
from collections.abc import Callable
from typing import Any

from headrace.frontends.kfp.contract import WORKSPACE_MOUNT, ArtifactValue, ComponentCall
from headrace.frontends.kfp.executors import argument_kinds, kfp_module, objects
from headrace.frontends.kfp.executors.errors import ComponentFailedError
from headrace.frontends.kfp.executors.outputs import Told, Written
from headrace.frontends.kfp.executors.places import Places


def bound_arguments(function: Callable[..., Any], call: ComponentCall, places: Places) -> dict[str, Any]:
    """The arguments that the function of a component is called with, by name."""
    return _attempt_of(function, call, places).arguments()


def _attempt_of(function: Callable[..., Any], call: ComponentCall, places: Places) -> _Attempt:
    types = kfp_module.artifact_types()
    types.CONTAINER_TASK_ROOT = places.folder
    types.WORKSPACE_MOUNT_PATH = call.step.job.workspace or WORKSPACE_MOUNT
    return _Attempt(function, call, places, types)


def call_function(function: Callable[..., Any], call: ComponentCall, places: Places) -> Written:
    """Call the function of a component; what it gave.

    Raises:
        ComponentFailedError: an argument is missing, or what it returns is not what it promises; what it raises.
    """
    attempt = _attempt_of(function, call, places)
    returned = function(**attempt.arguments())
    written = attempt.written(returned)
    if _is_not_chief():
        return Written({}, {}, set())
    return written


def _is_not_chief() -> bool:
    """Whether this is one of several nodes that run the same component, and another of them writes the outputs."""
    spec = os.environ.get("CLUSTER_SPEC")
    return bool(spec) and json.loads(spec or "")["task"]["type"] not in ("workerpool0", "chief", "master")


class _Attempt:
    """One call of a function: its arguments, and what it gave."""

    def __init__(self, function: Callable[..., Any], call: ComponentCall, places: Places, types: Any) -> None:
        self._function = function
        self._call = call
        self._places = places
        self._types = types
        found = dict(inspect.get_annotations(function))
        self._return = found.pop("return", None)
        self._annotations = found
        self._parameters: dict[str, Any] = {}
        self._files: set[str] = set()
        self._outputs: dict[str, Any] = {
            name: self._made_output(name, declared.artifact_type.schema_title, declared.metadata)
            for name, declared in call.step.component.output_definitions.artifacts.items()
        }

    # --- arguments --------------------------------------------------------------------------------------------

    def arguments(self) -> dict[str, Any]:
        """The arguments by name; an input that is absent is left to the function's own default."""
        given: dict[str, Any] = {}
        for name, annotation in self._annotations.items():
            kind = argument_kinds.kind_of(annotation)
            if kind == "parameter":
                value = self._call.parameters.get(name)
                if value is not None:
                    given[name] = value
            else:
                given[name] = getattr(self, f"_{kind}")(name, annotation)
        return given

    def _final_status(self, name: str, annotation: Any) -> Any:
        return kfp_module.final_status(self._call.parameters.get(name))

    def _task_config(self, name: str, annotation: Any) -> Any:
        return kfp_module.task_config(self._call.parameters.get(name))

    def _input(self, name: str, annotation: Any) -> Any:
        if name in self._outputs:
            return self._outputs[name]
        artifacts = self._call.artifacts.get(name)
        if artifacts is None:
            return None
        cls = argument_kinds.artifact_class(annotation)
        made = [self._artifact(name, number, one, cls) for number, one in enumerate(artifacts)]
        if argument_kinds.is_list(annotation):
            return made
        return made[0] if made else None

    _artifacts = _output = _input

    def _embedded(self, name: str, annotation: Any) -> Any:
        names = self._function.__globals__
        path = names.get("__KFP_EMBEDDED_ASSET_FILE") or names.get("__KFP_EMBEDDED_ASSET_DIR")
        if not path:
            raise ComponentFailedError(f"{self._call.step.path}: {name!r} is an EmbeddedInput, but nothing is embedded")
        made = (argument_kinds.artifact_class(annotation) or self._types.Artifact)()
        made.path = path
        return made

    def _output_path(self, name: str, annotation: Any) -> Any:
        if argument_kinds.is_path_of_parameter(annotation):
            self._files.add(name)
            return self._places.output_path(name)
        return self._outputs[name].path

    def _input_path(self, name: str, annotation: Any) -> Any:
        return self._places.input_path(name) if self._call.artifacts.get(name) else None

    def _artifact(self, name: str, number: int, value: ArtifactValue, cls: Any) -> Any:
        cls = self._types._SCHEMA_TITLE_TO_TYPE.get(value.schema_title) or cls or self._types.Artifact
        if value.content is None and objects.is_remote(value.uri):
            cls = _fetched_when_asked(cls, functools.partial(self._places.input_path, name, number))
        made = _make(cls, value.name, self._places.input_uri(name, number), dict(value.metadata))
        if value.content is not None and made.uri != self._places.input_path(name, number):
            made.set_path(self._places.input_path(name, number))
        return made

    def _made_output(self, name: str, title: str, metadata: dict[str, Any]) -> Any:
        cls = self._types._SCHEMA_TITLE_TO_TYPE.get(title) or argument_kinds.artifact_class(self._promised(name))
        made = _make(cls or self._types.Artifact, name, self._places.output_uri(name), dict(metadata))
        if self._places.remote:
            made.set_path(self._places.output_path(name))
        return made

    def _promised(self, name: str) -> Any:
        """The annotation of an output: of an argument, of a field that is returned, or of what is returned."""
        if name in self._annotations:
            return self._annotations[name]
        if argument_kinds.is_named_tuple(self._return):
            return self._return.__annotations__.get(name)
        return self._return

    # --- what it gave -----------------------------------------------------------------------------------------

    def written(self, returned: Any) -> Written:
        """Outputs as told by the function: what it returned, and what it did to its output artifacts."""
        if returned is not None:
            self._take(returned)
        told = {name: self._told(name, one) for name, one in self._outputs.items()}
        return Written(self._parameters, told, self._files)

    def _take(self, returned: Any) -> None:
        promised = self._return
        if argument_kinds.is_named_tuple(promised):
            fields = promised._fields
            if len(fields) != len(returned):
                raise ComponentFailedError(
                    f"{self._call.step.path}: function {self._function.__name__!r} returned {len(returned)} values, "
                    f"and its annotation promises {len(fields)}"
                )
            for number, field in enumerate(fields):
                value = returned[number] if type(returned) is tuple else getattr(returned, field)
                self._take_one(field, promised.__annotations__[field], value)
        else:
            self._take_one("Output", promised, returned)

    def _take_one(self, name: str, promised: Any, value: Any) -> None:
        promised = argument_kinds.without_optional(promised)
        kind = argument_kinds.parameter_type(promised)
        if kind is not None:
            accepted = (int, float) if kind is float else kind
            if not isinstance(value, accepted):
                raise ComponentFailedError(
                    f"{self._call.step.path}: function {self._function.__name__!r} returned {type(value).__name__} for "
                    f"output {name!r}, and its annotation promises {kind.__name__}"
                )
            self._parameters[name] = kind(value) if type(value) is bool else as_json(value)
        elif argument_kinds.is_artifact(promised):
            if isinstance(value, self._types.Artifact):
                self._outputs[name] = value
            else:
                with open(self._outputs[name].path, "w", encoding="utf-8") as file:  # noqa: PTH123
                    file.write(str(value))
        else:
            raise ComponentFailedError(
                f"{self._call.step.path}: output {name!r} has the unknown type {promised}; known are str, int, float, "
                "bool, dict, list, artifacts and a NamedTuple of these"
            )

    def _told(self, name: str, artifact: Any) -> Told:
        try:
            metadata = as_json(dict(artifact.metadata))
        except (TypeError, ValueError) as error:
            raise ComponentFailedError(
                f"{self._call.step.path}: metadata of output artifact {name!r}: {error}; metadata is what JSON can hold"
            ) from error
        return Told(artifact.uri, metadata, artifact.custom_path)


def as_json(value: Any) -> Any:
    """A value as it comes back from JSON, in which components give what they return.

    Raises:
        TypeError: JSON cannot hold it.
    """
    if type(value) in (str, int, float, bool) or value is None:
        return value
    return json.loads(json.dumps(value))


def _make(cls: Any, name: str, uri: str, metadata: dict[str, Any]) -> Any:
    make = getattr(cls, "_from_executor_fields", cls)
    return make(uri=uri, name=name, metadata=metadata)


def _fetched_when_asked(cls: Any, fetch: Callable[[], str]) -> Any:
    """A class of artifacts whose content is fetched when its path is asked for."""

    def path(self: Any) -> str:
        return fetch() if not self.custom_path else str(self.custom_path)

    made = type(cls.__name__, (cls,), {"path": property(path, cls.path.fset), "__module__": cls.__module__})
    made.__qualname__ = cls.__qualname__
    return made
