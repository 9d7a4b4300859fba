"""What the annotations of a component's function mean, those of ``kfp`` and those of the package that stands in for it.

Both have the same names, so they are told apart by name, and neither is imported here.
"""

from __future__ import annotations

import types
import typing
from typing import Any

_PARAMETERS = {
    "integer": int,
    "int": int,
    "double": float,
    "float": float,
    "string": str,
    "str": str,
    "text": str,
    "bool": bool,
    "boolean": bool,
    "dict": dict,
    "list": list,
    "jsonobject": dict,
    "jsonarray": list,
}
_MARKERS = {"InputAnnotation": "input", "OutputAnnotation": "output", "EmbeddedAnnotation": "embedded"}
_NAMED = {
    "OutputPath": "output_path",
    "InputPath": "input_path",
    "PipelineTaskFinalStatus": "final_status",
    "TaskConfig": "task_config",
}


def kind_of(annotation: Any) -> str:
    """What an argument is: ``parameter``, ``input``, ``output``, ``artifacts``, ``embedded``, ..."""
    annotation = without_optional(annotation)
    marker = getattr(annotation, "__metadata__", (None,))[0]
    if marker is not None:
        return _MARKERS.get(getattr(marker, "__name__", ""), "parameter")
    if isinstance(annotation, type):
        named = _NAMED.get(annotation.__name__)
        if named is not None:
            return named
        return "input" if is_artifact(annotation) else "parameter"
    named = _NAMED.get(type(annotation).__name__)
    if named is not None:
        return named
    return "artifacts" if is_artifact(item_of(annotation)) else "parameter"


def is_path_of_parameter(annotation: Any) -> bool:
    """Whether an ``OutputPath`` is that of a parameter's file, not of an artifact."""
    return parameter_type(without_optional(annotation).type) is not None


def artifact_class(annotation: Any) -> Any:
    """The class of artifacts that an annotation names; of a list, that of its items; None if it names none."""
    annotation = without_optional(annotation)
    if getattr(annotation, "__metadata__", None):
        annotation = annotation.__origin__
    while item_of(annotation) is not None:
        annotation = item_of(annotation)
    return annotation if is_artifact(annotation) else None


def is_list(annotation: Any) -> bool:
    """Whether an annotation stands for a list of artifacts."""
    annotation = without_optional(annotation)
    if getattr(annotation, "__metadata__", None):
        annotation = annotation.__origin__
    return item_of(annotation) is not None


def without_optional(annotation: Any) -> Any:
    """``X`` for ``Optional[X]`` and ``X | None``."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        inside = [one for one in typing.get_args(annotation) if one is not type(None)]
        if len(inside) == 1:
            return inside[0]
    return annotation


def item_of(annotation: Any) -> Any:
    """``X`` for ``List[X]``; None for others."""
    if typing.get_origin(annotation) is list:
        return typing.get_args(annotation)[0]
    return None


def is_artifact(value: Any) -> bool:
    """Whether ``value`` is a class of artifacts."""
    return isinstance(value, type) and hasattr(value, "schema_title") and hasattr(value, "schema_version")


def is_named_tuple(annotation: Any) -> bool:
    """Whether an annotation is a ``NamedTuple``."""
    return isinstance(annotation, type) and issubclass(annotation, tuple) and hasattr(annotation, "_fields")


def parameter_type(annotation: Any) -> Any:
    """The type of Python that values of a parameter have; None if the annotation is not that of a parameter."""
    if isinstance(annotation, dict):
        annotation = next(iter(annotation), "")
    origin = typing.get_origin(annotation)
    if origin is not None and isinstance(origin, type) and origin in (list, dict):
        return origin
    name = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    short = name.partition("[")[0].rpartition(".")[2].lower()
    return _PARAMETERS.get(short)
