"""One task: its inputs and outputs, attempts, cost, and where its data came from and went."""

from __future__ import annotations

import msgspec

from headrace.identity.keys import input_digest
from headrace.model.records import ArtifactRecord, AttemptRecord, Input, RunRecord, TaskId, TaskRecord
from headrace.model.states import AttemptState, TaskState
from headrace.model.values import Packed
from headrace.services.describe import ArtifactView, MetricView, view_artifact, was_reused
from headrace.services.environments.records import labels_of
from headrace.services.live_counts import LOST
from headrace.services.names import task_name
from headrace.services.pods import PodView, pod_of
from headrace.services.tracebacks import users_frames
from headrace.stores import codecs
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.metadata.protocol import MetadataStore

#: Values in these formats are read without running any code that came with them.
_PLAIN = frozenset({"json", "str", "bytes", "bytearray"})
_SHOWN = 2_000


class InputView(msgspec.Struct, frozen=True, kw_only=True):
    """An argument of a task: ``sources`` are the outputs it is, or is made of; ``text`` a short repr, if any."""

    name: str
    text: str
    type: str
    codec: str
    size: int
    digest: str
    sources: list[str]


class AttemptView(msgspec.Struct, frozen=True, kw_only=True):
    """One try of a task. ``pod``: what is recorded of the pod that it was in, where it was in one."""

    attempt: int
    state: str
    started: float
    finished: float | None
    duration: float | None
    cpu_seconds: float
    peak_memory: int
    place: str
    host: str
    pid: int
    failure: str
    exit_code: int | None
    error: str
    traceback: str
    pod: PodView | None = None


class TaskView(msgspec.Struct, frozen=True, kw_only=True):
    """A task. ``reused``: its outputs are of an earlier session or, when ``reused_from`` says so, of another run."""

    name: str
    run: str
    step: str
    number: int
    state: str
    reused: bool
    reused_from: str
    session: int
    created: float
    started: float | None
    finished: float | None
    duration: float | None
    cpu_seconds: float
    peak_memory: int
    tags: tuple[str, ...]
    inputs: list[InputView]
    outputs: list[ArtifactView]
    attempts: list[AttemptView]
    metrics: list[MetricView]
    parents: list[str]
    children: list[str]
    key: str
    cache_key: str
    code: str
    environment: str
    environment_label: str
    error: str


def describe_task(
    metadata: MetadataStore, artifacts: ArtifactStore, run: RunRecord, task: TaskRecord, *, gone: bool = False
) -> TaskView:
    """All of ``task``, a task of ``run``; ``gone``: the driver of ``run`` was killed."""
    attempts = [_view_attempt(metadata, one, gone=gone) for one in metadata.attempts(run.id, task.id)]
    last = attempts[-1] if attempts else None
    return TaskView(
        name=task_name(run, task.id),
        run=run.name,
        step=task.step,
        number=task.number,
        state=_shown_state(task.state, gone=gone),
        reused=was_reused(run, task),
        reused_from=task.reused_from,
        session=task.session,
        created=task.created,
        started=task.started,
        finished=task.finished,
        duration=last.duration if last else None,
        cpu_seconds=sum(one.cpu_seconds for one in attempts),
        peak_memory=max((one.peak_memory for one in attempts), default=0),
        tags=task.tags,
        inputs=view_inputs(metadata, artifacts, run, task.inputs),
        outputs=[view_artifact(run, one) for one in metadata.artifacts(run.id, task.id)],
        attempts=attempts,
        metrics=_metrics(metadata, run.id, task.id),
        parents=[task_name(run, one) for one in metadata.parents(run.id, task.id)],
        children=[task_name(run, one) for one in metadata.children(run.id, task.id)],
        key=task.key.hex(),
        cache_key=task.cache_key.hex(),
        code=task.code.hex(),
        environment=task.environment.hex(),
        environment_label=environment_label(metadata, run, task),
        error=task.error,
    )


def environment_label(metadata: MetadataStore, run: RunRecord, task: TaskRecord) -> str:
    """The environment that the task's step has of its own, in a few words; empty where it has none."""
    own = [one for one in metadata.artifacts(run.id, TaskId(task.step, 0)) if one.name == task.environment.hex()]
    return next(iter(labels_of(own).get(task.step, ())), "")


