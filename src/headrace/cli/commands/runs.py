"""``headrace runs``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from headrace.cli.options import as_json, complete_flow, complete_state, open_existing
from headrace.cli.output import (
    Column,
    brief,
    cut,
    is_terminal,
    moment,
    number,
    print_json,
    print_table,
    tags_apart,
    tags_text,
    waiting_text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.services.run_rows import RunRow

_COLUMNS = (
    Column("RUN"),
    Column("STATE", state=True),
    Column("STARTED"),
    Column("TOOK", right=True),
    Column("PARAMETERS", flex=True),
    Column("METRICS", flex=True),
    Column("TAGS", flex=True),
)


@click.command(name="runs")
@click.option("--flow", shell_complete=complete_flow, help="Only runs of this flow.")
@click.option("--tag", "tags", multiple=True, metavar="T", help="Only runs with this tag (name or name=value).")
@click.option(
    "--status",
    "states",
    multiple=True,
    metavar="S",
    shell_complete=complete_state,
    help="Only runs in this state; may be repeated.",
)
@click.option("--where", multiple=True, metavar="COND", help="Such as 'metrics.accuracy > 0.9'; may be repeated.")
@click.option(
    "--sort", default="", metavar="KEY", help="By metrics.NAME, ... instead; with - in front: greatest first."
)
@click.option("--all", "all_", is_flag=True, help="Archived runs too, and those that are about to be deleted.")
@click.option("--limit", type=click.IntRange(0), default=20, show_default=True, help="At most so many; 0: all.")
@as_json
def runs_command(
    flow: str | None,
    tags: tuple[str, ...],
    states: tuple[str, ...],
    where: tuple[str, ...],
    sort: str,
    all_: bool,
    limit: int,
    json: bool,
) -> None:
    """List runs, newest first.

    Conditions of --where compare metrics.NAME (the last value), params.NAME, tags.NAME, state, flow, number, created
    or duration with = != < <= > >= or `in (A, B)`; join them by `and`, `or` and parentheses. A run whose process was
    killed is in the state `crashed`. --sort takes the same names, and started, finished, user or host; runs without
    the value come last.

    With --json: a list of objects with the keys name, flow, number, state, driver, created, started, finished,
    duration, session, user, host, params, metrics, tags, queue, failed_task, error, pinned, archived, deleted,
    waits_for, waits_seen; times in seconds since 1970. While its driver is `pending` in a cluster, waits_for says why.
    """
    from headrace.model.errors import NotFoundError
    from headrace.services.marks import LISTED
    from headrace.services.run_rows import as_recorded, parse_states, rows_of
    from headrace.stores.metadata.protocol import RunFilter

    wanted, conditions = parse_states(states), _conditions(where)
    try:
        scope = open_existing()
    except NotFoundError as error:
        if json:
            print_json([])
        else:
            click.echo(str(error), err=True)
        return
    want = RunFilter(
        project=scope.project,
        flow=flow,
        tags=tags,
        marks=() if all_ else LISTED,
        where=conditions,
        limit=limit + 1 if limit else None,
        sort=sort,
    )
    found = scope.metadata.runs(as_recorded(scope.metadata, want, wanted))
    rows = rows_of(scope.metadata, found, time.time())
    more = bool(limit) and len(rows) > limit
    rows = rows[:limit] if limit else rows
    if json:
        print_json(rows)
        return
    if not rows:
        click.echo("No runs match." if any((flow, tags, states, where)) else "No runs yet.", err=True)
        return
    _print_rows(rows)
    if more:
        total = sum(count for _, count, _ in scope.metadata.flows(scope.project))
        click.echo(
            f"... and {'more' if sort else 'older ones'} ({total} runs in this project); --limit 0 shows all.", err=True
        )


def _conditions(where: tuple[str, ...]) -> tuple[Any, ...]:
    if not where:
        return ()
    from headrace.services.query import parse_query

    return tuple(condition for one in where for condition in parse_query(one))


def _print_rows(rows: Sequence[RunRow]) -> None:
    from headrace.services.run_rows import PENDING

    live = any(row.queue for row in rows)
    columns = (*_COLUMNS[:4], *([Column("TASKS")] if live else []), *_COLUMNS[4:])
    print_table(columns, [_cells(row, live=live) for row in rows])
    for row in rows:
        if row.driver == PENDING:
            click.echo(f"{row.name}: {waiting_text(row.waits_for, row.waits_seen)}", err=True)


def _cells(row: RunRow, *, live: bool) -> tuple[str, ...]:
    from headrace._base.sizes import format_duration
    from headrace.services.run_rows import PENDING

    return (
        row.name,
        row.driver if row.driver == PENDING else row.state,
        moment(row.started),
        "" if row.duration is None else format_duration(row.duration),
        *([_progress(row.queue)] if live else []),
        " ".join(f"{name}={_short(value)}" for name, value in row.params.items()),
        " ".join(f"{name}={number(value)}" for name, value in row.metrics.items()),
        tags_text(tags_apart(row.tags)[0]),
    )


def _progress(queue: dict[str, int]) -> str:
    if not queue:
        return ""
    open_ = queue["waiting"] + queue["ready"] + queue["delayed"] + queue["running"]
    return f"{queue['total'] - open_}/{queue['total']}, {queue['running']} running"


def _short(value: Any) -> str:
    return cut(brief(value, 100), 40) if is_terminal() else brief(value, 100)
