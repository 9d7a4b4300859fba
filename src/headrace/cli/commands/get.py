"""``headrace get``."""

from __future__ import annotations

from pathlib import Path

import click

from headrace.cli.options import RunName, as_json, open_existing
from headrace.cli.output import print_json


@click.command(name="get")
@click.argument("name", type=RunName(parts=True), metavar="RUN[/STEP/N[/NAME]]")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Save it here; `-`: to stdout.")
@click.option("--force", is_flag=True, help="Replace FILE when it exists.")
@as_json
def get_command(name: str, output: Path | None, force: bool, json: bool) -> None:
    """Print an artifact, or save it with -o. A run alone means the flow's result; an input of a task goes by its name.

    Texts are saved as text, bytes as they are, frames by the extension as .csv or .parquet, arrays as .npy, figures
    as .png, .svg or .pdf, files and folders as themselves, anything as .json where it is plain; everything else, and
    anything with the extension .pkl, as a pickle.

    With --json: an object with the keys of `headrace artifacts --json`.
    """
    from headrace.cli.export_formats import save_object, show_object
    from headrace.services.describe import view_artifact
    from headrace.services.names import find_run, parse_name
    from headrace.services.objects import find_artifact, load_artifact

    parsed = parse_name(name)
    scope = open_existing()
    run = find_run(scope.metadata, scope.project, name)
    record = find_artifact(scope.metadata, run, parsed)
    if json:
        print_json(view_artifact(run, record))
        return
    value = load_artifact(record, scope.artifacts, run)
    if output is None:
        show_object(value)
        return
    where = save_object(value, output, overwrite=force)
    if where is not None:
        click.echo(f"{where}", err=True)