def _shown_state(state: TaskState | AttemptState, *, gone: bool) -> str:
    """What runs while its driver is dead is lost."""
    return LOST if gone and state in (TaskState.RUNNING, AttemptState.RUNNING) else str(state)


def _view_attempt(metadata: MetadataStore, one: AttemptRecord, *, gone: bool) -> AttemptView:
    return AttemptView(
        attempt=one.attempt,
        state=_shown_state(one.state, gone=gone),
        started=one.started,
        finished=one.finished,
        duration=None if one.finished is None else max(0.0, one.finished - one.started),
        cpu_seconds=one.cpu_seconds,
        peak_memory=one.peak_memory,
        place=one.place,
        host=one.host,
        pid=one.pid,
        failure=one.failure,
        exit_code=one.exit_code,
        error=one.error,
        traceback=users_frames(one.traceback),
        pod=pod_of(metadata, one),
    )


def _metrics(metadata: MetadataStore, run_id: int, task: TaskId) -> list[MetricView]:
    found: dict[str, MetricView] = {}
    for chunk in metadata.metrics(run_id, task=task):
        if not chunk.values:
            continue
        before = found.get(chunk.name)
        low, high = min(chunk.values), max(chunk.values)
        found[chunk.name] = MetricView(
            name=chunk.name,
            last=chunk.values[-1],
            min=low if before is None else min(before.min, low),
            max=high if before is None else max(before.max, high),
            count=len(chunk.values) + (0 if before is None else before.count),
            step=chunk.steps[-1],
        )
    return list(found.values())


def view_inputs(
    metadata: MetadataStore, artifacts: ArtifactStore, run: RunRecord, inputs: tuple[Input, ...]
) -> list[InputView]:
    """Arguments for showing: nothing is unpickled, previews are those of the outputs they are."""
    wanted = {TaskId(source.step, source.number) for one in inputs for source in one.sources[:1]}
    outputs = metadata.outputs(run.id, list(wanted))
    return [_view_input(run, one, outputs, artifacts) for one in inputs]


def _view_input(
    run: RunRecord, one: Input, outputs: dict[TaskId, dict[str, ArtifactRecord]], artifacts: ArtifactStore
) -> InputView:
    sources = [f"{run.name}/{TaskId(s.step, s.number)}/{s.output}" for s in one.sources]
    text, kind = plain_text(one.value, artifacts), ""
    if one.template:
        count = len(one.sources)
        text, kind = f"made of {count} output{'s' * (count != 1)}", "container"
    elif one.sources:
        source = one.sources[0]
        record = outputs.get(TaskId(source.step, source.number), {}).get(source.output)
        if record is not None and record.value.digest == one.value.digest:
            text, kind = record.preview.text, record.preview.type
    return InputView(
        name=one.name.lstrip("/*"),
        text=text,
        type=kind,
        codec=one.value.codec,
        size=one.value.size,
        digest=input_digest(one).hex(),
        sources=sources,
    )


def plain_text(packed: Packed, artifacts: ArtifactStore) -> str:
    """A short repr of a value that can be read without unpickling, ``""`` for others."""
    if packed.codec not in _PLAIN or packed.blobs:
        return ""
    text = repr(codecs.unpack(packed, artifacts))
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


class TaskRow(msgspec.Struct, frozen=True, kw_only=True):
    """A task in a listing."""

    name: str
    step: str
    number: int
    state: str
    reused: bool
    reused_from: str
    attempts: int
    created: float
    started: float | None
    finished: float | None
    duration: float | None
    error: str


def task_rows(run: RunRecord, tasks: list[TaskRecord], *, gone: bool = False) -> list[TaskRow]:
    """``tasks`` of ``run`` as rows; ``gone``: the driver of ``run`` was killed."""
    return [
        TaskRow(
            name=task_name(run, task.id),
            step=task.step,
            number=task.number,
            state=_shown_state(task.state, gone=gone),
            reused=was_reused(run, task),
            reused_from=task.reused_from,
            attempts=task.attempts,
            created=task.created,
            started=task.started,
            finished=task.finished,
            duration=task.finished - task.started if task.finished is not None and task.started is not None else None,
            error=task.error,
        )
        for task in tasks
    ]
