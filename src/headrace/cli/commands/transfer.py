"""``headrace export`` and ``headrace import``."""

from __future__ import annotations

from pathlib import Path

import click

from headrace.cli.opening import RunName, as_json, open_existing
from headrace.cli.output import print_json


@click.command(name="export")
@click.argument("name", type=RunName(), metavar="RUN")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE when it exists.")
@as_json
def export_command(name: str, file: Path, force: bool, json: bool) -> None:
    """Write RUN with all its artifacts to FILE, to be brought into another store by `headrace import`.

    With --json: an object with the keys run, file, blobs, bytes.
    """
    from headrace._base.sizes import format_size
    from headrace.services.archive import export_run
    from headrace.services.names import find_run

    project = open_existing()
    run = find_run(project.metadata, project.name, name)
    done = export_run(project.metadata, project.artifacts, run, file, overwrite=force)
    if json:
        print_json(done)
    else:
        click.echo(f"{done.run} is in {done.file}: {done.blobs} blobs, {format_size(done.bytes)}.")


@click.command(name="import")
@click.argument("file", type=click.Path(path_type=Path))
@as_json
def import_command(file: Path, json: bool) -> None:
    """Bring the run in FILE into this store, under its own number or the next free one.

    Everything is checked first; a damaged file changes nothing. With --json: an object with the keys run, file,
    blobs, bytes.
    """
    from headrace import wiring
    from headrace._base.sizes import format_size
    from headrace.model.errors import UsageError
    from headrace.services.archive import Archived, import_run

    if not file.is_file():
        raise UsageError(f"no such file: {file}")
    project = wiring.project()
    run, blobs = import_run(project.metadata, project.artifacts, file, project.name)
    done = Archived(run=run.name, file=str(file), blobs=blobs, bytes=file.stat().st_size)
    if json:
        print_json(done)
    else:
        click.echo(f"{done.run} came in with {blobs} blobs, {format_size(done.bytes)}: headrace show {done.run}")
