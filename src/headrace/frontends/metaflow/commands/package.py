"""``package info``, ``list`` and ``save``: the files of the flow's folder that are code, by their suffixes.

Runs do not need a package: they keep the files of the user's that they import (``Run.code``).
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import click

from headrace.frontends.metaflow.client.code import make_archive
from headrace.frontends.metaflow.exceptions import CommandException
from headrace.frontends.metaflow.version import VERSION


class _Package:
    """The files that belong to a flow, by their path from its folder."""

    def __init__(self, cls: Any, suffixes: str) -> None:
        file = os.path.abspath(getattr(sys.modules[cls.__module__], "__file__", "") or sys.argv[0])  # noqa: PTH100
        self.name = cls.__name__
        self.folder, self.script = os.path.split(file)
        self.suffixes = [one.strip() for one in suffixes.split(",") if one.strip()]
        self.paths = self._find()

    def _find(self) -> list[str]:
        found = {self.script}
        for folder, below, files in os.walk(self.folder):
            below[:] = [one for one in below if not one.startswith(".") and one != "__pycache__"]
            for file in files:
                if file.endswith(tuple(self.suffixes)) and not file.startswith("."):
                    found.add(os.path.relpath(os.path.join(folder, file), self.folder))  # noqa: PTH118
        return sorted(found)

    def archive(self) -> bytes:
        """All files as one archive."""
        files = {}
        for path in self.paths:
            with open(os.path.join(self.folder, path), "rb") as file:  # noqa: PTH118, PTH123
                files[path] = file.read()
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
    for path in package.paths:
        click.echo(path if archive else os.path.join(package.folder, path), err=True)  # noqa: PTH118
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
