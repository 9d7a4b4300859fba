"""``headrace code``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from headrace.cli.options import RunName, as_json, open_existing
from headrace.cli.output import Column, print_json, print_table

if TYPE_CHECKING:
    from headrace.model.values import Blob


@click.command(name="code")
@click.argument("name", metavar="RUN", type=RunName())
@click.option("--extract", metavar="DIR", help="Write the files to this folder, which must be new or empty.")
@as_json
def code_command(name: str, extract: str | None, json: bool) -> None:
    """List the files of RUN's code package: the modules that its flow can reach, and what `include` names.

    `headrace resume RUN --code recorded` runs them again.
    """
    from headrace._base.sizes import format_size
    from headrace.model.errors import NotFoundError
    from headrace.services.code.recorded_code import code_of, extract_code
    from headrace.services.names import find_run

    scope = open_existing()
    run = find_run(scope.metadata, scope.project, name)
    code = code_of(run, scope.artifacts)
    if not code.files:
        raise NotFoundError(f"run {run.name} has no code package: it was made at a prompt, or died as it began")
    if extract is not None:
        extract_code(code, scope.artifacts, Path(extract))
    if json:
        files = [{"path": path, "size": blob.size, "digest": blob.hex} for path, blob in code.files.items()]
        print_json({"run": run.name, "digest": code.digest, "entry": code.entry, "files": files})
        return
    if extract is not None:
        click.echo(f"{_counted(code.files)} of {run.name} in {extract}")
        return
    columns = (Column("FILE", flex=True), Column("SIZE", right=True), Column("DIGEST"))
    print_table(columns, [(path, format_size(blob.size), blob.hex[:12]) for path, blob in code.files.items()])
    total = format_size(sum(blob.size for blob in code.files.values()))
    click.echo(f"{_counted(code.files)}, {total}" + (f", package {code.digest}" if code.digest else ""))


def _counted(files: dict[str, Blob]) -> str:
    return f"{len(files)} {'file' if len(files) == 1 else 'files'}"
