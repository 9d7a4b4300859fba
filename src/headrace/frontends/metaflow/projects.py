"""``@project``: the names that a project and its branch give to a flow."""

from __future__ import annotations

from typing import Any

from headrace.frontends.metaflow.exceptions import MetaflowException

_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_")


def flow_decorators(cls: Any, name: str) -> list[Any]:
    """The flow decorators of that name, bases included."""
    found = []
    for kind in cls.__mro__:
        found += kind.__dict__.get("_flow_decorators", {}).get(name, [])
    return found


def project_facts(cls: Any, branch: str | None, production: bool, user: str) -> dict[str, Any]:
    """What ``current`` says of the project; nothing for a flow without one.

    Raises:
        MetaflowException: the project's or branch's name is not one.
    """
    found = flow_decorators(cls, "project")
    if not found:
        return {}
    attributes = found[0].attributes
    name = attributes["name"]
    branch = branch or attributes["branch"]
    production = production or bool(attributes["production"])
    for what, text in (("project name", name), ("branch name", branch)):
        if text is not None and not set(str(text)) <= _NAME:
            raise MetaflowException(f"The {what} {text!r} is not valid: use lowercase letters, digits and underscores")
    if not name:
        raise MetaflowException("@project needs a name: @project(name='my_project')")
    full = f"test.{branch}" if branch else f"user.{user}"
    if production:
        full = f"prod.{branch}" if branch else "prod"
    return {
        "project_name": name,
        "branch_name": full,
        "is_user_branch": not production and not branch,
        "is_production": production,
        "project_flow_name": f"{name}.{full}.{cls.__name__}",
    }
