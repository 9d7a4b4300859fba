"""``headrace artifacts``."""

from __future__ import annotations

import click

from headrace.cli.commands.show import ARTIFACT_COLUMNS, artifact_cells, is_for_people
from headrace.cli.options import RunName, as_json, open_existing
from headrace.cli.output import is_terminal, print_json, print_table

#: Rows on a terminal.
_ROWS = 200


@click.command(name="artifacts")
@click.argument("name", type=RunName(parts=True), default="", metavar="[RUN[/STEP[/N]]]")
@click.option("--limit", type=click.IntRange(0), help="At most so many rows; 0: all.  [200 on a terminal]")
@as_json
def artifacts_command(name: str, limit: int | None, json: bool) -> None:
    """List the artifacts of a run (default: the newest), a step or a task.

    Names that begin with _ are notes of the flow's dialect, and only in --json.

    With --json: all of them, as a list of objects with the keys name, task, kind, type, text, facts, table, codec,
    size, digest, created.
    """
    from headrace.services.names import find_run, parse_name
    from headrace.services.objects import list_artifacts

    parsed = parse_name(name)
    scope = open_existing()
    run = find_run(scope.metadata, scope.project, name)
    found = list_artifacts(scope.metadata, run, parsed)
    if json:
        print_json(found)
    elif shown := [one for one in found if is_for_people(one)]:
        most = _ROWS if limit is None and is_terminal() else limit
        rows = shown[:most] if most else shown
        print_table(ARTIFACT_COLUMNS, [artifact_cells(one, run.name) for one in rows])
        if len(rows) < len(shown):
            click.echo(
                f"... and {len(shown) - len(rows):,} more; --limit 0 shows all, RUN/STEP those of a step.", err=True
            )
    else:
        click.echo(f"{name or run.name} has no artifacts.", err=True)
