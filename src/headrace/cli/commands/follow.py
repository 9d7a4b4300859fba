"""``headrace follow``."""

from __future__ import annotations

import click

from headrace.cli.options import RunName, open_existing


@click.command(name="follow")
@click.argument("name", type=RunName(), default="", metavar="[RUN]")
@click.option("--json", "json", is_flag=True, help="End with one JSON document on stdout, as headrace run does.")
@click.option("--quiet", is_flag=True, help="Print nothing but what the flow prints, and why the run failed.")
def follow_command(name: str, json: bool, quiet: bool) -> int:
    """Show RUN (default: the newest) as it goes, wherever its driver is, as `headrace run` does. Ctrl-C ends only this.

    Exit codes: 0 the run succeeded, 1 it failed or has no driver any more, 130 interrupted.
    """
    from headrace.cli.flowargs import Options
    from headrace.cli.following import FollowedRun, follow
    from headrace.cli.summary import conclude
    from headrace.services.names import find_run
    from headrace.wiring.drivers import trouble_in_cluster

    scope = open_existing()
    run = find_run(scope.metadata, scope.project, name)
    options = Options()
    options.flags |= {flag for flag, on in (("json", json), ("quiet", quiet)) if on}
    followed, trouble = FollowedRun(scope.stores, run), trouble_in_cluster(scope, run)
    return follow(followed, options, lambda followed: conclude(followed, None, options), trouble)
