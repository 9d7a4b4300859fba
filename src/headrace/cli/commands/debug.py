"""``headrace debug``."""

from __future__ import annotations

import sys
from typing import Any

import click

from headrace.cli.options import RunName, as_json, open_existing
from headrace.cli.output import print_json


@click.command(name="debug")
@click.argument("name", type=RunName(parts=True), default="", metavar="[RUN/STEP/N]")
@click.option("--shell", is_flag=True, help="A Python prompt with the inputs by name, instead of calling the step.")
@click.option("--on", "place", metavar="PLACE", help="In a pod of this place, with the code that the run kept.")
@click.option("--code", type=click.Choice(["file", "recorded"]), default="file", help="Which code; default: file.")
@as_json
def debug_command(name: str, shell: bool, place: str | None, code: str, json: bool) -> int:
    """Enter a task with its real inputs: default, the task that failed the newest run.

    The flow's file is loaded as it is now, the inputs come from the store, and the step is called here; where it
    raises, the debugger (pdb) opens at the line. Nothing is recorded. With --shell: a prompt with the inputs and the
    step bound by their names. Commands may be piped in: echo 'p x' | headrace debug.

    With --json: nothing is entered; an object with the keys task, step, entry, inputs, state, error.
    """
    from headrace.cli import task_replay
    from headrace.model.errors import UsageError
    from headrace.services.names import find_run, find_task, parse_name
    from headrace.services.tasks import environment_label

    parsed = parse_name(name)
    scope = open_existing()
    run = find_run(scope.metadata, scope.project, name)
    if not parsed.step:
        if not run.failed_task:
            raise UsageError(f"no task failed {run.name}; name one: headrace debug {run.name}/STEP/N")
        parsed = parse_name(f"{run.name}/{run.failed_task}")
    task = find_task(scope.metadata, run, parsed)
    if json:
        names = [one.name.lstrip("/*") for one in task.inputs]
        told = {"task": f"{run.name}/{task.id}", "step": task.step, "entry": run.entry, "inputs": names}
        print_json({**told, "state": str(task.state), "error": task.error})
        return 0
    if place is not None:
        from headrace.wiring.debug_pods import debug_in_pod

        words = [f"{run.name}/{task.id}", "--code", "recorded", *(["--shell"] if shell else [])]
        terminal = sys.stdin.isatty() and sys.stdout.isatty()
        return debug_in_pod(scope, run, place, words, lambda why: click.echo(why, err=True), terminal=terminal)
    if not (sys.stdin.isatty() and sys.stdout.isatty()) and not _commands_wait():
        click.echo(task_replay.describe(run, task, shell=shell))
        click.echo("headrace: debug needs a terminal", err=True)
        return 2
    if code == "recorded":
        run = task_replay.with_recorded_code(scope, run)
    label = environment_label(scope.metadata, run, task)
    if label:
        version = sys.version.split(maxsplit=1)[0]
        click.echo(
            f"headrace: {run.name}/{task.id} ran in {label}; here is Python {version} with other packages", err=True
        )
    entered = task_replay.enter(scope.metadata, scope.artifacts, run, task)
    if shell:
        task_replay.open_prompt(entered, f"{run.name}/{task.id}")
        return 0
    return task_replay.call(entered, f"{run.name}/{task.id}")


def _commands_wait() -> bool:
    """Whether commands are piped in. A pipe that is open and stays empty has none."""
    import select

    try:
        stream: Any = sys.stdin.buffer
        return bool(select.select([stream], [], [], 1.0)[0]) and bool(stream.peek(1))
    except (OSError, ValueError, AttributeError):
        return False
