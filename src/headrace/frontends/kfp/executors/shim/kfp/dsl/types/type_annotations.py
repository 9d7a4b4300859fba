"""Annotations of components' arguments."""

from typing import Any

from kfp.dsl.types import artifact_types  # type: ignore[import-not-found, unused-ignore]

#: Names of parameter types, in lower case.
_NAMES = "integer int double float string str text bool boolean dict list jsonobject jsonarray"
PARAMETER_NAMES = frozenset([*_NAMES.split(" "), "pipelinetaskfinalstatus", "taskconfig"])


class InputAnnotation:
    """Marks an input artifact."""


class OutputAnnotation:
    """Marks an output artifact."""


class EmbeddedAnnotation:
    """Marks the artifact that is embedded in a component."""


class _PathOf:
    def __init__(self, type: Any = None) -> None:  # noqa: A002 - users name it
        self.type = _type_of(type)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, self.__class__) and self.type == other.type

    __hash__ = None  # type: ignore[assignment]


class OutputPath(_PathOf):
    """The path of a file that the component writes: a parameter's value, or an artifact."""


class InputPath(_PathOf):
    """The path of an input artifact."""


def short_name(annotation: str) -> str:
    """``List`` for ``typing.List[int]``."""
    return annotation.partition("[")[0].rpartition(".")[2]


def is_artifact_class(value: Any) -> bool:
    """Whether ``value`` is a class of artifacts, or an artifact."""
    return hasattr(value, "schema_title") and hasattr(value, "schema_version")


def _type_of(given: Any) -> Any:
    if is_artifact_class(given):
        return f"{given.schema_title}@{given.schema_version}"
    if isinstance(given, type):
        name = given.__name__
    else:
        name = next(iter(given)) if isinstance(given, dict) else short_name(str(given))
    if isinstance(given, str) and given.lower() in artifact_types.BY_NAME:
        return f"{artifact_types.BY_NAME[given.lower()].schema_title}@0.0.1"
    return given if name.lower() in PARAMETER_NAMES else "system.Artifact@0.0.1"
