"""``@project``: the names that a project and its branch give to a flow."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from headrace.frontends.metaflow.authoring.decorators import flow_decorators
from headrace.frontends.metaflow.exceptions import MetaflowException

_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_")
_LONGEST = 128
#: Words of an environment variable that mean yes, as click has them.
_YES = frozenset(["1", "true", "t", "yes", "y", "on"])


class Naming(NamedTuple):
    """What is said of the project beside its decorator."""

    branch: str | None = None
    production: bool = False


def naming_of(argv: Sequence[str]) -> Naming:
    """What a command's words, or the environment, say of the project, before it is known which options there are."""
    branch = next((value for option, value in itertools.pairwise(argv) if option == "--branch"), None)
    branch = next((one.partition("=")[2] for one in argv if one.startswith("--branch=")), branch)
    production = "--production" in argv or os.environ.get("METAFLOW_PRODUCTION", "").lower() in _YES
    return Naming(branch or os.environ.get("METAFLOW_BRANCH") or None, production)


def _chosen(what: str, given: dict[str, Any], option: Any, default: Any) -> Any:
    """What the decorator says, else the command line.

    Raises:
        MetaflowException: they say different things.
    """
    if what not in given:
        return option
    if option != default and option != given[what]:
        raise MetaflowException(
            f"You cannot pass {what} as both a command-line argument and an attribute of the @project decorator."
        )
    return given[what]


def project_facts(cls: Any, branch: str | None, production: bool, user: str) -> dict[str, Any]:
    """What ``current`` says of the project; nothing for a flow without one.

    Raises:
        MetaflowException: the project's or branch's name is not one.
    """
    found = flow_decorators(cls, "project")
    if not found:
        return {}
    attributes, given = found[0].attributes, found[0].given
    name = attributes["name"]
    branch = _chosen("branch", given, branch, None)
    production = bool(_chosen("production", given, production, False))
    if not name:
        raise MetaflowException("@project needs a name: @project(name='my_project')")
    for what, text in (("project name", name), ("branch name", branch)):
        if text and not (isinstance(text, str) and set(text) <= _NAME):
            raise MetaflowException(f"The {what} {text!r} is not valid: use lowercase letters, digits and underscores")
        if text and len(text) > _LONGEST:
            raise MetaflowException(f"The {what} is too long. The maximum is {_LONGEST} characters.")
    full = f"test.{branch}" if branch else f"user.{user}"
    if production:
        full = f"prod.{branch}" if branch else "prod"
    return {
        "project_name": name,
        "branch_name": full,
        "is_user_branch": not production and branch is None,
        "is_production": production,
        "project_flow_name": f"{name}.{full}.{cls.__name__}",
    }
