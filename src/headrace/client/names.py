"""Names that users give: what they cannot be."""

from __future__ import annotations

from headrace.model.errors import UsageError


def check_name(what: str, name: object) -> None:
    """Raise UsageError unless ``name`` is a text and not empty; ``what`` says what it names."""
    if not isinstance(name, str) or not name:
        raise UsageError(f"the name of a {what} is a text, not {name!r}")


def check_tag(name: object) -> None:
    """Raise UsageError unless ``name`` can be that of a tag."""
    check_name("tag", name)
    if "=" in str(name):
        raise UsageError(f"tag {name!r}: a name cannot hold '='; give the value beside it")


def check_project(name: object) -> None:
    """Raise UsageError unless a project can be called that."""
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise UsageError(f"a project is named by a text, {name!r} is not one")
