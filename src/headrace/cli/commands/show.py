"""``headrace show``: a run, a step or a task."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import click

from headrace.cli.options import RunName, as_json, open_existing
from headrace.cli.output import (
    Column,
    bar,
    brief,
    clean_lines,
    cut,
    heading,
    is_terminal,
    moment,
    number,
    print_facts,
    print_json,
    print_table,
    print_traceback,
    style,
    tags_apart,
    tags_text,
    waiting_text,
)

if TYPE_CHECKING:
    from headrace.model.records import RunRecord
    from headrace.services.describe import ArtifactView, CodeView, MetricView, RunView, StepView
    from headrace.services.live_counts import RunningView
    from headrace.services.pods import PodEventView
    from headrace.services.tasks import TaskRow, TaskView
    from headrace.wiring import Scope

_FEW = 20
#: Tasks of a step on one page.
_PAGE = 100


@click.command(name="show")
@click.argument("name", type=RunName(parts=True), default="", metavar="[RUN[/STEP[/N]]]")
@click.option("--state", "states", multiple=True, metavar="S", help="Of a step: only tasks in this state; repeatable.")
@click.option("--after", type=click.IntRange(0), default=0, metavar="N", help="Of a step: only tasks above number N.")
@click.option("--limit", type=click.IntRange(0), metavar="N", help="Of a step: at most N tasks; 0: all.  [100]")
@as_json
def show_command(name: str, states: tuple[str, ...], after: int, limit: int | None, json: bool) -> None:
    """Show a run (default: the newest), a step's tasks or a task.

    Of a step with many tasks the first 100 are shown, with --json all; --after goes on from there, --state failed
    picks those that failed.

    Of a live run, steps count the tasks that wait, and what runs now is listed with its place, host and process. Tasks
    that ran when the run's process was killed are `lost`.

    With --json, a run is an object with the keys run, steps, running, metrics, artifacts, artifacts_size, failure,
    questions, environments, surroundings; a step is a list of tasks; a task an object with name, run, step, number,
    state, reused, inputs, outputs, attempts, parents, children, key and more.
    """
    from headrace.model.errors import UsageError
    from headrace.services.describe import describe_run
    from headrace.services.names import find_run, find_task, parse_name
    from headrace.services.run_rows import driver_of
    from headrace.services.tasks import describe_task

    parsed = parse_name(name)
    scope = open_existing()
    metadata = scope.metadata
    run = find_run(metadata, scope.project, name)
    if (states or after or limit is not None) and (not parsed.step or parsed.task is not None):
        raise UsageError(f"--state, --after and --limit are for the tasks of a step: headrace show {run.name}/STEP")
    if not parsed.step:
        view = describe_run(metadata, run, time.time())
        print_json(view) if json else _print_run(view)
    elif parsed.task is None:
        page = _Page(_known_states(states), after, (0 if json else _PAGE) if limit is None else limit)
        _show_step(scope, run, parsed.step, page, json=json)
    else:
        found = find_task(metadata, run, parsed)
        gone = driver_of(metadata, run) == "gone"
        task = describe_task(metadata, scope.artifacts, run, found, gone=gone)
        print_json(task) if json else _print_task(task, run.entry)


# --- a run --------------------------------------------------------------------------------------------------------


def _print_run(view: RunView) -> None:
    from headrace._base.sizes import format_duration
    from headrace.model.workers import LOCAL
    from headrace.services.run_rows import PENDING

    run = view.run
    if view.failure is not None:
        _print_failure(view)
    where = view.surroundings
    people, system = tags_apart(run.tags)
    commit = where.git_commit[:10] + (" with local changes" if where.git_dirty else "")
    print_facts(
        [
            ("run", run.name),
            ("state", PENDING if run.driver == PENDING else run.state),
            ("driver", waiting_text(run.waits_for, run.waits_seen) if run.driver == PENDING else ""),
            ("started", moment(run.started) + (f" (session {run.session})" if run.session > 1 else "")),
            ("took", "" if run.duration is None else format_duration(run.duration)),
            ("tags", tags_text(people)),
            ("system tags", tags_text(system)),
            ("file", where.entry.removesuffix(":")),
            ("code", _code(where.code)),
            ("command", " ".join(where.command)),
            ("by", f"{run.user}@{run.host}" if run.host else run.user),
            ("python", where.python + (f" with {where.packages} packages" if where.packages else "")),
            ("runs again", where.reproduces),
            ("place", "" if where.place == LOCAL else where.place),
            ("seed", "" if where.seed is None else str(where.seed)),
            ("git", commit if where.git_commit else ""),
            ("left out", "; ".join(f"{what}: {why}" for what, why in where.left_out.items())),
        ]
    )
    if run.params:
        heading("\nParameters")
        print_facts([(key, brief(value)) for key, value in run.params.items()], "  ")
    if view.steps:
        heading("\nSteps")
        _print_steps(view.steps)
    for step, labels in view.environments.items():
        click.echo(f"  {step} runs in {'; '.join(labels)}")
    if view.running:
        heading(f"\nRunning ({len(view.running)})")
        _print_running(view.running, run.name)
    _print_metrics(view.metrics)
    _print_artifacts(view.artifacts, run.name, all_of_it=view.artifacts_size is not None)
    _print_cards(view.artifacts, where.entry)
    for question in view.questions:
        heading("\nWaiting for an answer")
        click.echo(f"  {question.name}: {clean_lines(question.prompt)}".rstrip(": "))
        click.echo(f"  headrace answer {run.name} {question.name} VALUE")
    if run.state == "crashed":
        click.echo(f"\nThe process that drove it is gone; go on with: headrace resume {run.name}")


def _code(code: CodeView | None) -> str:
    from headrace._base.sizes import format_size

    if code is None:
        return ""
    return f"{code.digest[:12]}, {code.files} {'file' if code.files == 1 else 'files'}, {format_size(code.size)}"


def _print_failure(view: RunView) -> None:
    failure = view.failure
    assert failure is not None
    if failure.traceback:
        print_traceback(failure.traceback, failure.task or view.run.name)
    of = f"{failure.task} failed" if failure.task else f"{view.run.name} {view.run.state}"
    tries = f" after {failure.attempts} attempts" if failure.attempts > 1 else ""
    click.echo(style(f"{of}{tries}: {clean_lines(failure.error)}", fg="red", bold=True))
    if failure.task:
        click.echo(f"Look into it: {failure.debug}")
    click.echo()


def _print_steps(steps: list[StepView]) -> None:
    from headrace._base.sizes import format_duration

    rows = []
    for one in steps:
        others = [f"{count} {state}" for state, count in one.counts.items() if state != "succeeded"]
        if one.reused:
            others.insert(0, f"{one.reused} reused")
        took = "" if one.duration is None else format_duration(one.duration)
        name = f"{one.step} ({clean_lines(one.title)})" if one.title else one.step
        rows.append((name, bar(one.done, one.total, 12), f"{one.done}/{one.total}", took, ", ".join(others)))
    columns = (
        Column("STEP", flex=True),
        Column("DONE"),
        Column("", right=True),
        Column("TOOK", right=True),
        Column("OTHERS", flex=True),
    )
    print_table(columns, rows, "  ")
    for one in steps:
        if one.waits_for:
            click.echo(f"  {one.step} waits: {clean_lines(one.waits_for)}")


def _print_running(running: list[RunningView], run: str) -> None:
    from headrace._base.sizes import format_duration

    rows = [
        (
            one.task.removeprefix(f"{run}/"),
            str(one.attempt),
            moment(one.started),
            format_duration(one.duration),
            one.place,
            f"{one.host}:{one.pid}",
        )
        for one in running[:_FEW]
    ]
    columns = (
        Column("TASK", flex=True),
        Column("ATTEMPT", right=True),
        Column("SINCE"),
        Column("FOR", right=True),
        Column("PLACE"),
        Column("WORKER"),
    )
    print_table(columns, rows, "  ")
    if len(running) > _FEW:
        click.echo(f"  ... and {len(running) - _FEW} more")


def _print_metrics(metrics: list[MetricView]) -> None:
    if not metrics:
        return
    heading("\nMetrics")
    columns = (Column("NAME", flex=True), *(Column(name, right=True) for name in ("LAST", "MIN", "MAX", "POINTS")))
    rows = [(one.name, number(one.last), number(one.min), number(one.max), str(one.count)) for one in metrics]
    print_table(columns, rows, "  ")


def _print_artifacts(artifacts: list[ArtifactView], run: str, *, all_of_it: bool) -> None:
    from headrace._base.sizes import format_size

    artifacts = [one for one in artifacts if is_for_people(one)]
    if not artifacts:
        return
    total = f", {format_size(sum(one.size for one in artifacts))}" if all_of_it else ""
    heading(f"\nArtifacts ({len(artifacts)}{total})")
    shown = artifacts[:_FEW]
    print_table(ARTIFACT_COLUMNS, [artifact_cells(one, run) for one in shown], "  ")
    if len(artifacts) > len(shown):
        click.echo(f"  ... and {len(artifacts) - len(shown)} more: headrace artifacts {run}")
    elif not all_of_it:
        click.echo(f"  ... and the outputs of its tasks: headrace artifacts {run}")


def _print_cards(artifacts: list[ArtifactView], entry: str) -> None:
    """Which cards tasks of a Metaflow flow have, and how to open them."""
    cards = [one for one in artifacts if one.type == "card"]
    if not cards:
        return
    heading(f"\nCards ({len(cards)})")
    tasks = {one.task.partition("/")[2]: None for one in cards}
    file = entry.rpartition(":")[0].rpartition("/")[2]
    for task in list(tasks)[:_FEW]:
        kinds = ", ".join(one.text.rpartition("-")[0] for one in cards if one.task.endswith("/" + task))
        click.echo(f"  {kinds}: python {file} card view {task}")
    if len(tasks) > _FEW:
        click.echo(f"  ... and those of {len(tasks) - _FEW} more tasks")


def is_for_people(one: ArtifactView) -> bool:
    """Whether it is more than a note that a dialect made for itself."""
    return not one.name.startswith("_")


ARTIFACT_COLUMNS = (
    Column("ARTIFACT", flex=True),
    Column("TYPE", flex=True),
    Column("SIZE", right=True),
    Column("VALUE", flex=True),
)


def artifact_cells(one: ArtifactView, run: str) -> tuple[str, ...]:
    """An artifact as a row of ``ARTIFACT_COLUMNS``; names are relative to ``run``."""
    from headrace._base.sizes import format_size

    name = f"{one.task}/{one.name}".removeprefix(run + "/")
    value = one.text or ", ".join(f"{label} {fact}" for label, fact in one.facts.items())
    return name, one.type.removeprefix("builtins."), format_size(one.size), cut(value, 100) if is_terminal() else value


# --- a step -------------------------------------------------------------------------------------------------------


class _Page(NamedTuple):
    """Which tasks of a step to show: in ``states`` (none: any), above number ``after``, ``limit`` of them (0: all)."""

    states: tuple[str, ...]
    after: int
    limit: int


def _known_states(states: tuple[str, ...]) -> tuple[str, ...]:
    from headrace.model.errors import UsageError
    from headrace.model.states import TaskState

    for state in states:
        if state not in list(TaskState):
            raise UsageError(f"unknown task state {state!r}; known states: {', '.join(TaskState)}")
    return states


def _show_step(scope: Scope, run: RunRecord, step: str, page: _Page, *, json: bool) -> None:
    from headrace.services.names import find_step
    from headrace.services.run_rows import driver_of
    from headrace.services.tasks import task_rows

    limit = page.limit + 1 if page.limit else 0  # one more tells whether there are more
    found = find_step(scope.metadata, run, step, states=page.states, after=page.after, limit=limit)
    more = bool(page.limit) and len(found) > page.limit
    gone = driver_of(scope.metadata, run) == "gone"
    rows = task_rows(run, found[: page.limit] if more else found, gone=gone)
    if json:
        print_json(rows)
        return
    if not rows:
        click.echo(f"No tasks of {run.name}/{step} match.", err=True)
        return
    _print_rows(rows)
    if more:
        counts = {one.state: one.count for one in scope.metadata.step_counts(run.id) if one.step == step}
        listed = ", ".join(f"{count:,} {state}" for state, count in counts.items())
        again = f"headrace show {run.name}/{step}" + "".join(f" --state {state}" for state in page.states)
        click.echo(
            f"... {sum(counts.values()):,} tasks in all ({listed}); next page: {again} --after {rows[-1].number}"
        )


def _print_rows(rows: list[TaskRow]) -> None:
    from headrace._base.sizes import format_duration

    columns = (
        Column("TASK"),
        Column("STATE", state=True),
        Column("STARTED"),
        Column("TOOK", right=True),
        Column("TRIES", right=True),
        Column("ERROR", flex=True),
    )
    cells = [
        (
            one.name,
            "reused" if one.reused else one.state,
            moment(one.started),
            "" if one.duration is None else format_duration(one.duration),
            str(one.attempts),
            one.error,
        )
        for one in rows
    ]
    print_table(columns, cells)


# --- a task -------------------------------------------------------------------------------------------------------


def _print_task(task: TaskView, entry: str) -> None:
    from headrace._base.sizes import format_duration, format_size

    if task.error and task.attempts and task.attempts[-1].traceback:
        print_traceback(task.attempts[-1].traceback, task.name)
    origin = f" from {task.reused_from}" if task.reused_from else " from an earlier session" if task.reused else ""
    print_facts(
        [
            ("task", task.name),
            ("state", task.state + (f", reused{origin}" if task.reused else "")),
            ("error", task.error),
            ("started", moment(task.started)),
            ("took", "" if task.duration is None else format_duration(task.duration)),
            ("cpu", format_duration(task.cpu_seconds) if task.attempts else ""),
            ("memory", format_size(task.peak_memory) if task.peak_memory else ""),
            ("environment", task.environment_label),
            ("tags", " ".join(task.tags)),
            ("needs", ", ".join(task.parents)),
            ("used by", ", ".join(task.children)),
        ]
    )
    if task.inputs:
        heading("\nInputs")
        rows = [
            (
                one.name,
                one.text or one.type or one.codec.removesuffix("-canonical"),
                format_size(one.size),
                _source(one.sources, task.run),
            )
            for one in task.inputs
        ]
        columns = (Column("NAME"), Column("VALUE", flex=True), Column("SIZE", right=True), Column("FROM", flex=True))
        print_table(columns, rows, "  ")
    if outputs := [one for one in task.outputs if is_for_people(one)]:
        heading("\nOutputs")
        for artifact in outputs:
            _print_output(artifact)
    _print_cards(task.outputs, entry)
    _print_metrics(task.metrics)
    if task.attempts:
        heading("\nAttempts")
        _print_attempts(task)


def _source(sources: list[str], run: str) -> str:
    short = [source.removeprefix(run + "/") for source in sources]
    return ", ".join(short[:3]) + (f", ... ({len(short)})" if len(short) > 3 else "")


def _print_output(one: ArtifactView) -> None:
    from headrace._base.sizes import format_size

    of_columns = _of_columns(one)
    facts = "".join(f", {label} {fact}" for label, fact in one.facts.items() if not of_columns or " " not in label)
    click.echo(f"  {one.name}: {one.type.removeprefix('builtins.')}, {format_size(one.size)}{clean_lines(facts)}")
    if of_columns:
        print_table((Column("COLUMN", flex=True), Column("DTYPE"), Column("RANGE", flex=True)), of_columns, "    ")
    if one.table:
        click.echo()
        print_table(
            [Column(name, flex=True) for name in one.table[0]],
            [[_tidy(cell) for cell in row] for row in one.table[1:]],
            "    ",
        )
    elif one.text:
        for line in clean_lines(one.text).splitlines()[:_FEW]:
            click.echo(f"    {line}")


def _of_columns(one: ArtifactView) -> list[tuple[str, str, str]]:
    """What is known of each column of a frame: its name, its type, the range of its numbers."""
    found = []
    for label, fact in one.facts.items():
        kind, _, name = label.partition(" ")
        if kind == "dtype" and name:
            found.append((name, fact, one.facts.get(f"range {name}", "")))
    return found


def _tidy(cell: str) -> str:
    """A number of a frame with as many digits as one reads."""
    if len(cell) < 10 or "." not in cell:
        return cell
    try:
        return f"{float(cell):.6g}"
    except ValueError:
        return cell


def _print_attempts(task: TaskView) -> None:
    from headrace._base.sizes import format_duration, format_size

    columns = (
        Column("N", right=True),
        Column("STATE", state=True),
        Column("STARTED"),
        Column("TOOK", right=True),
        Column("CPU", right=True),
        Column("MEMORY", right=True),
        Column("PLACE"),
        Column("WORKER"),
        Column("ERROR", flex=True),
    )
    rows = [
        (
            str(one.attempt),
            one.state,
            moment(one.started),
            "" if one.duration is None else format_duration(one.duration),
            format_duration(one.cpu_seconds),
            format_size(one.peak_memory) if one.peak_memory else "",
            one.place,
            f"{one.host}:{one.pid}" if one.pid else "",
            one.error,
        )
        for one in task.attempts
    ]
    print_table(columns, rows, "  ")
    for name, pod in {one.pod.name: one.pod for one in task.attempts if one.pod is not None}.items():
        heading(f"\nPod {name}")
        print_facts([("node", pod.node), ("image", pod.image), ("created", moment(pod.created))], "  ")
        told = [(moment(event.time), _told(event)) for event in pod.events]
        print_table((Column("WHEN"), Column("WHAT", flex=True)), told, "  ")


def _told(event: PodEventView) -> str:
    return clean_lines(event.text) + (f" ({event.count} times)" if event.count > 1 else "")
