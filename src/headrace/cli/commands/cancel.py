"""``headrace cancel``."""

from __future__ import annotations

import time

import click

from headrace.cli.options import RunName, as_json, open_existing
from headrace.cli.output import print_json


@click.command(name="cancel")
@click.argument("name", type=RunName(), metavar="RUN")
@click.option("--wait", type=click.FloatRange(0), default=30.0, metavar="SECONDS", help="How long to wait for its end.")
@as_json
def cancel_command(name: str, wait: float, json: bool) -> int:
    """Stop RUN: all its tasks are killed, and only then is it cancelled. `headrace resume` goes on with it.

    With --json: an object with the keys run and state.
    """
    from headrace.model.states import RunState
    from headrace.services.control import request_cancel, wait_until_over
    from headrace.services.names import find_run

    scope = open_existing()
    run = request_cancel(scope.metadata, find_run(scope.metadata, scope.project, name), scope.actor, time.time())
    if run.state is RunState.CANCELLED:  # no driver was there
        from headrace.wiring.drivers import forget_driver

        forget_driver(scope, run)
    run = wait_until_over(scope.metadata, run, wait)
    if json:
        print_json({"run": run.name, "state": str(run.state)})
    elif run.state is RunState.RUNNING:
        click.echo(f"{run.name} was asked to stop, but is still running after {wait:g} s.")
    else:
        click.echo(f"{run.name} is {run.state}.")
    return 0 if run.state is not RunState.RUNNING else 1
