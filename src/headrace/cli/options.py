"""The scope a command works in, options that commands share, and completion of names."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from headrace.wiring import Scope

F = TypeVar("F", bound=Callable[..., Any])


def open_existing() -> Scope:
    """The workspace and project here, for reading: a place without runs is left as it is.

    Raises:
        NotFoundError: nothing was ever run here.
    """
    from headrace import wiring

    return wiring.existing_scope()


def open_here() -> Scope:
    """The workspace and project here, for runs that are started."""
    from headrace import wiring

    return wiring.scope_here()


def as_json(command: F) -> F:
    """``--json``."""
    return click.option("--json", "json", is_flag=True, help="Print one JSON document instead of text.")(command)


class RunName(click.ParamType):  # type: ignore[type-arg]
    """A run such as ``train/42``; ``parts``: or a step or task of it. The shell completes it."""

    name = "run"

    def __init__(self, *, parts: bool = False) -> None:
        self._parts = parts

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Names that go on from ``incomplete``; nothing rather than an error."""
        from click.shell_completion import CompletionItem

        from headrace.model.errors import HeadraceError

        try:
            names = _complete(incomplete, self._parts)
        except HeadraceError:
            return []
        return [CompletionItem(name, help=text) for name, text in names if name.startswith(incomplete)]


def complete_flow(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Flows that begin like that; nothing rather than an error."""
    from headrace.model.errors import HeadraceError

    try:
        scope = open_existing()
        return [flow for flow, _, _ in scope.metadata.flows(scope.project) if flow.startswith(incomplete)]
    except HeadraceError:
        return []


def complete_state(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """States of runs that begin like that."""
    from headrace.services.run_rows import STATES

    return [state for state in STATES if state.startswith(incomplete)]


def _complete(incomplete: str, parts: bool) -> list[tuple[str, str]]:
    from headrace.stores.metadata.protocol import RunFilter

    scope = open_existing()
    metadata = scope.metadata
    pieces = incomplete.split("/")
    if len(pieces) == 1:
        flows = [flow for flow, _, _ in metadata.flows(scope.project) if flow.startswith(incomplete)]
        if len(flows) != 1:
            return [(flow, "its newest run") for flow in flows]
        pieces = [flows[0], ""]
    if len(pieces) == 2:
        runs = metadata.runs(RunFilter(project=scope.project, flow=pieces[0], limit=50))
        return [(run.name, str(run.state)) for run in runs]
    if not parts or not pieces[1].isdecimal():
        return []
    run = metadata.run(pieces[0], int(pieces[1][:18]), scope.project)
    if run is None:
        return []
    if len(pieces) == 3:
        steps = dict.fromkeys(one.step for one in metadata.step_counts(run.id) if one.step)
        return [(f"{run.name}/{step}", "step") for step in steps]
    return [(f"{run.name}/{t.id}", str(t.state)) for t in metadata.tasks(run.id, pieces[2], limit=200)]
