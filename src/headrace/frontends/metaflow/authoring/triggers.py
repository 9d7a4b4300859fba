"""What ``@trigger``, ``@trigger_on_finish`` and ``@exit_hook`` were given, checked before anything runs.

Functions that give an event or flow are called when a flow is deployed, so not here.
"""

from __future__ import annotations

import re
from typing import Any

from headrace.frontends.metaflow.authoring.decorators import flow_decorators
from headrace.frontends.metaflow.exceptions import MetaflowException

_FLOW_NAME = re.compile(r"[A-Za-z0-9_]+")


def check_flow_decorators(cls: Any) -> None:
    """Refuse flow decorators whose arguments cannot be meant.

    Raises:
        MetaflowException: some cannot.
    """
    for one in flow_decorators(cls, "trigger"):
        _check_trigger(one.attributes)
    for one in flow_decorators(cls, "trigger_on_finish"):
        _check_finish(one.attributes)
    for one in flow_decorators(cls, "exit_hook"):
        _check_hook(one.attributes)


def _one_or_many(decorator: str, attributes: dict[str, Any], single: str) -> list[Any]:
    """The things that ``single`` or its plural name; a function stands for itself.

    Raises:
        MetaflowException: there are none, both are given, or the plural is not a list.
    """
    one, many = attributes[single], attributes[f"{single}s"]
    if one and many:
        raise MetaflowException(
            f"Specify only one of *{single}* or *{single}s* attributes in *@{decorator}* decorator."
        )
    if not one and not many:
        raise MetaflowException(f"No {single}(s) specified in *@{decorator}* decorator.")
    if one:
        return [one]
    if not isinstance(many, list):
        if callable(many):
            return [many]
        raise MetaflowException(f"*{single}s* of *@{decorator}* must be a list, not {many!r}.")
    return many


def _check_trigger(attributes: dict[str, Any]) -> None:
    names = [_event_name(one) for one in _one_or_many("trigger", attributes, "event")]
    names = [one for one in names if isinstance(one, str)]
    if len(set(names)) < len(names):
        raise MetaflowException("Duplicate event names defined in *@trigger* decorator.")


def _event_name(event: Any) -> Any:
    """The name of an event, or the function behind it."""
    if isinstance(event, str) or callable(event):
        return event
    if not isinstance(event, dict):
        raise MetaflowException(
            f"An event of *@trigger* is a text, or a dictionary with *name* and *parameters*; {event!r} is neither."
        )
    if "name" not in event:
        raise MetaflowException("The *event* attribute for *@trigger* is missing the *name* key.")
    name, parameters = event["name"], event.get("parameters", {})
    pairs: list[Any] = []
    if isinstance(parameters, dict):
        pairs = list(parameters.items())
    elif isinstance(parameters, list):
        pairs = [(one, one) if isinstance(one, str) else one for one in parameters]
    for pair in pairs:
        if not (isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(one, str) for one in pair)):
            raise MetaflowException(
                f"The *parameters* of event {name!r} in *@trigger* map names of parameters to names of fields: "
                f"a dictionary of texts, or a list of texts and pairs of texts, not {parameters!r}."
            )
    return name


def _check_finish(attributes: dict[str, Any]) -> None:
    for one in _one_or_many("trigger_on_finish", attributes, "flow"):
        if isinstance(one, str):
            _check_flow_name(one)
        elif isinstance(one, dict):
            _check_flow(one)
        elif not callable(one):
            raise MetaflowException(
                f"A flow of *@trigger_on_finish* is a text, or a dictionary with *name*, *project* and "
                f"*project_branch*; {one!r} is neither."
            )


def _check_flow(flow: dict[str, Any]) -> None:
    if "name" not in flow:
        raise MetaflowException("A flow of *@trigger_on_finish* is missing the *name* key.")
    for key in ("name", "project", "project_branch"):
        if key in flow and not isinstance(flow[key], str):
            raise MetaflowException(f"The *{key}* of a flow in *@trigger_on_finish* is {flow[key]!r}, not a text.")
    if "." in flow["name"]:
        raise MetaflowException(f"The *name* {flow['name']!r} of a flow in *@trigger_on_finish* must have no dots.")
    _check_flow_name(flow["name"])


def _check_flow_name(name: str) -> None:
    if name.count(".") == 1:
        raise MetaflowException(
            f"*@trigger_on_finish* names the flow {name!r}: give its name alone, or "
            "*project_name.branch_name.flow_name*."
        )
    last = name.rpartition(".")[2]
    if not _FLOW_NAME.fullmatch(last):
        raise MetaflowException(
            f"Invalid flow name *{last}* in *@trigger_on_finish* decorator. Only alphanumeric characters and "
            "underscores(_) are allowed."
        )


def _check_hook(attributes: dict[str, Any]) -> None:
    if not attributes["on_success"] and not attributes["on_error"]:
        raise MetaflowException("Choose at least one of the options on_success/on_error of *@exit_hook*.")
    for kind in ("on_success", "on_error"):
        hooks = attributes[kind]
        if not isinstance(hooks, (list, tuple)) or not all(isinstance(one, str) or callable(one) for one in hooks):
            raise MetaflowException(
                f"*{kind}* of *@exit_hook* must be a list of functions, or of their names, not {hooks!r}."
            )
