"""Environments that ``pyproject.toml`` describes: ``[tool.headrace.environments.NAME]``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from headrace.model.environments import Environment
from headrace.model.errors import DefinitionError, UsageError

_NAME = re.compile(r"\w[\w.-]*")
_KEYS = ("packages", "python", "file", "group", "variables")


def read_environments(table: object, folder: Path) -> tuple[Environment, ...]:
    """The environments of ``[tool.headrace.environments]``; relative paths in them start at ``folder``.

    Raises:
        UsageError: one has an impossible name, or a setting that is unknown or impossible.
    """
    if not isinstance(table, Mapping):
        raise UsageError(
            f"[tool.headrace] environments must be tables [tool.headrace.environments.NAME], not {table!r}"
        )
    found = []
    for name, given in table.items():
        where = f"[tool.headrace.environments.{name}]"
        if not _NAME.fullmatch(name):
            raise UsageError(f"{where}: the name of an environment has letters, digits, '_', '-' and '.', not {name!r}")
        if not isinstance(given, Mapping):
            raise UsageError(f"{where} must be a table, not {given!r}")
        unknown = sorted(set(given) - set(_KEYS))
        if unknown:
            raise UsageError(f"{where}: there is no setting {unknown[0]!r}; there are: {', '.join(_KEYS)}")
        if not isinstance(given.get("packages", []), list) or not isinstance(given.get("variables", {}), Mapping):
            raise UsageError(f"{where}: packages is a list of requirements, variables a table of texts")
        values = dict(given) | {"name": name}
        if "file" in values:
            values["file"] = str(folder / Path(str(values["file"])).expanduser())
        try:
            found.append(Environment(**values))
        except DefinitionError as error:
            raise UsageError(f"{where}: {error}") from None
    return tuple(found)
