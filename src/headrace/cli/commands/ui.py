"""``headrace ui``."""

from __future__ import annotations

import click

from headrace.cli.options import RunName, as_json, open_existing
from headrace.cli.output import print_json


@click.command(name="ui")
@click.argument("name", type=RunName(parts=True), default="", metavar="[RUN[/STEP/N]]")
@click.option("--print", "only_print", is_flag=True, help="Print the address, and open nothing.")
@as_json
def ui_command(name: str, only_print: bool, json: bool) -> None:
    """Open the page of a run or task in the browser; without a name that of all runs.

    A server must show this workspace: `headrace server`, or the one that HEADRACE_SERVER names. With --json: an object
    with the key url, and nothing is opened.
    """
    from headrace.model.errors import UsageError
    from headrace.services.names import find_run, find_task, parse_name
    from headrace.services.served_at import page_of, server_of

    scope = open_existing()
    server = server_of(scope.settings.home, scope.settings.server)
    if not server:
        raise UsageError("no server shows this workspace; start one: headrace server --open")
    page = ""
    if name:
        parsed = parse_name(name)
        run = find_run(scope.metadata, scope.project, name)
        page = f"{run.name}/{find_task(scope.metadata, run, parsed).id}" if parsed.step else run.name
    url = page_of(server, scope.project, page)
    if json:
        print_json({"url": url})
        return
    click.echo(url)
    if not only_print:
        click.launch(url)
