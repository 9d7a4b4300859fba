"""``headrace doctor``."""

from __future__ import annotations

import click

from headrace.cli.options import as_json
from headrace.cli.output import Column, print_json, print_table, style


@click.command(name="doctor")
@as_json
def doctor_command(json: bool) -> int:
    """Check versions, settings, stores and runs; exit code 1 when something is wrong.

    With --json: a list of objects with the keys name, ok, text, advice.
    """
    from headrace.cli.checks import all_checks

    checks = all_checks()
    bad = [one for one in checks if not one.ok]
    if json:
        print_json(checks)
    else:
        rows = [("ok" if one.ok else "PROBLEM", one.name, one.text) for one in checks]
        print_table((Column(""), Column(""), Column("", flex=not bad)), rows)
        for one in bad:
            click.echo(style(f"\n{one.name}: {one.text}", fg="red"))
            if one.advice:
                click.echo(f"  {one.advice}")
    return 1 if bad else 0
