"""Commands of a flow file that look at runs and graphs: ``dump``, ``logs``, ``tag``, ``output-dot``, ``output-raw``."""

from __future__ import annotations

import click

COMMANDS: list[click.Command] = []
