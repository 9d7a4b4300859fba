"""Commands that give a flow to another system, such as ``argo-workflows create``: refused, with what to do instead."""

from __future__ import annotations

import os
import sys

import click

from headrace.frontends.metaflow.exceptions import NotSupportedException

#: Command -> how the system is called.
_SYSTEMS = {
    "argo-workflows": "Argo Workflows",
    "step-functions": "AWS Step Functions",
    "airflow": "Airflow",
    "kubernetes": "Kubernetes",
    "batch": "AWS Batch",
}


def _refusing(name: str, system: str) -> click.Command:
    @click.command(name, hidden=True, add_help_option=False, context_settings={"ignore_unknown_options": True})
    @click.argument("words", nargs=-1, type=click.UNPROCESSED)
    def refuse(words: tuple[str, ...]) -> None:
        file = os.path.basename(sys.argv[0])  # noqa: PTH119
        raise NotSupportedException(
            f"Headrace does not know {system} yet: `{' '.join([name, *words[:1]])}` did nothing.\n"
            f"To run the flow here: python {file} run. Every night: that from cron or CI, or Runner in a program.\n"
            "The file needs no change to be deployed by Metaflow itself, from an environment that has it."
        )

    return refuse


#: They take whatever is said to them, and ``help`` does not list them.
COMMANDS = tuple(_refusing(name, system) for name, system in _SYSTEMS.items())
