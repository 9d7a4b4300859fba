"""``headrace rm``."""

from __future__ import annotations

import sys
import time

import click

from headrace.cli.options import RunName, as_json, open_existing
from headrace.cli.output import print_json


@click.command(name="rm")
@click.argument("names", type=RunName(), nargs=-1, required=True, metavar="RUN...")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@as_json
def rm_command(names: tuple[str, ...], yes: bool, json: bool) -> None:
    """Remove runs with all that was recorded of them. `headrace gc --delete` gives the space back afterwards.

    With --json: an object with the key removed.
    """
    from headrace.model.errors import UsageError
    from headrace.services.control import check_removable, delete_run
    from headrace.services.names import find_run, parse_name

    for name in names:
        parsed = parse_name(name)
        if parsed.number is None or parsed.step:
            raise UsageError(f"{name!r}: rm wants the full name of a run, such as train/42")
    scope = open_existing()
    runs = {run.id: run for run in (find_run(scope.metadata, scope.project, name) for name in names)}
    for run in runs.values():
        check_removable(scope.metadata, run)
    listed = ", ".join(run.name for run in runs.values())
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"rm would remove {listed}; say so with --yes")
        if not click.confirm(f"Remove {listed}?"):
            raise click.exceptions.Abort
    for run in runs.values():
        delete_run(scope.metadata, run, scope.actor, time.time())
    if json:
        print_json({"removed": [run.name for run in runs.values()]})
    else:
        click.echo(f"Removed {listed}.")
