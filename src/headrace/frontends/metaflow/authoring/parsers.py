"""Parsers for ``Config(parser=...)``: YAML, and files that list packages, as attributes of ``@pypi`` and ``@conda``."""

from __future__ import annotations

import re
from typing import Any

from headrace.frontends.metaflow.exceptions import MetaflowException

_CONDA = re.compile(r"([\w.-]+)\s*((?:[=<>!~].*)?)")


class ParserValueError(MetaflowException):
    """A line is none that can be taken over."""

    headline = "Value error"


def _library(name: str, needed_by: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        package = {"yaml": "pyyaml"}.get(name, name.partition(".")[0])
        raise MetaflowException(
            f"{needed_by} needs the package {package}, which is not installed: pip install 'headrace[metaflow]'"
        ) from None


def yaml_parser(content: str) -> Any:
    """What a YAML document holds.

    Raises:
        yaml.YAMLError: it is none.
    """
    return _library("yaml", "yaml_parser").safe_load(content)


def requirements_txt_parser(content: str) -> dict[str, Any]:
    """The packages of a ``requirements.txt``: ``{"packages": {name: version}, "python": version or None}``.

    Raises:
        ParserValueError: a line is an option, a path, or has a marker.
    """
    lines = [raw.partition("#")[0].strip() for raw in content.splitlines()]
    for line in lines:
        if line.startswith("-"):
            raise ParserValueError(f"'{line}' is an option of pip: only packages can be taken from requirements.txt")
    return _collected([_requirement(line) for line in lines if line])


def pyproject_toml_parser(content: str) -> dict[str, Any]:
    """The dependencies of a ``pyproject.toml``, in the form of ``requirements_txt_parser``.

    Raises:
        tomllib.TOMLDecodeError: it is not TOML; ParserValueError: a dependency has a marker.
    """
    import tomllib

    project = tomllib.loads(content).get("project", {})
    found = _collected([_requirement(one) for one in project.get("dependencies", [])])
    python = project.get("requires-python")
    return {**found, "python": _exact(python)} if python else found


def conda_environment_yml_parser(content: str) -> dict[str, Any]:
    """The dependencies of an ``environment.yml``, in the form of ``requirements_txt_parser``.

    Raises:
        ParserValueError: a dependency is of another channel, or a list of its own.
    """
    document = _library("yaml", "conda_environment_yml_parser").safe_load(content) or {}
    found = []
    for one in document.get("dependencies") or []:
        match = _CONDA.fullmatch(one.strip()) if isinstance(one, str) else None
        if match is None:
            raise ParserValueError(
                f"{one!r} is not a dependency that can be taken from environment.yml: write name=version"
            )
        found.append((match[1], match[2].lstrip("=").strip() if match[2][:1] == "=" else match[2]))
    return _collected(found)


def _requirement(line: str) -> tuple[str, str]:
    """Name and version of a requirement (PEP 508)."""
    requirements = _library("packaging.requirements", "The parser of requirements")
    try:
        one = requirements.Requirement(line)
    except requirements.InvalidRequirement as error:
        raise ParserValueError(f"'{line}' is not a requirement: {error}") from None
    if one.marker is not None:
        raise ParserValueError(f"'{line}' has a marker, and every step is to get the same packages: write it without")
    extras = f"[{','.join(sorted(one.extras))}]" if one.extras else ""
    return f"{one.name}{extras}{'@' + one.url if one.url else ''}", _exact(str(one.specifier))


def _exact(version: str) -> str:
    """A version alone where only that will do."""
    return version.lstrip("=").strip() if version.startswith("==") and "," not in version else version


def _collected(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    packages = dict(pairs)
    python = packages.pop("python", None)
    return {"packages": packages, "python": python}
