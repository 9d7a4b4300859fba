"""One run as a whole: its steps with counts, metrics, artifacts, what failed, what it waits for, where it ran."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from headrace._base.texts import ERROR_LINE, shorten
from headrace.model.errors import StoreDamagedError
from headrace.model.records import (
    FLOW_TASK,
    UNLISTED,
    ArtifactRecord,
    AttemptRecord,
    RunDetails,
    RunRecord,
    TaskId,
    TaskRecord,
)
from headrace.model.states import TaskState
from headrace.services.environments.records import labels_of
from headrace.services.live_counts import RunningView, StepTotals, running_attempts, totals_of, waits_of
from headrace.services.names import read_task, task_name
from headrace.services.pods import pod_of
from headrace.services.run_rows import RunRow, driver_of, rows_of
from headrace.services.tracebacks import users_frames
from headrace.stores.metadata.protocol import MetadataStore, StepCount

_OPEN = (TaskState.WAITING, TaskState.READY, TaskState.RUNNING, TaskState.DELAYED)
#: Of a larger run, steps come without times and artifacts without sizes: those need every row.
ALL_ROWS = 5_000


class StepView(msgspec.Struct, frozen=True, kw_only=True):
    """A step of a run: tasks by state, those included that wait or run; times over all tasks, None in a very large run.

    In a run whose driver was killed, tasks that ran then are ``lost``. ``title``: how people call the step, where that
    is another name. Tasks whose worker is not up yet are ``ready``; ``waits_for`` says what such a worker waits for: a
    node with room for its pod, for instance.
    """

    step: str
    title: str = ""
    total: int
    done: int
    counts: dict[str, int]
    reused: int | None
    started: float | None
    finished: float | None
    duration: float | None
    waits_for: str = ""


class ArtifactView(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact as it may be shown without loading it; ``digest`` is hexadecimal, ``size`` bytes."""

    name: str
    task: str
    kind: str
    type: str
    text: str
    facts: dict[str, str]
    table: tuple[tuple[str, ...], ...]
    codec: str
    size: int
    digest: str
    created: float


class MetricView(msgspec.Struct, frozen=True, kw_only=True):
    """A metric over the whole run; ``step`` is that of the last point."""

    name: str
    last: float
    min: float
    max: float
    count: int
    step: int


class FailureView(msgspec.Struct, frozen=True, kw_only=True):
    """Why a run or task failed: ``error`` is one line, ``traceback`` has the user's frames only; ``debug`` is the
    command that looks into the task, in a pod where it ran in one."""

    task: str
    error: str
    traceback: str
    failure: str
    attempts: int
    debug: str = ""


