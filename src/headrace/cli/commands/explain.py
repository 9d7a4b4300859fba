"""``headrace explain``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from headrace.cli.options import RunName, as_json, open_existing
from headrace.cli.output import Column, clean, heading, paragraph, print_facts, print_json, print_table, style

if TYPE_CHECKING:
    from headrace.model.records import RunRecord
    from headrace.services.explain import Comparison, Explanation
    from headrace.wiring import Scope

_HEX = 12


@click.command(name="explain")
@click.argument("name", type=RunName(parts=True), metavar="RUN[/STEP/N]")
@click.option("--with", "other", type=RunName(parts=True), metavar="RUN/STEP/N", help="The task to compare with.")
@as_json
def explain_command(name: str, other: str | None, json: bool) -> None:
    """Say why a task ran or was reused: each part of its key, and what differs from another task.

    Of a run, it says for each step how many of its tasks ran or were reused, and why.

    It is compared with the task given by --with, else with what an earlier session had in its place, else with the
    same task of the run before.

    With --json: an object with the keys task, state, verdict, reason, place, host, step, occurrence, inputs, code,
    code_parts, code_changed, environment, environment_label, key, cache_key, compared. Of a run: run, session,
    verdicts, steps.
    """
    from headrace.services.explain import explain_task
    from headrace.services.names import find_run, find_task, parse_name

    scope = open_existing()
    metadata = scope.metadata
    if not parse_name(name).step and other is None:
        _explain_run(find_run(metadata, scope.project, name), scope, json)
        return
    pairs = []
    for one in (name, other):
        if one is not None:
            run = find_run(metadata, scope.project, one)
            pairs.append((run, find_task(metadata, run, parse_name(one))))
    view = explain_task(metadata, scope.artifacts, *pairs[0], pairs[1] if len(pairs) > 1 else None)
    if json:
        print_json(view)
    else:
        is_off = pairs[0][0].dialect == "metaflow" and view.verdict == "ran" and not view.cache_key
        _print(view, " (`run --cache` would)" if is_off else "")


def _explain_run(run: RunRecord, scope: Scope, json: bool) -> None:
    from headrace.services.run_explanation import explain_run

    view = explain_run(scope.metadata, scope.artifacts, run)
    if json:
        print_json(view)
        return
    told = ", ".join(f"{count:,} {verdict}" for verdict, count in view.verdicts.items())
    click.echo(style(view.run, bold=True) + f": {told or 'it has no tasks'}\n")
    found = [(step.step, one) for step in view.steps for one in step.reasons]
    rows = [(step, f"{one.tasks:,}", one.verdict, one.reason, one.example) for step, one in found]
    names = (Column("STEP"), Column("TASKS", right=True), Column("VERDICT"), Column("WHY", flex=True), Column("TASK"))
    print_table(names, rows)
    for step in view.steps:
        if step.code_changed:
            click.echo(f"  {step.step}: changed {', '.join(step.code_changed)}")
        if step.looked_at < step.total:
            click.echo(f"  {step.step}: the first {step.looked_at:,} of {step.total:,} tasks were looked at")


def _print(view: Explanation, hint: str) -> None:
    said = f"{view.task} {_said(view.verdict)}"
    from headrace.model.workers import LOCAL

    where = f" It ran in place {view.place!r}, on {clean(view.host)}." if view.place not in ("", LOCAL) else ""
    text = paragraph(f"{said}: {clean(view.reason)}{hint}.{where}")
    click.echo(style(said, bold=True) + text[len(said) :] if text.startswith(said) else text)
    click.echo()
    heading("Its key in the run")
    rows = [("step", view.step, "")]
    rows += [(f"argument {one.name}", one.text or one.type or one.codec, one.digest[:_HEX]) for one in view.inputs]
    rows.append(("occurrence", f"{view.occurrence + 1} of equal calls", view.key[:_HEX]))
    print_table((Column("PART"), Column("VALUE", flex=True), Column("DIGEST")), rows, "  ")
    heading("\nWhat else decides whether a result is used again")
    changed = set(view.code_changed)
    code = [("code", _parts(len(view.code_parts)), view.code[:_HEX])]
    code += [("", name + (" (changed)" if name in changed else ""), d[:_HEX]) for name, d in view.code_parts.items()]
    environment = view.environment_label or "interpreter and packages of the run"
    code.append(("environment", environment, view.environment[:_HEX]))
    code.append(("cache", "off for this step" if not view.cache_key else "on", view.cache_key[:_HEX]))
    print_table((Column("PART"), Column("VALUE", flex=True), Column("DIGEST")), code, "  ")
    if view.compared is not None:
        _print_comparison(view.compared)


def _said(verdict: str) -> str:
    return {"cached": "came from the cache", "reused": "was reused", "not run": "did not run"}.get(
        verdict, "is left over" if verdict == "stale" else verdict
    )


def _parts(count: int) -> str:
    return f"the step and what it calls, {count} part{'s' * (count != 1)}:" if count else "the step and what it calls"


def _print_comparison(compared: Comparison) -> None:
    different = [one for one in compared.parts if not one.same]
    heading(f"\nCompared with {compared.task}")
    if not different:
        click.echo("  every part is the same")
        return
    rows = [(one.part, one.left, one.right) for one in different]
    print_table((Column("CHANGED"), Column("THERE", flex=True), Column("HERE", flex=True)), rows, "  ")
    for one in different:
        for detail in one.details:
            click.echo(f"    {one.part}: {detail}")
    same = [one.part for one in compared.parts if one.same]
    print_facts([("same", ", ".join(same))], "  ")
