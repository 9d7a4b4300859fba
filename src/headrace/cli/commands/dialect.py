"""``headrace dialect``."""

from __future__ import annotations

import click


@click.command(name="dialect")
@click.argument("name", type=click.Choice(["metaflow"]))
def dialect_command(name: str) -> int:
    """Print the folder that makes files of another dialect run on Headrace as they are.

    Put it on Python's path: PYTHONPATH="$(headrace dialect metaflow)" python flow.py run. (`headrace run flow.py` does
    so by itself.)
    """
    from headrace.frontends.metaflow.programs.script import SHIM

    click.echo(SHIM)
    return 0
