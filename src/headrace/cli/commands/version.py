"""``headrace version``."""

from __future__ import annotations

import sys

import click

from headrace._version import __version__
from headrace.cli.options import as_json
from headrace.cli.output import print_json


@click.command(name="version")
@as_json
def version_command(json: bool) -> None:
    """Print the versions of Headrace and Python. With --json: an object with the keys headrace, python."""
    python = sys.version.split(maxsplit=1)[0]
    if json:
        print_json({"headrace": __version__, "python": python})
    else:
        click.echo(f"headrace {__version__} (Python {python})")
