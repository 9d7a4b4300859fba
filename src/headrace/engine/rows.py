"""What the engine knows and hears, as rows of the metadata store: plain functions."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec.structs import replace

from headrace.engine.events import AttemptFailed, Succeeded
from headrace.engine.placement import Slot
from headrace.engine.state import EngineState
from headrace.engine.tasks import Task
from headrace.identity import keys
from headrace.model.messages import Track
from headrace.model.records import (
    POD,
    ArtifactRecord,
    AttemptRecord,
    Edge,
    LogChunk,
    MetricChunk,
    Param,
    Success,
    Tag,
    TaskId,
    TaskRecord,
    pod_owner,
)
from headrace.model.states import AttemptState, TaskState
from headrace.model.values import Packed, Preview
from headrace.stores.codecs.digests import content_digest
from headrace.stores.metadata.protocol import CacheEntry, DropOutputs, Write

if TYPE_CHECKING:
    from headrace.model.pod_history import PodHistory

_Ended = TypeVar("_Ended", Succeeded, AttemptFailed)

#: Seconds by which an attempt that was sent ahead may begin before we hear that the one before it has ended.
_AHEAD = 1.0


def running_records(
    state: EngineState, where: Callable[[int], tuple[str, int] | None], only: Container[tuple[str, int]] | None = None
) -> list[TaskRecord | AttemptRecord]:
    """Rows for attempts that run and are not written down as running yet; ``only``: of these tasks.

    ``where`` gives the host and process of an attempt's worker by token, None while the worker is not up.
    """
    records: list[TaskRecord | AttemptRecord] = []
    unrecorded = state.placement.unrecorded
    for token, slot in list(unrecorded.items()):
        if only is not None and (slot.task.id.step, slot.task.id.number) not in only:
            continue
        at = where(token)
        if at is not None:
            del unrecorded[token]
            slot.where, slot.recorded = at, True
            state.moved.add(slot.task.step.name)  # it counts as running from here on
            records += task_records(state, slot.task, TaskState.RUNNING, None)
            records.append(_attempt(state, token, slot, AttemptState.RUNNING, at))
    return records


def tasks_in(writes: Iterable[Write]) -> set[tuple[str, int]]:
    """Steps and numbers of the tasks that printed or logged ``writes``."""
    return {(one.step, one.number) for one in writes if isinstance(one, (ArtifactRecord, LogChunk, MetricChunk))}


def _attempt(
    state: EngineState, token: int, slot: Slot, to: AttemptState, where: tuple[str, int], **fields: Any
) -> AttemptRecord:
    """The attempt that holds ``slot``, which is about to be in state ``to``."""
    task = slot.task
    given = {"started": slot.started} | fields
    return AttemptRecord(
        run_id=state.options.run_id,
        step=task.id.step,
        number=task.id.number,
        attempt=task.attempt,
        state=to,
        host=where[0],
        pid=where[1],
        session=state.options.session,
        place=slot.place,
        token=token,
        **given,
    )


def task_records(
    state: EngineState,
    task: Task,
    to: TaskState,
    finished: float | None,
    error: str = "",
    success: Success | None = None,
) -> list[TaskRecord | AttemptRecord]:
    """Where a task stands that is about to be in state ``to``; before it, what the row that it replaces had alone."""
    step = task.step
    record = TaskRecord(
        run_id=state.options.run_id,
        step=task.id.step,
        number=task.id.number,
        key=task.key,
        state=to,
        inputs=task.inputs,
        occurrence=task.occurrence,
        code=task.code,
        environment=step.environment,
        cache_key=task_cache_key(task) if step.policy.cache else b"",
        reused_from=task.origin,
        attempts=task.attempt,
        created=task.created,
        started=task.started,
        finished=finished,
        session=state.options.session,
        error=error,
        tags=step.policy.tags,
        success=success,
    )
    if task.earlier is None:
        return [record]
    earlier, task.earlier = task.earlier, None
    return [earlier, record]


def task_cache_key(task: Task) -> bytes:
    """The cache key of an identified task."""
    digest = keys.inputs_digest(task.inputs, task.step.defaults)
    return keys.cache_key(task.step.name, task.code, digest, task.step.environment)


def in_our_time(event: _Ended, slot: Slot) -> _Ended:
    """``event`` with times of this machine's clock, where the worker's clock is not set like ours.

    That is seen by an attempt that began before it was sent or ended after we heard of its end. How long it took is
    the worker's to say.
    """
    usage = event.usage
    if usage is None or (usage.finished <= event.now and usage.started > slot.started - _AHEAD):
        return event
    seconds = max(0.0, usage.finished - usage.started)
    return replace(event, usage=replace(usage, started=event.now - seconds, finished=event.now))


def pod_record(run_id: int, history: PodHistory) -> ArtifactRecord:
    """The row with the history of a pod. It is found by the name that the pod's attempts have as their host."""
    data = msgspec.msgpack.encode(history)
    return ArtifactRecord(
        run_id=run_id,
        step=pod_owner(history.pod).step,
        number=0,
        name=history.place,
        value=Packed("bytes", content_digest("bytes", data), len(data), data),
        preview=Preview("pod", f"{history.pod} on node {history.node}" if history.node else history.pod),
        created=history.created,
        kind=POD,
    )


