"""``package info``, ``list`` and ``save``: the files of the flow's folder by their suffixes, and what mutators add.

Runs do not need a package: they keep the files of the user's that they import, with what mutators add (``Run.code``).
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import click

from headrace.frontends.metaflow.authoring.packaging import (
    contributed,
    default_suffixes,
    folder_of,
    split_suffixes,
    walk,
    with_suffixes,
)
from headrace.frontends.metaflow.client.code import make_archive
from headrace.frontends.metaflow.exceptions import CommandException
from headrace.frontends.metaflow.version import VERSION
from headrace.services.code.files import Refused, read


class _Package:
    """The files that belong to a flow, by their path from its folder."""

    def __init__(self, cls: Any, suffixes: str) -> None:
        self.name = cls.__name__
        self.folder, self.script = folder_of(cls)
        self.suffixes = list(dict.fromkeys([*default_suffixes(), *split_suffixes(suffixes)]))
        found = {name: path for path, name in walk(self.folder, with_suffixes(self.suffixes))}
        found = {**contributed(cls), **found, self.script: os.path.join(self.folder, self.script)}  # noqa: PTH118
        self.paths = dict(sorted(found.items()))

    def archive(self) -> bytes:
        """All files as one archive.

        Raises:
            CommandException: a file cannot be read.
        """
        files = {}
        for name, path in self.paths.items():
            try:
                files[name], _ = read(path, sys.maxsize)
            except Refused as reason:
                raise CommandException(f"The code package cannot be made: {path} {reason}") from None
        info = {"script": self.script, "metaflow_version": VERSION}
        return make_archive({**files, "INFO": json.dumps(info).encode()})


@click.group("package", help="Commands related to code packages.")
@click.option("--timeout", default=60, help="Accepted and not used.")
@click.pass_obj
def package_command(obj: dict[str, Any], /, timeout: int) -> None:
    """Find the files, for the command that follows."""
    obj["package"] = _Package(obj["cls"], obj["package_suffixes"])


@package_command.command("info", help="Output information about the code package.")
@click.pass_obj
def package_info_command(obj: dict[str, Any], /) -> int:
    """Say how large it is and where it comes from."""
    package: _Package = obj["package"]
    click.echo(f"Package size: {_size(len(package.archive()))}", err=True)
    click.echo(f"Number of files: {len(package.paths)}", err=True)
    click.echo(f"\nMetaflow version: {VERSION}\n\nUser code in flow {package.name}:", err=True)
    click.echo(f"  - Packaged from directory {package.folder}{os.sep}", err=True)
    click.echo(f"  - Filtered by suffixes: {', '.join(package.suffixes)}", err=True)
    return 0


def _size(count: float) -> str:
    for unit in ("B", "KB", "MB"):
        if count < 1024:
            return f"{count:.2f} {unit}"
        count /= 1024
    return f"{count:.2f} GB"


@package_command.command("list", help="List all files included in the code package.")
@click.option("--archive/--no-archive", default=False, help="Paths in the package instead of those on the disk.")
@click.pass_obj
def package_list_command(obj: dict[str, Any], /, archive: bool) -> int:
    """Name the files."""
    package: _Package = obj["package"]
    if not obj["quiet"]:
        click.echo("Files included in the code package (change with --package-suffixes):", err=True)
    for name, path in package.paths.items():
        click.echo(name if archive else path, err=True)
    return 0


@package_command.command("save", help="Save the current code package to a file.")
@click.argument("path")
@click.pass_obj
def package_save_command(obj: dict[str, Any], /, path: str) -> int:
    """Write the archive.

    Raises:
        CommandException: the file cannot be written.
    """
    package: _Package = obj["package"]
    try:
        with open(path, "wb") as file:  # noqa: PTH123
            file.write(package.archive())
    except OSError as error:
        raise CommandException(f"The code package cannot be saved in {path}: {error.strerror or error}") from None
    if not obj["quiet"]:
        click.echo(f"Code package saved in {path}", err=True)
    return 0


COMMANDS: list[click.Command] = [package_command]
