"""``headrace doctor``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from headrace.cli.options import as_json
from headrace.cli.output import Column, print_json, print_table, style, waiting_text

if TYPE_CHECKING:
    from headrace.services.drivers import DriverView


@click.command(name="doctor")
@click.argument("run", required=False)
@click.option("--stores", is_flag=True, help="Look at versions, database and artifact store alone, as a worker does.")
@as_json
def doctor_command(run: str | None, stores: bool, json: bool) -> int:
    """Check versions, settings, stores and runs; exit code 1 when something is wrong.

    With the name of a run that is going on, such as train/42: how the process that drives it is doing, by what it
    counted since it began. Exit code 1 when no process drives it.

    With --json: a list of objects with the keys name, ok, text, advice; with RUN an object with the keys run, state,
    owner, left, report, lost, next, waits_for, waits_seen.
    """
    return _check_all(stores, json) if run is None else _look_at(run, json)


def _check_all(stores: bool, json: bool) -> int:
    from headrace.cli.checks import all_checks, store_checks

    checks = store_checks() if stores else all_checks()
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


def _look_at(name: str, json: bool) -> int:
    from headrace.cli.options import open_existing
    from headrace.services.drivers import driver_view
    from headrace.services.names import find_run

    scope = open_existing()
    run = find_run(scope.metadata, scope.project, name)
    view = driver_view(scope.metadata, run)
    if json:
        print_json(view)
    elif view is None:
        click.echo(f"{run.name} is not being driven: it is {run.state}.", err=True)
    else:
        print_table((Column(""), Column("", flex=True)), _lines(view))
    return 0 if view is not None and view.state != "gone" else 1


def _lines(view: DriverView) -> list[tuple[str, str]]:
    from headrace.services.run_rows import PENDING

    report = view.report
    if view.state == "gone":
        tasks = f"{view.lost} task{'s were' if view.lost != 1 else ' was'} running when it ended"
        return [("driver", f"{view.owner} is gone: the run crashed"), ("tasks", tasks), ("next", view.next)]
    lines = [("driver", f"{view.owner} ({view.state}); its lease lasts {view.left:.1f} s")]
    if view.state == PENDING:
        return [("driver", f"{view.state}: {waiting_text(view.waits_for, view.waits_seen)}")]
    if report is None:
        return [*lines, ("report", "none yet; it makes one every few seconds")]
    turn = 1000 * report.round_seconds / max(1, report.rounds)
    commit = 1000 * report.commit_seconds / max(1, report.commits)
    return [
        *lines,
        ("tasks", f"{report.waiting} waiting, {report.running} running; {report.submits} submitted so far"),
        ("attempts", f"{report.starts} started, {report.retries} of them again"),
        ("workers", str(report.workers)),
        ("loop", f"{report.rounds} rounds of {turn:.2f} ms, {1000 * report.longest_round:.2f} ms at most"),
        ("commits", f"{report.commits} of {commit:.2f} ms, {1000 * report.longest_commit:.2f} ms at most"),
    ]
