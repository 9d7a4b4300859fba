"""``headrace diff``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from headrace.cli.options import RunName, as_json, open_existing
from headrace.cli.output import Column, brief, colours, heading, number, print_json, print_table, style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.services.run_diff import Change, RunDiff

_FEW = 20


@click.command(name="diff")
@click.argument("left", type=RunName(), metavar="RUN")
@click.argument("right", type=RunName(), metavar="RUN")
@click.option("--code", is_flag=True, help="Show what the source files differ in.")
@as_json
def diff_command(left: str, right: str, code: bool, json: bool) -> None:
    """Compare two runs: parameters, code, packages, metrics, and what each step made, by digest.

    With --json: an object with the keys left, right, facts, params, files, packages, metrics, steps, outputs, result.
    """
    from headrace.model.errors import UsageError
    from headrace.services.names import find_run, parse_name
    from headrace.services.run_diff import compare_runs, source_diff

    for name in (left, right):
        if parse_name(name).step:
            raise UsageError(
                f"diff compares runs; {name!r} is a part of one. To compare tasks: headrace explain {name}"
            )
    scope = open_existing()
    runs = [find_run(scope.metadata, scope.project, name) for name in (left, right)]
    view = compare_runs(scope.metadata, scope.artifacts, *runs)
    if json:
        print_json(view)
        return
    _print(view, has_results=any(run.dialect == "native" for run in runs))
    if code:
        _print_code(source_diff(scope.artifacts, *runs))


def _print(view: RunDiff, *, has_results: bool) -> None:
    parts: list[tuple[str, Sequence[Change]]] = [
        ("Run", view.facts),
        ("Parameters", view.params),
        ("Source files", view.files),
        ("Packages", view.packages),
    ]
    for title, changes in parts:
        if changes:
            _print_changes(title, view, changes)
    if view.metrics:
        heading("Metrics")
        rows = [
            (one.name, _number(one.left), _number(one.right), "" if one.change is None else f"{one.change:+.6g}")
            for one in view.metrics
        ]
        right = (Column(view.left, right=True), Column(view.right, right=True), Column("CHANGE", right=True))
        print_table((Column(""), *right), rows, "  ")
        click.echo()
    if view.steps:
        _print_steps(view)
    if view.outputs:
        _print_changes("Outputs of steps with one task", view, view.outputs)
    if view.result == "missing" and not has_results:
        return
    what = {"same": "The results are the same.", "different": "The results differ."}
    click.echo(what.get(view.result, "Not both runs have a result."))


def _print_steps(view: RunDiff) -> None:
    heading("Steps")
    columns = (
        Column("STEP", flex=True),
        Column(view.left, right=True),
        Column(view.right, right=True),
        Column("SAME INPUTS", right=True),
        Column("SAME OUTPUTS", right=True),
        Column("CODE"),
    )
    rows = [
        (
            one.step,
            str(one.left),
            str(one.right),
            str(one.equal_inputs),
            str(one.equal_outputs),
            "not known" if one.code_changed is None else "changed" if one.code_changed else "",
        )
        for one in view.steps
    ]
    print_table(columns, rows, "  ")
    for one in view.steps:
        if one.different:
            more = f" and {len(one.different) - 5} more" if len(one.different) > 5 else ""
            click.echo(f"  same inputs, other outputs: {', '.join(one.different[:5])}{more}")
    for one in view.steps:
        if one.environment:
            more = f" and {len(one.environment) - _FEW} more" if len(one.environment) > _FEW else ""
            click.echo(f"  environment of {one.step}: {', '.join(one.environment[:_FEW])}{more}")
    click.echo()


def _print_changes(title: str, view: RunDiff, changes: Sequence[Change]) -> None:
    heading(title)
    columns = (Column(""), Column(view.left, flex=True), Column(view.right, flex=True))
    print_table(columns, [(one.name, _side(one.left), _side(one.right)) for one in changes[:_FEW]], "  ")
    if len(changes) > _FEW:
        click.echo(f"  ... and {len(changes) - _FEW} more: --json has all")
    click.echo()


def _side(text: str | None) -> str:
    return "-" if text is None else brief(text)


def _number(value: float | None) -> str:
    return "-" if value is None else number(value)


def _print_code(text: str) -> None:
    click.echo()
    for line in text.splitlines():
        colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
        click.echo(style(line, fg=colour) if colour and colours() else line)