class QuestionView(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that a run waits for; ``until``: when it stops to."""

    name: str
    prompt: str
    created: float
    until: float | None


class CodeView(msgspec.Struct, frozen=True, kw_only=True):
    """The code package of a run: its digest, where the flow is in it, how many files and bytes it has."""

    digest: str
    entry: str
    files: int
    size: int


class SurroundingsView(msgspec.Struct, frozen=True, kw_only=True):
    """Where and from what a run was made. ``sources`` are the files that runs kept before there were code packages.

    ``reproduces`` names what the run ran again, if it did.
    """

    entry: str
    command: list[str]
    cwd: str
    python: str
    platform: str
    packages: int
    sources: list[str]
    code: CodeView | None
    seed: int | None
    place: str
    git_commit: str
    git_dirty: bool
    left_out: dict[str, str]
    reproduces: str = ""


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of a run at a glance. ``artifacts``: the result and what was logged, and the outputs of tasks.

    ``environments``: those that steps have of their own, by step.
    """

    run: RunRow
    steps: list[StepView]
    running: list[RunningView]
    metrics: list[MetricView]
    artifacts: list[ArtifactView]
    artifacts_size: int | None
    failure: FailureView | None
    questions: list[QuestionView]
    environments: dict[str, list[str]]
    surroundings: SurroundingsView


def describe_run(metadata: MetadataStore, run: RunRecord, now: float) -> RunView:
    """All of ``run``, which must have its details (``run_by_id``)."""
    counts = metadata.step_counts(run.id)
    small = sum(one.count for one in counts) <= ALL_ROWS
    records = metadata.artifacts(run.id) if small else metadata.artifacts(run.id, FLOW_TASK)
    shown = [view_artifact(run, one) for one in records if one.kind not in UNLISTED]
    return RunView(
        run=rows_of(metadata, [run], now)[0],
        steps=steps_of(metadata, run, now, counts),
        running=running_attempts(metadata, run, now) if driver_of(metadata, run) not in ("", "gone") else [],
        metrics=[
            MetricView(name=m.name, last=m.last, min=m.min, max=m.max, count=m.count, step=m.step)
            for m in metadata.metric_summaries([run.id])
        ],
        artifacts=shown,
        artifacts_size=sum(one.size for one in shown) if small else None,
        failure=failure_of(metadata, run),
        questions=open_questions(metadata, run.id, now),
        environments=labels_of(records if small else _facts(metadata, run.id, counts)),
        surroundings=surroundings_of(run),
    )


def _facts(metadata: MetadataStore, run_id: int, counts: Iterable[StepCount]) -> Iterator[ArtifactRecord]:
    for step in dict.fromkeys(one.step for one in counts):
        yield from metadata.artifacts(run_id, TaskId(step, 0))


def steps_of(
    metadata: MetadataStore, run: RunRecord, now: float, counts: list[StepCount] | None = None
) -> list[StepView]:
    """The steps of a run in the order of their first task; ``counts`` as ``step_counts`` says, if the caller has it."""
    totals = totals_of(metadata, run, gone=driver_of(metadata, run) == "gone", recorded_counts=counts)
    tasks: dict[str, list[TaskRecord]] = {}
    small = sum(one.total for one in totals.values()) <= ALL_ROWS
    for task in metadata.tasks(run.id) if small else ():
        tasks.setdefault(task.step, []).append(task)
    titles = details_of(run).titles
    waits = waits_of(metadata, run)
    views = [_view_step(run, step, one, tasks.get(step, []) if small else None, now) for step, one in totals.items()]
    return [
        msgspec.structs.replace(one, title=titles.get(one.step, ""), waits_for=waits.get(one.step, ""))
        if one.step in titles or one.step in waits
        else one
        for one in views
    ]


def _view_step(run: RunRecord, step: str, totals: StepTotals, tasks: list[TaskRecord] | None, now: float) -> StepView:
    counts = totals.counts
    called = [task for task in tasks or () if task.state is not TaskState.STALE]
    begun = [task.started for task in called if task.started is not None]
    ended = [task.finished for task in called if task.finished is not None]
    open_ = any(counts.get(state) for state in _OPEN)
    started = min(begun, default=None)
    finished = max(ended, default=None) if not open_ else None
    duration = None
    if started is not None and tasks is not None:
        until = finished if finished is not None else (run.finished or now)
        duration = max(0.0, until - started)
    return StepView(
        step=step,
        total=totals.total,
        done=counts.get(TaskState.SUCCEEDED, 0),
        counts=counts,
        reused=None if tasks is None else sum(was_reused(run, task) for task in tasks),
        started=started,
        finished=finished,
        duration=duration,
    )


def was_reused(run: RunRecord, task: TaskRecord) -> bool:
    """Whether the last session of ``run`` took this task's outputs from elsewhere instead of running it."""
    if task.state is not TaskState.SUCCEEDED:
        return False
    return bool(task.reused_from) or (run.session > 1 and (task.finished or 0.0) < run.started)


def view_artifact(run: RunRecord, record: ArtifactRecord) -> ArtifactView:
    """An artifact for showing."""
    return ArtifactView(
        name=record.name,
        task=task_name(run, TaskId(record.step, record.number)),
        kind=record.kind,
        type=record.preview.type,
        text=record.preview.text,
        facts=dict(record.preview.facts),
        table=record.preview.table,
        codec=record.value.codec,
        size=record.value.size,
        digest=record.value.digest.hex(),
        created=record.created,
    )


def failure_of(metadata: MetadataStore, run: RunRecord) -> FailureView | None:
    """Why the run failed; of a failed task, the traceback of its last attempt."""
    if not run.error:
        return None
    error, traceback, failure, count, debug = run.error, run.traceback, "", 0, ""
    if run.failed_task:
        step, _, number = run.failed_task.rpartition("/")
        task = FLOW_TASK if (known := read_task(number)) is None else TaskId(step, known)
        attempts = metadata.attempts(run.id, task)
        count, debug = len(attempts), _debug_command(metadata, run, attempts)
        if attempts:
            traceback = attempts[-1].traceback or traceback
            failure = attempts[-1].failure
            error = attempts[-1].error or error
    return FailureView(
        task=f"{run.name}/{run.failed_task}" if run.failed_task else "",
        error=shorten(error, ERROR_LINE),
        traceback=users_frames(traceback),
        failure=failure,
        attempts=count,
        debug=debug,
    )


def _debug_command(metadata: MetadataStore, run: RunRecord, attempts: Sequence[AttemptRecord]) -> str:
    """The command that looks into the task with these attempts which failed the run: where the last one was."""
    in_pod = attempts and pod_of(metadata, attempts[-1]) is not None
    return f"headrace debug {run.name}/{run.failed_task}" + (f" --on {attempts[-1].place}" if in_pod else "")


def open_questions(metadata: MetadataStore, run_id: int, now: float) -> list[QuestionView]:
    """What the run waits to be told."""
    return [
        QuestionView(name=wait.name, prompt=wait.prompt, created=wait.created, until=wait.until)
        for wait in metadata.waits(run_id)
        if wait.kind == "answer" and not wait.done and (wait.until is None or wait.until > now)
    ]


def details_of(run: RunRecord) -> RunDetails:
    """The surroundings a run recorded; empty ones when it died before it did.

    Raises:
        StoreDamagedError: they cannot be read.
    """
    if not run.details:
        return RunDetails()
    try:
        return msgspec.msgpack.decode(run.details, type=RunDetails)
    except msgspec.DecodeError as error:
        raise StoreDamagedError(f"what {run.name} recorded of its surroundings cannot be read: {error}") from error


def surroundings_of(run: RunRecord) -> SurroundingsView:
    """Where and from what ``run`` was made."""
    details = details_of(run)
    return SurroundingsView(
        entry=run.entry,
        command=list(details.argv),
        cwd=details.cwd,
        python=details.python,
        platform=details.platform,
        packages=len(details.packages),
        sources=list(details.sources),
        code=None
        if details.code is None
        else CodeView(
            digest=details.code.package.hex,
            entry=details.code.entry,
            files=details.code.files,
            size=details.code.size,
        ),
        seed=details.seed,
        place=details.place,
        git_commit=run.git_commit,
        git_dirty=run.git_dirty,
        left_out=details.left_out,
        reproduces=details.reproduces,
    )