def success_of(state: EngineState, event: Succeeded, slot: Slot) -> Success:
    """How an attempt succeeded."""
    usage = event.usage
    return Success(
        usage.started,
        usage.finished,
        event.where[0],
        event.where[1],
        usage.cpu_seconds,
        usage.peak_memory,
        state.options.session,
        slot.place,
        event.token,
    )


def failed_attempt(state: EngineState, to: AttemptState, event: AttemptFailed, slot: Slot) -> AttemptRecord:
    """An attempt that failed or was cancelled."""
    usage = event.usage
    return _attempt(
        state,
        event.token,
        slot,
        to,
        event.where,
        started=usage.started if usage else slot.started,
        finished=usage.finished if usage else event.now,
        cpu_seconds=usage.cpu_seconds if usage else 0.0,
        peak_memory=usage.peak_memory if usage else 0,
        failure=event.problem.failure,
        exit_code=event.problem.exit_code,
        error=event.problem.error,
        traceback=event.problem.traceback,
        exception=event.problem.exception,
    )


def taken_back_attempt(state: EngineState, token: int, slot: Slot, now: float, why: str = "") -> AttemptRecord:
    """An attempt that did not get to run, or lost its worker by no fault of its own, so that another one follows."""
    error = f"{why or 'it did not get to run'}; the next attempt does its work"
    return _attempt(state, token, slot, AttemptState.LOST, slot.where, finished=now, error=error)


def forget_outputs(state: EngineState, task: Task) -> DropOutputs:
    """For a task that an earlier session finished: its outputs may have had other names then."""
    return DropOutputs(state.options.run_id, task.id.step, task.id.number)


def artifact_records(state: EngineState, task: Task, now: float) -> list[ArtifactRecord]:
    """The outputs of a task."""
    run_id, made = state.options.run_id, task.id
    return [one.recorded(run_id, made, now) for one in task.outputs]


def tracked(run_id: int, task: TaskId, message: Track, now: float) -> list[Write]:
    """What a task or the flow function logged."""
    step, number = task
    return [
        *[
            MetricChunk(
                run_id=run_id, step=step, number=number, name=m.name, values=m.values, steps=m.steps, times=m.times
            )
            for m in message.metrics
        ],
        *[Param(run_id, name, text, logged=True) for name, text in message.params],
        *[Tag(run_id, name, value) for name, value in message.tags],
        *[one.recorded(run_id, task, now, "logged") for one in message.artifacts],
    ]


def edges(state: EngineState, task: Task) -> list[Edge]:
    """Which tasks a task took outputs of."""
    parents: set[tuple[str, int]] = set()
    for one in task.inputs:
        for source in one.sources:
            parents.add((source.step, source.number))
    if not parents:
        return []
    return [Edge(state.options.run_id, step, number, task.id.step, task.id.number) for step, number in parents]


def shared_cache_entry(state: EngineState, task: Task, held: CacheEntry | None) -> tuple[CacheEntry, ...]:
    """What answers the key of ``held`` beside it, from a task that took over its outputs."""
    if held is None or not task.step.policy.cache or held.key != task_cache_key(task):
        return ()
    return (CacheEntry(held.key, state.options.run_id, task.id.step, task.id.number, held.created),)


def cache_entry(state: EngineState, task: Task, now: float) -> CacheEntry:
    """What answers its cache key from now on."""
    return CacheEntry(task_cache_key(task), state.options.run_id, task.id.step, task.id.number, now)
