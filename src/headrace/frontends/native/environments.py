"""The environments that the steps and flows of a file name."""

from __future__ import annotations

from headrace.frontends.native.flows import Flow
from headrace.frontends.native.load import import_file
from headrace.frontends.native.steps import Step
from headrace.model.environments import Environment


def environments_by_step(path: str) -> dict[str, Environment]:
    """The environments that steps at the top of the Python file at ``path`` name, by the names of these steps.

    Raises:
        FlowLoadError: it cannot be imported.
    """
    steps = [one for one in vars(import_file(path)).values() if isinstance(one, Step)]
    return {one.name: one.policy.environment for one in steps if one.policy.environment is not None}


def environments_in(path: str) -> list[Environment]:
    """All environments that are at the top of the Python file at ``path``, by themselves or named by a step or flow.

    Raises:
        FlowLoadError: it cannot be imported.
    """
    found: dict[Environment, None] = {}
    for value in list(vars(import_file(path)).values()):
        if isinstance(value, Step):
            value = value.policy.environment  # noqa: PLW2901
        elif isinstance(value, Flow):
            value = value.settings.environment  # noqa: PLW2901
        if isinstance(value, Environment):
            found[value] = None
    return list(found)
