"""``headrace drive``."""

from __future__ import annotations

import sys

import click

from headrace.cli.options import RunName, open_existing

#: Exit code that says a pod's next attempt would not do better.
_HOPELESS = 78


@click.command(name="drive", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("name", type=RunName(), metavar="RUN")
@click.argument("words", metavar="[OPTIONS]...", nargs=-1, type=click.UNPROCESSED)
def drive_command(name: str, words: tuple[str, ...]) -> int:
    """Drive RUN until it is over: what the pods do that --on PLACE starts. OPTIONS are those of `headrace resume`.

    A driver that is killed is started again. Asked to end, by SIGTERM, it leaves the run to the next pod of its Job.

    Exit codes: 0 the run is over, or left to another driver; 78 there is no such run in the stores of this pod.
    """
    from headrace.model.errors import NotFoundError, UsageError
    from headrace.services.driver_keeper import DriverKeeper
    from headrace.services.names import find_run
    from headrace.wiring.driver_pods import driver_pod
    from headrace.wiring.drivers import hand_on

    pod = driver_pod()
    try:
        scope = open_existing()
        metadata = scope.opened_stores().metadata
        run = find_run(metadata, scope.project, name)
    except (NotFoundError, UsageError) as error:
        click.echo(f"headrace: the stores of this pod are not those of {name}: {error}", err=True)
        return _HOPELESS
    command = [sys.executable, "-m", "headrace", "resume", name, "--code", "recorded", "--driver", "here", *words]
    if pod is None:
        return DriverKeeper(metadata, run, command, "local", lambda: None).run()
    return DriverKeeper(metadata, run, command, pod.place, hand_on(pod), pod.is_leaving).run()
