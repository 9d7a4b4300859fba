"""``@secrets``: values that a step finds in its environment. The one source here is ``inline``, the flow file itself.

The managers of clouds are refused by name before a run begins; what a source says is checked where a step takes it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from headrace.frontends.metaflow.authoring.decorators import find
from headrace.frontends.metaflow.exceptions import MetaflowException, NotSupportedException
from headrace.frontends.metaflow.settings import from_conf

#: Sources that Metaflow can ask.
_ELSEWHERE = frozenset({"aws-secrets-manager", "gcp-secret-manager", "az-key-vault"})
_NAME = re.compile("[a-zA-Z_][a-zA-Z0-9_]*")


class Source(NamedTuple):
    """One source, ``TYPE.ID`` as a text or a dictionary."""

    type: str
    id: str
    options: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.id} ({self.type})"


def check_sources(step: str, function: Any) -> None:
    """Refuse sources that Metaflow can ask and Headrace cannot, before anything runs.

    Raises:
        NotSupportedException: the step has one.
    """
    decorator = find(function, "secrets")
    given = decorator.attributes["sources"] if decorator is not None else ()
    for one in given if isinstance(given, (list, tuple)) else ():
        if isinstance(one, (str, dict)) and (kind := _type(one)) in _ELSEWHERE:
            raise NotSupportedException(
                f"@secrets of step *{step}* asks {kind} for {_id(one)!r}, which Headrace cannot do. Take the secret "
                "from the environment that the flow is started in, or use a source of type 'inline'."
            )


def set_secrets(function: Any) -> None:
    """Put what ``@secrets`` of a step names into the environment.

    Raises:
        MetaflowException: a source is wrong, or a name is taken.
    """
    decorator = find(function, "secrets")
    if decorator is None:
        return
    by: dict[str, Source] = {}
    found: dict[str, str] = {}
    for source, values in _all_values(decorator.attributes["sources"]):
        for name, value in values.items():
            _check(source, name, value)
            if name in by:
                raise MetaflowException(f"@secrets: {name} is set by {by[name]} and by {source}; leave one out")
            if name in os.environ and not decorator.attributes["allow_override"]:
                raise MetaflowException(f"@secrets: {name} is set already; allow_override=True replaces it")
            by[name], found[name] = source, value
    os.environ.update(found)


def get_secret(source: str | dict[str, Any], role: str | None = None) -> dict[str, str]:
    """The values of one source, by name. ``role`` is for clouds.

    Raises:
        MetaflowException: the source is wrong, or none that Headrace can ask.
    """
    return next(iter(_all_values([source])))[1]


def _all_values(sources: Iterable[Any]) -> Iterable[tuple[Source, dict[str, str]]]:
    for one in [_read(given) for given in sources]:
        if one.type != "inline":
            raise MetaflowException(f"@secrets: sources of type {one.type!r} are not known here; 'inline' is")
        yield one, one.options.get("env_vars", {})


def _type(given: str | dict[str, Any]) -> Any:
    if isinstance(given, str):
        kind, dot, _ = given.partition(".")
        return kind if dot else from_conf("DEFAULT_SECRETS_BACKEND_TYPE")
    return given.get("type", from_conf("DEFAULT_SECRETS_BACKEND_TYPE"))


def _id(given: str | dict[str, Any]) -> Any:
    return given.get("id") if isinstance(given, dict) else given.partition(".")[2] or given


def _read(given: Any) -> Source:
    if not isinstance(given, (str, dict)):
        raise MetaflowException(f"@secrets: a source is a string or a dictionary, not {given!r}")
    kind, name = _type(given), _id(given)
    options = given.get("options", {}) if isinstance(given, dict) else {}
    if kind is None:
        raise MetaflowException(f"@secrets: {given!r} names no type; set METAFLOW_DEFAULT_SECRETS_BACKEND_TYPE")
    for what, value, wanted in (("type", kind, str), ("id", name, str), ("options", options, dict)):
        if not isinstance(value, wanted):
            raise MetaflowException(f"Bad @secrets specification - '{what}' is a {type(value).__name__}: {value!r}")
    return Source(kind, name, options)


def _check(source: Source, name: Any, value: Any) -> None:
    if not isinstance(name, str) or not isinstance(value, str) or not _NAME.fullmatch(name):
        raise MetaflowException(
            f"@secrets: {name!r} of {source} cannot be set: names are letters, digits, _; values texts"
        )
    if name.startswith("METAFLOW_"):
        raise MetaflowException(f"@secrets: {name} of {source} cannot be set: it is a setting of Metaflow's")
