"""The engine: ``decide(state, event) -> commands``. No I/O, no clock, no randomness; the state is changed in place.

Called by ``engine.loop`` only, one event at a time. Read it from ``_HANDLERS`` at the end. A task goes
waiting -> (identified by content) -> ready -> running -> succeeded or failed, with delays between attempts; every
change is recorded by a command, and a waiting flow is woken only by a ``Resolve`` that comes after the record.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from headrace._base.retry import backoff_delay
from headrace.engine import rows
from headrace.engine.events import (
    AttemptFailed,
    CacheAnswer,
    Cancel,
    Command,
    Due,
    Event,
    Exceeded,
    Handback,
    InputLost,
    Kill,
    Later,
    Lookup,
    Promote,
    Recall,
    Record,
    Resized,
    Resolve,
    Schedule,
    Start,
    Submit,
    Succeeded,
    TimeOver,
    Written,
)
from headrace.engine.placement import Slot
from headrace.engine.state import EngineState, Recorded
from headrace.engine.tasks import Task, code_in_arguments, described
from headrace.identity import keys
from headrace.model.calls import PendingInput, PendingSource, TaskHandle
from headrace.model.messages import Output
from headrace.model.outcomes import Cancelled, InputUnreadable, OutOfMemory, Problem, TimedOut, UpstreamFailed
from headrace.model.records import AttemptRecord, Input, TaskId, node_number
from headrace.model.states import AttemptState, TaskState
from headrace.stores.metadata.protocol import CacheEntry

#: Seconds between asking a worker to stop and making it.
CANCEL_GRACE = 1.0

#: Times that a task is taken back because an input was lost; then the store is not to be trusted with it.
MAX_LOSSES = 3

_FINAL = (TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED)


def decide(state: EngineState, event: Event) -> list[Command]:
    """Apply ``event`` to ``state`` and say what to do about it, in order."""
    out: list[Command] = []
    _HANDLERS[type(event)](state, event, out)
    return out


# --- from call to ready -----------------------------------------------------------------------------------------


def _submit(state: EngineState, event: Submit, out: list[Command]) -> None:
    task = event.task
    task.created = event.now
    _enter(state, task)
    if state.cancelling:
        _finish(state, task, TaskState.CANCELLED, Cancelled("the run is being cancelled"), event.now, out)
        return
    for one in task.pending:
        for source in one.sources:
            _depend(task, source.task)
            if source.task.problem is not None:
                _finish(state, task, *_upstream(source.task, source.task.problem), event.now, out)
                return
    if not task.waiting_on and _identify(state, task, event.now, out):
        _succeed(state, task, event.now, out)


def _depend(task: Task, on: TaskHandle) -> None:
    if on.state not in _FINAL:
        assert isinstance(on, Task)
        on.dependents.append(task)
        task.waiting_on += 1


def _identify(state: EngineState, task: Task, now: float, out: list[Command]) -> bool:
    """All inputs are known: find out who the task is, and whether an earlier session of the run finished it.

    True: it did, and the task has its outputs.
    """
    task.inputs = task.final_inputs()
    step = task.step
    digest = keys.inputs_digest(task.inputs, step.defaults)
    same = (step.name, digest)
    task.occurrence = state.occurrences.get(same, 0)
    state.occurrences[same] = task.occurrence + 1
    task.key = keys.task_key(step.name, digest, task.occurrence)
    task.code = _code(state, task, task.inputs)
    before = state.recorded.pop(task.key, None)
    if before is None or (before.origin and step.counter):
        task.id = TaskId(step.name, _number(state, task))
    else:
        task.id = before.record.id
    if before is not None:
        if not before.origin and before.record.state is not TaskState.STALE:
            state.left[step.name] -= 1
        task.known = not before.origin
        task.attempt = task.attempts_before = 0 if before.origin else before.record.attempts
        unchanged = before.record.code == task.code
        if not unchanged:
            state.changed.add(step.name)
        if before.outputs is not None and (unchanged or state.options.reuse_changed):
            _reuse(state, task, before, before.outputs, now, out)
            return True
    if step.policy.cache and state.options.use_cache:
        out.append(Lookup(task))
    else:
        _ready(state, task, now)
    return False


def _number(state: EngineState, task: Task) -> int:
    """The number of a task that the run did not know yet."""
    if task.beside is not None:
        first, node = task.beside
        return node_number(first.id.number, node)
    step = task.step
    counter = step.counter or step.name
    number = state.next_number.get(counter, state.highest + 1 if step.counter else 1)
    state.next_number[counter] = number + 1
    return number


def _code(state: EngineState, task: Task, inputs: tuple[Input, ...]) -> bytes:
    """The step's code, with that of the user's in the arguments."""
    named = code_in_arguments(task, inputs)
    return state.code_with(task.step, named) if named else task.step.code


def was_finished(state: EngineState, task: Task) -> bool:
    """Whether an earlier session finished a task that was not submitted yet, and its outputs would be taken.

    All that it depends on must have finished. No lookup in the cache, which only running it would do.
    """
    step, inputs = task.step, task.final_inputs()
    digest = keys.inputs_digest(inputs, step.defaults)
    key = keys.task_key(step.name, digest, state.occurrences.get((step.name, digest), 0))
    before = state.recorded.get(key)
    return (
        before is not None
        and before.outputs is not None
        and (state.options.reuse_changed or before.record.code == _code(state, task, inputs))
    )


def _reuse(
    state: EngineState, task: Task, before: Recorded, outputs: tuple[Output, ...], now: float, out: list[Command]
) -> None:
    record = before.record
    task.outputs = outputs
    task.origin = before.origin or record.reused_from
    state.reused += 1
    if before.origin:
        _adopt(state, task, before.cached, now, out)
    elif record.state is TaskState.STALE:  # a session that did not need it came between
        back = replace(record, state=TaskState.SUCCEEDED, session=state.options.session)
        out.append(Record((back,), urgent=False))


def _cache_answer(state: EngineState, event: CacheAnswer, out: list[Command]) -> None:
    task = event.task
    if task.state in _FINAL:
        return
    if event.outputs is None:
        _ready(state, task, event.now)
        return
    task.outputs = event.outputs
    task.origin = event.origin
    state.reused += 1
    _adopt(state, task, event.entry, event.now, out)
    _succeed(state, task, event.now, out)


def _adopt(state: EngineState, task: Task, cached: CacheEntry | None, now: float, out: list[Command]) -> None:
    """Write down a task whose outputs another run made; with ``cached``, this run holds them for the cache from now."""
    task.started = now
    writes: tuple[Written, ...] = (
        rows.task_record(state, task, TaskState.SUCCEEDED, now),
        *rows.artifact_records(state, task, now),
        *rows.edges(state, task),
        *rows.shared_cache_entry(state, task, cached),
    )
    out.append(Record(writes, urgent=True))


def _ready(state: EngineState, task: Task, now: float, *, front: bool = False) -> None:
    if task.state is not TaskState.READY:
        _move(state, task, TaskState.READY)
    state.placement.enqueue(task, now, front=front)


# --- starting ---------------------------------------------------------------------------------------------------


def _schedule(state: EngineState, event: Schedule, out: list[Command]) -> None:
    if state.placement.lanes:
        for task, ahead in state.placement.startable(event.now):
            _start(state, task, event.now, ahead, out)


def _start(state: EngineState, task: Task, now: float, ahead: bool, out: list[Command]) -> None:
    _move(state, task, TaskState.RUNNING)
    task.attempt += 1
    task.started = now if task.started is None else task.started
    task.token = state.next_token
    state.next_token += 1
    slot = state.placement.lease(task.token, task, now, ahead=ahead)
    out.append(Start(task, task.token, ahead, slot.gpus))
    if task.step.policy.timeout:
        out.append(Later(now + task.step.policy.timeout, TimeOver(task.token, now)))


def _promote(state: EngineState, event: Promote, out: list[Command]) -> None:
    slot = state.placement.promote(event.token, event.now)
    if slot is not None:
        state.moved.add(slot.task.step.name)
    if slot is not None and slot.reason is not None:  # cancelled while it waited behind another one
        out.append(Kill(event.token, CANCEL_GRACE))


def _handback(state: EngineState, event: Handback, out: list[Command]) -> None:
    for token in reversed(event.tokens):
        slot = state.placement.release(token)
        if slot is None:
            continue
        _take_back(state, slot, token, event.now, out)
        if slot.reason is Cancelled:
            _finish(state, slot.task, TaskState.CANCELLED, Cancelled("cancelled before it ran"), event.now, out)
        else:
            _ready(state, slot.task, event.now, front=True)


def _take_back(state: EngineState, slot: Slot, token: int, now: float, out: list[Command]) -> None:
    """Undo the start of an attempt. Its number is used again, unless others know of the attempt already."""
    task = slot.task
    if slot.recorded:
        out.append(Record((rows.taken_back_attempt(state, token, slot, now),), urgent=False))
        task.attempts_before += 1
    else:
        task.attempt -= 1


def _resized(state: EngineState, event: Resized, out: list[Command]) -> None:
    state.placement.resize(event.place, event.capacity)


# --- finishing --------------------------------------------------------------------------------------------------


def _succeeded(state: EngineState, event: Succeeded, out: list[Command]) -> None:
    slot = state.placement.release(event.token)
    if slot is None:
        return
    event = rows.in_our_time(event, slot)
    task, usage = slot.task, event.usage
    seconds = usage.finished - usage.started
    load = task.step.load
    load.seconds = seconds if load.seconds is None else max(seconds, 0.7 * load.seconds + 0.3 * seconds)
    task.outputs = described(task, event.outputs)
    writes: tuple[Written, ...] = (
        *rows.forget_outputs(state, task),
        rows.task_record(state, task, TaskState.SUCCEEDED, usage.finished),
        rows.succeeded_attempt(state, event, slot),
        *rows.artifact_records(state, task, usage.finished),
        *rows.edges(state, task),
        *(rows.cache_entry(state, task, usage.finished) if event.reusable else ()),
    )
    out.append(Record(writes, urgent=True))
    _succeed(state, task, event.now, out)


def _succeed(state: EngineState, task: Task, now: float, out: list[Command]) -> None:
    """The task has its outputs and they are recorded: let go of it, wake who waits, go on with its dependents.

    Those of them that an earlier session finished end here too. A loop, because chains of them may be long.
    """
    ended = [task]
    for one in ended:
        _move(state, one, TaskState.SUCCEEDED)
        state.live.discard(one)
        out.append(Resolve(one))
        dependents, one.dependents = one.dependents, []
        one.pending = ()
        for dependent in dependents:
            dependent.waiting_on -= 1
            if dependent.waiting_on or dependent.state in _FINAL:
                continue
            if dependent.id.number >= 0:  # it had started and lost an input
                dependent.inputs = dependent.final_inputs()
                _ready(state, dependent, now)
            elif _identify(state, dependent, now, out):
                ended.append(dependent)
        one.inputs = ()


def _failed(state: EngineState, event: AttemptFailed, out: list[Command]) -> None:
    slot = state.placement.release(event.token)
    if slot is None:
        return
    event = rows.in_our_time(event, slot)
    task = slot.task
    problem = event.problem
    if slot.reason is Cancelled:
        problem = Cancelled("cancelled while it ran")
        record = rows.failed_attempt(state, AttemptState.CANCELLED, event, slot)
        out.append(Record((record,), urgent=True))
        _finish(state, task, TaskState.CANCELLED, problem, event.now, out)
        return
    attempt = rows.failed_attempt(state, AttemptState.FAILED, event, slot)
    retry = task.step.policy.retry
    retries_done = task.attempt - 1 - task.attempts_before
    if retries_done < retry.count and _matches(retry.on, event.problem.classes) and not state.cancelling:
        _delay(state, task, event, retries_done + 1, attempt, out)
        return
    out.append(Record((attempt,), urgent=True))
    _finish(state, task, TaskState.FAILED, problem, event.now, out)


def _matches(on: tuple[str, ...], classes: tuple[str, ...]) -> bool:
    return not on or any(name in on or name.rpartition(".")[2] in on for name in classes)


def _delay(
    state: EngineState,
    task: Task,
    event: AttemptFailed,
    retry_number: int,
    attempt: AttemptRecord,
    out: list[Command],
) -> None:
    retry = task.step.policy.retry
    if isinstance(event.problem, OutOfMemory) and task.memory:
        grown = int(task.memory * retry.memory_factor)
        largest = state.placement.room_of(task).capacity.largest
        task.memory = grown if largest is None else min(grown, largest.memory)
    roll = int.from_bytes(task.key[:4], "little") ^ (task.attempt * 0x9E3779B1) & 0xFFFFFFFF
    wait = backoff_delay(retry_number, retry.delay, retry.backoff, retry.max_delay, retry.jitter, roll / 2**32)
    _move(state, task, TaskState.DELAYED)
    record = rows.task_record(state, task, TaskState.DELAYED, None, error=event.problem.error)
    out.append(Record((attempt, record), urgent=False))
    out.append(Later(event.now + wait, Due(task, event.now)))


def _due(state: EngineState, event: Due, out: list[Command]) -> None:
    if event.task.state is TaskState.DELAYED:
        _ready(state, event.task, event.now)


def _finish(state: EngineState, task: Task, final: TaskState, problem: Problem, now: float, out: list[Command]) -> None:
    """End a task without a result, and with it all that needed it. A loop, because chains of them may be long."""
    ended = [(task, final, problem)]
    for one, state_after, why in ended:
        if one.state in _FINAL:  # it needed two of them
            continue
        _move(state, one, state_after)
        state.live.discard(one)
        one.problem = why
        if one.id.number >= 0:
            record = rows.task_record(state, one, state_after, now, error=why.error)
            out.append(Record((record,), urgent=True))
        out.append(Resolve(one))
        ended += [(dependent, *_upstream(one, why)) for dependent in one.dependents]
        one.dependents = []
        one.pending = ()
        one.inputs = ()


def _upstream(cause: TaskHandle, problem: Problem) -> tuple[TaskState, Problem]:
    """How a task ends that needed ``cause``."""
    root = problem.upstream or problem
    origin = problem.task if problem.upstream else cause.id
    name = str(cause.id) if cause.id.number >= 0 else cause.step.name
    text = problem.error if problem.upstream else f"{name} failed: {problem.error}"
    if isinstance(root, Cancelled):
        return TaskState.CANCELLED, Cancelled(text, upstream=root, task=origin)
    return TaskState.FAILED, UpstreamFailed(text, upstream=root, task=origin)


# --- trouble ----------------------------------------------------------------------------------------------------


def _timed_out(state: EngineState, event: TimeOver, out: list[Command]) -> None:
    if state.placement.condemn(event.token, TimedOut) is not None:
        out.append(Kill(event.token, 0.0))


def _exceeded(state: EngineState, event: Exceeded, out: list[Command]) -> None:
    if state.placement.condemn(event.token, OutOfMemory) is not None:
        out.append(Kill(event.token, 0.0))


def _cancel(state: EngineState, event: Cancel, out: list[Command]) -> None:
    if event.task is None and event.final:
        state.cancelling = True
    for task in list(state.live) if event.task is None else [event.task]:
        if task.state in _FINAL:
            continue
        if task.state is TaskState.RUNNING:
            slot = state.placement.condemn(task.token, Cancelled)
            if slot is not None and not slot.ahead:  # else its worker is busy with another task, which is not to blame
                out.append(Kill(task.token, CANCEL_GRACE))
        else:
            _finish(state, task, TaskState.CANCELLED, Cancelled("cancelled before it ran"), event.now, out)


def _input_lost(state: EngineState, event: InputLost, out: list[Command]) -> None:
    """Take the attempt back and let the task wait for its producer, which runs again."""
    slot = state.placement.release(event.token)
    if slot is None:
        return
    task = slot.task
    _take_back(state, slot, event.token, event.now, out)
    if slot.reason is Cancelled:
        _finish(state, task, TaskState.CANCELLED, Cancelled("cancelled before it ran"), event.now, out)
        return
    task.losses += 1
    if task.losses > MAX_LOSSES:
        text = f"output {event.output!r} of task {event.parent} cannot be read, although it was made again"
        _finish(state, task, TaskState.FAILED, InputUnreadable(text), event.now, out)
        return
    task.pending = tuple(
        PendingInput(
            one.name,
            one.value,
            tuple(
                PendingSource(event.producer, source.output) if source.task.id == event.parent else source
                for source in one.sources
            ),
        )
        for one in task.pending
    )
    if event.producer.problem is not None:
        _finish(state, task, *_upstream(event.producer, event.producer.problem), event.now, out)
        return
    _move(state, task, TaskState.WAITING)
    _depend(task, event.producer)
    if not task.waiting_on:  # it has finished meanwhile
        task.inputs = task.final_inputs()
        _ready(state, task, event.now)


def _recall(state: EngineState, event: Recall, out: list[Command]) -> None:
    task, record = event.task, event.record
    task.created = record.created
    task.id, task.key, task.occurrence = record.id, record.key, record.occurrence
    task.attempt = task.attempts_before = record.attempts
    task.known = True
    task.inputs = task.final_inputs()
    task.code = _code(state, task, task.inputs)
    _enter(state, task)
    if state.cancelling:
        _finish(state, task, TaskState.CANCELLED, Cancelled("the run is being cancelled"), event.now, out)
    else:
        _ready(state, task, event.now)


def _enter(state: EngineState, task: Task) -> None:
    state.live.add(task)
    state.moved.add(task.step.name)
    counts = state.counts.setdefault(task.step.name, {})
    counts[task.state] = counts.get(task.state, 0) + 1


def _move(state: EngineState, task: Task, to: TaskState) -> None:
    name = task.step.name
    state.moved.add(name)
    counts = state.counts[name]
    counts[task.state] -= 1
    counts[to] = counts.get(to, 0) + 1
    task.move(to)


_HANDLERS: dict[type, Callable[[EngineState, Any, list[Command]], None]] = {
    Submit: _submit,
    Recall: _recall,
    CacheAnswer: _cache_answer,
    Succeeded: _succeeded,
    AttemptFailed: _failed,
    InputLost: _input_lost,
    Handback: _handback,
    Promote: _promote,
    Due: _due,
    TimeOver: _timed_out,
    Exceeded: _exceeded,
    Cancel: _cancel,
    Resized: _resized,
    Schedule: _schedule,
}
