"""``--home``, ``--database``, ``--artifacts``, ``--server`` and ``--project``, which every command on runs takes.

They say for the command, and for all processes that it starts, what the settings of these names say otherwise. So they
are put into the environment, where the edges look: a flow that asks for runs while it is loaded, and a step in a
worker, find the same ones as the command.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

#: The options, in the order of their help: what stands for the value, and what they are for.
PLACES = {
    "project": ("NAME", "The project to work in; its runs are seen, no others."),
    "home": ("FOLDER", "Where runs are kept; default: the nearest .headrace upward."),
    "database": ("URL", "Where their metadata is: a file, or postgresql://USER@HOST/NAME."),
    "artifacts": ("URL", "Where their objects are: a folder, or s3://, gs://, az:// with a bucket."),
    "server": ("URL", "The Headrace server that keeps them, in place of both."),
}
#: Commands that have nothing to do with runs.
WITHOUT = frozenset({"completion", "dialect", "login", "logout", "version", "whoami", "worker"})
VERBOSE = "Tell on standard error what Headrace does; HEADRACE_LOG_LEVEL says how much."
_META = "headrace.places"


class _Project(click.ParamType):  # type: ignore[type-arg]
    """The name of a project; the shell completes those of the database."""

    name = "project"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Projects that begin like that; nothing rather than an error."""
        from click.shell_completion import CompletionItem

        from headrace.cli.options import open_existing
        from headrace.model.errors import HeadraceError

        try:
            names = open_existing().workspace.metadata.projects()
        except HeadraceError:
            return []
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _of_place(name: str, metavar: str, text: str) -> click.Option:
    kind: Any = _Project() if name == "project" else click.Path()
    return click.Option([f"--{name}"], type=kind, metavar=metavar, help=text, expose_value=False, callback=_take)


def log_to_stderr() -> None:
    """Let this process, and those that it starts, log to standard error what they do."""
    if not os.environ.get("HEADRACE_LOG"):
        os.environ["HEADRACE_LOG"] = "text"


def take_verbose(context: click.Context, option: click.Parameter, value: bool) -> None:
    """The callback of ``--verbose``."""
    if value:
        log_to_stderr()


def _take(context: click.Context, option: click.Parameter, value: str | None) -> None:
    if value is not None:
        given = context.find_root().meta.setdefault(_META, {})
        given[option.name] = value
        use(given)


def add_places(command: click.Command) -> click.Command:
    """``command`` with these options, those of a group at each of its commands."""
    if isinstance(command, click.Group):
        for one in command.commands.values():
            add_places(one)
    elif not any(option.name == "project" for option in command.params):
        command.params += [_of_place(name, *texts) for name, texts in PLACES.items()]
        command.params.append(
            click.Option(["--verbose"], is_flag=True, help=VERBOSE, expose_value=False, callback=take_verbose)
        )
    return command


def given_options() -> Mapping[str, str]:
    """The values of the place options of the command that runs, by name."""
    context = click.get_current_context(silent=True)
    found: Mapping[str, str] = {} if context is None else context.find_root().meta.get(_META, {})
    return found


def use(given: Mapping[str, str]) -> None:
    """Let this process, and those it starts, take the places that are ``given`` by name.

    A ``home`` is a place of its own: what settings say of its database and artifacts counts only when it is given too.

    Raises:
        UsageError: one of them is empty, or two say different places.
    """
    from headrace.model.errors import UsageError
    from headrace.settings import place_variables

    places = dict(given)
    if "server" in places and ("database" in places or "artifacts" in places):
        raise UsageError("--server keeps runs and their objects itself; leave out --database and --artifacts")
    for name, value in places.items():
        if not value.strip():
            raise UsageError(f"--{name} is empty; leave it out, or give a value")
        if name not in ("project", "server") and "://" not in value:
            places[name] = str(Path(value).expanduser().absolute())
    os.environ.update(place_variables(places))
