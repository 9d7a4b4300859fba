"""Who a task is, and what an earlier session or another run left of it. Part of ``decide``."""

from __future__ import annotations

from msgspec.structs import replace

from headrace.engine import rows
from headrace.engine.events import Command, Record, Written
from headrace.engine.state import EngineState, Recorded
from headrace.engine.tasks import Task, code_in_arguments
from headrace.identity import keys
from headrace.model.records import Input, TaskId, node_number
from headrace.model.states import TaskState
from headrace.stores.metadata.protocol import CacheEntry


def name(state: EngineState, task: Task) -> Recorded | None:
    """Give a task its key and id. Returns what an earlier session left of it, if that may be used."""
    task.inputs = task.final_inputs()
    step = task.step
    digest = keys.inputs_digest(task.inputs, step.defaults)
    same = (step.name, digest)
    task.occurrence = state.occurrences.get(same, 0)
    state.occurrences[same] = task.occurrence + 1
    task.key = keys.task_key(step.name, digest, task.occurrence)
    task.code = code_of(state, task, task.inputs)
    before = state.recorded.pop(task.key, None)
    if before is None or (before.origin and step.counter):
        task.id = TaskId(step.name, _number(state, task))
    else:
        task.id = before.record.id
    if before is not None:
        if not before.origin and before.record.state is not TaskState.STALE:
            state.left[step.name] -= 1
        task.known = not before.origin
        task.earlier = None if before.origin else before.record.lone_attempt
        task.attempt = task.attempts_before = 0 if before.origin else before.record.attempts
        unchanged = before.record.code == task.code
        if not unchanged:
            state.changed.add(step.name)
        left = before.outputs is not None or before.unfinished is not None
        if left and (unchanged or state.options.reuse_changed):
            return before
    return None


def _number(state: EngineState, task: Task) -> int:
    """The number of a task that the run did not know yet."""
    if task.gang is not None and task.rank:
        return node_number(task.gang.tasks[0].id.number, task.rank)
    step = task.step
    counter = step.counter or step.name
    number = state.next_number.get(counter, state.highest + 1 if step.counter else 1)
    state.next_number[counter] = number + 1
    return number


def code_of(state: EngineState, task: Task, inputs: tuple[Input, ...]) -> bytes:
    """The step's code, with that of the user's in the arguments."""
    named = code_in_arguments(task, inputs)
    return state.code_with(task.step, named) if named else task.step.code


def was_finished(state: EngineState, task: Task) -> bool:
    """Whether an earlier session finished a task that was not submitted yet, and its outputs would be taken.

    All that it depends on must have finished. No lookup in the cache, which only running it would do. Where only some
    tasks may run, True for these.
    """
    step, inputs = task.step, task.final_inputs()
    digest = keys.inputs_digest(inputs, step.defaults)
    key = keys.task_key(step.name, digest, state.occurrences.get((step.name, digest), 0))
    before = state.recorded.get(key)
    if state.admitted is not None:
        return key in state.admitted
    return (
        before is not None
        and before.outputs is not None
        and (state.options.reuse_changed or before.record.code == code_of(state, task, inputs))
    )


def reuse(state: EngineState, task: Task, before: Recorded, now: float, out: list[Command]) -> None:
    """Take over what ``before`` says that another session, or another run, made of ``task``."""
    record = before.record
    assert before.outputs is not None
    task.outputs = before.outputs
    task.origin = before.origin or record.reused_from
    state.reused += 1
    if before.origin:
        adopt(state, task, before.cached, now, out)
    elif record.state is TaskState.STALE:  # a session that did not need it came between
        back = replace(record, state=TaskState.SUCCEEDED, session=state.options.session)
        out.append(Record((back,), urgent=False))


def adopt(state: EngineState, task: Task, cached: CacheEntry | None, now: float, out: list[Command]) -> None:
    """Write down a task whose outputs another run made; with ``cached``, this run holds them for the cache from now."""
    task.started = now
    writes: tuple[Written, ...] = (
        *rows.task_records(state, task, TaskState.SUCCEEDED, now),
        *rows.artifact_records(state, task, now),
        *rows.edges(state, task),
        *rows.shared_cache_entry(state, task, cached),
    )
    out.append(Record(writes, urgent=True))
