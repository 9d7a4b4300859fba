"""``headrace check``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headrace.cli.options import as_json, open_here
from headrace.cli.output import Column, clean, print_facts, print_json, print_table

if TYPE_CHECKING:
    from headrace.frontends.kfp.ir import Pipeline


@click.command(name="check")
@click.option("--containers", metavar="HOW", default="auto", help="As in `headrace run`: auto, podman, docker or host.")
@click.option("--on", "place", metavar="PLACE", default="", help="Where it is to run; default: on this machine.")
@as_json
@click.argument("target", metavar="FILE[:PIPELINE]", type=click.Path())
def check_command(target: str, containers: str, place: str, json: bool) -> int:
    """Say what a Kubeflow pipeline does, and what of it cannot be honoured, here or in a place. Nothing is run.

    FILE is a compiled pipeline (YAML or JSON), or a Python file with @dsl.pipeline.

    With --json: an object with the keys pipeline, description, parameters, tasks and notes. Exit codes: 0 it can run, 1
    it can run only with --ignore kubernetes, 2 it cannot run.
    """
    from headrace.cli.dialects import target_of
    from headrace.cli.flowargs import CONTAINERS
    from headrace.cli.kfpfile import load
    from headrace.frontends.kfp import arguments
    from headrace.frontends.kfp.description import describe
    from headrace.frontends.kfp.kubernetes import notes_of, secrets_of, users_of_executors
    from headrace.model.errors import UsageError

    if containers not in CONTAINERS:
        raise UsageError(f"--containers wants {', '.join(CONTAINERS[:-1])} or {CONTAINERS[-1]}, not {containers!r}")
    if target_of(target).dialect != "kfp":
        if not any(Path(one).is_file() for one in (target, target.rpartition(":")[0])):
            raise UsageError(f"no such file: {target}")
        raise UsageError(f"{target} is not a Kubeflow pipeline; `headrace check` reads pipelines alone")
    pipeline = load(target).pipeline
    tasks = describe(pipeline)
    pods = bool(place) and place in open_here().workspace.places(default=place).clusters
    notes = notes_of(pipeline, pods=pods)
    users = users_of_executors(pipeline)
    secrets: dict[str, tuple[str, ...]] = {}
    if not pods:  # those of the cluster are in its pods
        secrets = {name: users.get(label, ()) for label, names in secrets_of(pipeline).items() for name in names}
    parameters = arguments.usage(pipeline)
    if json:
        told = {"pipeline": pipeline.name, "description": pipeline.spec.pipeline_info.description}
        print_json({**told, "parameters": parameters, "tasks": tasks, "notes": notes, "secrets": secrets})
    else:
        _print(pipeline, parameters, tasks, secrets, notes)
    return 1 if any(one.needed for one in notes) else 0


def _print(pipeline: Pipeline, parameters: Any, tasks: Any, secrets: dict[str, tuple[str, ...]], notes: Any) -> None:
    print_facts(
        [
            ("pipeline", pipeline.name),
            ("does", clean(pipeline.spec.pipeline_info.description)),
            ("compiled by", pipeline.spec.sdk_version),
        ]
    )
    if parameters:
        click.echo("\nParameters")
        rows = [(one.option, one.type, one.default) for one in parameters]
        print_table((Column(""), Column(""), Column("", flex=True)), rows, "  ")
    click.echo("\nTasks")
    columns = (Column("TASK"), Column("WHAT"), Column("AFTER"), Column("RUNS", flex=True))
    print_table(
        columns,
        [
            (f"{one.name} ({one.title})" if one.title else one.name, one.kind, ", ".join(one.after), one.runs)
            for one in tasks
        ],
        "  ",
    )
    if secrets:
        click.echo("\nSecrets")
        rows3 = [(name, ", ".join(paths)) for name, paths in secrets.items()]
        print_table((Column("VARIABLE"), Column("TASKS", flex=True)), rows3, "  ")
    if notes:
        click.echo("\nSettings for Kubernetes")
        rows4 = [(one.setting, ", ".join(one.tasks), one.text) for one in notes]
        print_table((Column("SETTING"), Column("TASKS"), Column("HERE", flex=True)), rows4, "  ")
