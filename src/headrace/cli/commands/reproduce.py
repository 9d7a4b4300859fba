"""``headrace reproduce``."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from headrace.cli.flowargs import Options
from headrace.cli.options import RunName, as_json, open_existing
from headrace.cli.output import Column, clean, heading, print_json, print_table, style

if TYPE_CHECKING:
    from headrace.model.records import RunRecord
    from headrace.services.reproduction import ArtifactComparison, Gap, Reproduction
    from headrace.services.session import Reproduces
    from headrace.wiring import Scope

_HEX = 12
#: Artifacts that are listed one by one; of more, those that differ.
_LISTED = 40
_DIFFERENT = 20
_VERDICTS = {
    "equal": "equal",
    "differs": "differs, with equal inputs",
    "follows": "differs, as its inputs do",
    "missing": "did not run",
}
_EQUAL, _DIFFERS, _INTERRUPTED = 0, 1, 130


@click.command(name="reproduce")
@click.argument("name", type=RunName(parts=True), metavar="RUN[/STEP[/N]]")
@click.option("--on", "place", metavar="PLACE", default="", help="Where tasks run whose step names no place.")
@click.option("--verify", is_flag=True, help="If all is equal, tag the run: reproduced=NEW-RUN.")
@click.option("--max-parallel", metavar="N", help="At most N tasks at once; default: as many as the machine holds.")
@click.option("--quiet", is_flag=True, help="Do not show the run as it goes.")
@as_json
def reproduce_command(name: str, place: str, verify: bool, max_parallel: str | None, quiet: bool, json: bool) -> int:
    """Run RUN again as it is recorded, as a run of its own, and compare what both made.

    Its code, parameters, seed and environments are those that the run kept; the cache answers nothing. With a step or
    task, that runs again with its recorded inputs, and everything before it is taken over. What the record lacks to
    reproduce the run is said before it starts.

    Artifacts are compared by digest. Of those that differ, the values are loaded: numbers and arrays are compared by
    the largest difference, frames by cells, text by line, models by attribute.

    With --json: an object with the keys original, run, equal, first, state_before, state, artifacts, steps, gaps,
    verified.

    Exit codes: 0 all is equal, 1 something differs or cannot be run again, 2 wrong usage, 130 interrupted.
    """
    from headrace.client import reproduction as client
    from headrace.model.errors import UsageError
    from headrace.services import reproduction
    from headrace.services.names import find_run, parse_name

    parsed = parse_name(name)
    scope = open_existing()
    record = find_run(scope.metadata, scope.project, name)
    origin = reproduction.what_to_run(scope.metadata, record, parsed)
    if verify and origin.part:
        raise UsageError(f"--verify marks a whole run, and {origin.name} is a part of one; leave the step or task out")
    options = Options()
    options.summary = False
    options.on = place
    if max_parallel is not None:
        options.take("max-parallel", max_parallel)
    options.flags |= {flag for flag, on in {"quiet": quiet, "json": json}.items() if on}
    known = reproduction.gaps(scope.metadata, scope.artifacts, record)
    if not place:
        options.on, lacking = reproduction.place_of(record, [one.name for one in scope.settings.places])
        known += lacking
    reproduction.build_environments(scope.metadata, scope.artifacts, origin, scope.workspace.environments)
    os.environ.update(client.variables_of(scope))  # the folder may change
    with _folder_of(record, known):
        _tell(origin, known)
        run = _run(scope, origin, options)
        if run is None:
            return _INTERRUPTED
        found = client.compare(scope, origin, run, known, verify=verify)
    if json:
        print_json(found)
    else:
        _print(found, verify=verify)
    return _EQUAL if found.equal else _DIFFERS


@contextlib.contextmanager
def _folder_of(record: RunRecord, known: list[Gap]) -> Iterator[None]:
    """Work in the folder in which the run was started, which relative paths begin at; a gap if it is gone."""
    from headrace.services.describe import details_of
    from headrace.services.reproduction import Gap

    before, folder = os.getcwd(), details_of(record).cwd  # noqa: PTH109
    try:
        if folder and folder != before:
            os.chdir(folder)
    except OSError:
        known.append(Gap(kind="folder", text=f"the folder {folder} is not here, and relative paths begin at {before}"))
    try:
        yield
    finally:
        os.chdir(before)


def _tell(origin: Reproduces, known: list[Gap]) -> None:
    """Say what the record lacks."""
    for gap in known:
        click.echo(f"headrace: {origin.run.name}: {gap.kind}: {clean(gap.text)}", err=True)


def _run(scope: Scope, origin: Reproduces, options: Options) -> RunRecord | None:
    """Run it; the new run, or None if it was interrupted."""
    if origin.run.dialect == "metaflow":
        return _run_metaflow(scope, origin, options)
    from headrace.cli.summary import drive
    from headrace.frontends.native.launch import Ended
    from headrace.frontends.native.reproduce import reproduce_run

    ended: list[Ended] = []

    def start() -> Ended:
        if origin.run.dialect == "kfp":
            from headrace.cli.kfpfile import reproduce_pipeline

            ended.append(reproduce_pipeline(scope, origin, options))
        else:
            ended.append(reproduce_run(origin, options.launch(scope)))
        return ended[0]

    drive(start, options)
    return scope.metadata.run_by_id(ended[0].run.id) if ended else None


def _run_metaflow(scope: Scope, origin: Reproduces, options: Options) -> RunRecord | None:
    """``python flow.py resume`` with what the run was told, as a run of its own that takes over nothing."""
    from headrace.cli.metaflowfile import recorded_file, run_beside
    from headrace.client.source import RunReader
    from headrace.frontends.metaflow.client.runfacts import facts_of
    from headrace.frontends.metaflow.commands.word_order import ANY_ORDER
    from headrace.model.errors import FlowLoadError
    from headrace.services.session import recorded_details

    run = origin.run
    seed = recorded_details(run).seed
    words = [ANY_ORDER, *(["--quiet"] if options.quiet else [])]
    words += ["resume", f"--origin-run-id={run.number}", f"--reproduce-recorded={origin.part or 'all'}"]
    words += facts_of(RunReader(scope, run, complete=True)).words
    words += [f"--run-on={options.on}"] if options.on else []
    words += [] if seed is None else [f"--run-seed={seed}"]
    words += [f"--max-workers={options.max_parallel}"] if options.max_parallel else []
    words += [f"--run-on={options.on}"] if options.on else []
    code, facts = run_beside(recorded_file(scope, run), words, stdout=2 if options.json else None)
    if code == _INTERRUPTED:
        return None
    if facts is None:
        raise FlowLoadError(f"{run.name} was not run again; the lines above say why")
    found = scope.metadata.run(run.flow, int(facts["run_id"]), scope.project)
    return None if found is None else scope.metadata.run_by_id(found.id)


# --- what is said -------------------------------------------------------------------------------------------------


def _print(found: Reproduction, *, verify: bool) -> None:
    heading(f"{found.run} runs {found.original} again")
    rows = [
        (one.step, str(one.tasks), str(one.artifacts), str(one.equal), _VERDICTS[one.verdict]) for one in found.steps
    ]
    right = [Column(name, right=True) for name in ("TASKS", "ARTIFACTS", "EQUAL")]
    if rows:
        print_table((Column("STEP", flex=True), *right, Column("")), rows, "  ")
        click.echo()
    shown = found.artifacts if len(found.artifacts) <= _LISTED else found.differences
    _print_artifacts(found, shown)
    _print_conclusion(found, verify=verify)
    sys.stdout.flush()


def _print_artifacts(found: Reproduction, shown: list[ArtifactComparison]) -> None:
    if not shown:
        return
    columns = (Column("ARTIFACT", flex=True), Column("BEFORE"), Column("NOW"), Column(""))
    rows = [
        (_short(found, one), one.before[:_HEX] or "-", one.now[:_HEX] or "-", "same" if one.equal else "differs")
        for one in shown
    ]
    print_table(columns, rows, "  ")
    told = [one for one in shown if one.how]
    for one in told[:_DIFFERENT]:
        click.echo(f"  {_short(found, one)} ({clean(one.type)}):")
        for line in one.how:
            click.echo(f"    {clean(line)}")
    if len(told) > _DIFFERENT:
        click.echo(f"  ... and {len(told) - _DIFFERENT} more: --json has all")
    click.echo()


def _short(found: Reproduction, one: ArtifactComparison) -> str:
    run = "/".join(found.original.split("/")[:2])
    return f"{one.task}/{one.name}".removeprefix(f"{run}/")


def _print_conclusion(found: Reproduction, *, verify: bool) -> None:
    count = len(found.artifacts)
    if found.equal:
        said = f"Reproduced: {count} artifact{'s' * (count != 1)}, all equal."
        click.echo(style(said, fg="green", bold=True))
        if verify and found.verified:
            click.echo(f"Tagged: {found.original} reproduced={found.run}")
        return
    other = len(found.differences)
    said = f"Not reproduced: {other} of {count} artifact{'s' * (count != 1)} differ{'s' * (other == 1)}"
    if found.state != found.state_before and found.original.count("/") == 1:
        said += f"; the run {found.state_before} before and {found.state} now"
    click.echo(style(f"{said}.", fg="red", bold=True))
    if found.first:
        click.echo(f"The first to differ is {found.first}: its inputs were equal, and what came of them was not.")
    missing = [one for step in found.steps for one in step.missing]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        click.echo(f"Not run: {', '.join(missing[:5])}{more}")
