"""The engine: ``decide(state, event) -> commands``. No I/O, no clock, no randomness; the state is changed in place.

Called by ``engine.loop`` only, one event at a time. Read it from ``TABLE`` at the end. A task goes
waiting -> (identified by content) -> ready -> running -> succeeded or failed, with delays between attempts; every
change is recorded by a command, and a waiting flow is woken only by a ``Resolve`` that comes after the record.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from headrace.engine import gangs, reuse, rows
from headrace.engine.events import (
    AttemptFailed,
    CacheAnswer,
    Cancel,
    Command,
    Due,
    Event,
    Exceeded,
    Forget,
    Handback,
    InputLost,
    Kill,
    Later,
    Lookup,
    Promote,
    Recall,
    Record,
    Rejoin,
    Resized,
    Resolve,
    Schedule,
    Start,
    Submit,
    Succeeded,
    TimeOver,
    Unclaimed,
    Written,
)
from headrace.engine.placement import Slot
from headrace.engine.reactions import IGNORED, Reaction, row
from headrace.engine.retries import is_retried, prepare_next
from headrace.engine.state import EngineState, Unfinished
from headrace.engine.tasks import Broken, Gang, Task, described, upstream
from headrace.model.calls import PendingInput, PendingSource, TaskHandle
from headrace.model.outcomes import (
    Cancelled,
    InputUnreadable,
    NeverStarts,
    OutOfMemory,
    Problem,
    TimedOut,
)
from headrace.model.records import AttemptRecord
from headrace.model.states import TASK_TRANSITIONS, AttemptState, IllegalTransitionError, TaskState

#: Seconds between asking a worker to stop and making it.
CANCEL_GRACE = 1.0

#: Times that a task is taken back because an input was lost; then the store is not to be trusted with it.
MAX_LOSSES = 3

_FINAL = (TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED)


def decide(state: EngineState, event: Event) -> list[Command]:
    """Apply ``event`` to ``state`` and say what to do about it, in order.

    Raises:
        IllegalEventError: the table has no meaning for it.
    """
    out: list[Command] = []
    kind = type(event)
    if kind is Schedule:
        _schedule(state, event, out)  # type: ignore[arg-type]
    elif kind in BY_TOKEN:
        slot = state.placement.slots.get(event.token)  # type: ignore[union-attr]
        if slot is not None:  # else its lease is over: whoever speaks for it has nothing to say any more
            TABLE[kind][slot.task.state].handler(state, event, slot.task, out)
    elif kind is Resized:
        state.placement.resize(event.place, event.capacity)  # type: ignore[union-attr]
    elif kind is Handback or (kind is Cancel and event.task is None):  # type: ignore[union-attr]
        for task in _concerned(state, event):
            TABLE[kind][task.state].handler(state, event, task, out)
    else:
        only: Task = event.task  # type: ignore
        TABLE[kind][only.state].handler(state, event, only, out)
    return out


def _concerned(state: EngineState, event: Any) -> Iterable[Task]:
    """The tasks that an event is about which names several attempts, or none."""
    if type(event) is Handback:
        slots = (state.placement.slots.get(token) for token in reversed(event.tokens))
        return (slot.task for slot in slots if slot is not None)
    state.cancelling = state.cancelling or event.final
    return list(state.live)


# --- from call to ready -----------------------------------------------------------------------------------------


def _submit(state: EngineState, event: Submit, task: Task, out: list[Command]) -> None:
    task.created = event.now
    _enter(state, task)
    if state.cancelling:
        _finish(state, task, TaskState.CANCELLED, Cancelled("the run is being cancelled"), event.now, out)
        return
    for one in task.pending:
        for source in one.sources:
            _depend(task, source.task)
            if source.task.problem is not None:
                _finish(state, task, *upstream(source.task, source.task.problem), event.now, out)
                return
    if task.gang is not None and task.gang.over:
        _finish(state, task, *gangs.fate(task.gang), event.now, out)
    elif not task.waiting_on:
        for known in _identify(state, task, event.now, out):
            _succeed(state, known, event.now, out)


def _depend(task: Task, on: TaskHandle) -> None:
    if on.state not in _FINAL:
        assert isinstance(on, Task)
        on.dependents.append(task)
        task.waiting_on += 1


def _identify(state: EngineState, task: Task, now: float, out: list[Command]) -> Sequence[Task]:
    """All inputs are known: find out who the task is, and whether an earlier session of the run finished it.

    Returns those that have their outputs thereby. The tasks of a gang are identified together, and reused together or
    not at all, also from the cache.
    """
    gang = task.gang
    if gang is None:
        before = reuse.name(state, task)
        if before is not None and before.unfinished is not None:
            _rejoin(state, task, before.unfinished, now, out)
            return ()
        if before is not None:
            reuse.reuse(state, task, before, now, out)
            return (task,)
        if state.admitted is not None and _refuse(state, [task], now, out):
            return ()
        if task.step.policy.cache and state.options.use_cache:
            out.append(Lookup(task))
        else:
            _ready(state, task, now)
        return ()
    gang.known += 1
    if gang.known < len(gang.tasks):
        return ()
    found = [reuse.name(state, one) for one in gang.tasks]
    usable = [one for one in found if one is not None and one.outputs is not None]
    if len(usable) == len(found):
        for one, before in zip(gang.tasks, usable, strict=True):
            reuse.reuse(state, one, before, now, out)
        return gang.tasks
    if _refuse(state, gang.tasks, now, out):
        return ()
    if state.options.use_cache and all(one.step.policy.cache for one in gang.tasks):
        out += [Lookup(one) for one in gang.tasks]
    else:
        _ready_gang(state, gang, now, out)
    return ()


def _refuse(state: EngineState, tasks: Sequence[Task], now: float, out: list[Command]) -> bool:
    """Cancel tasks that are not among those that may run, if only some may; whether it did."""
    if state.admitted is None or all(task.key in state.admitted for task in tasks):
        return False
    state.refused += 1
    _finish(state, tasks[0], TaskState.CANCELLED, Cancelled("the run was to run only other tasks"), now, out)
    return True


def _rejoin(state: EngineState, task: Task, unfinished: Unfinished, now: float, out: list[Command]) -> None:
    """Go on with an attempt that an earlier session began, where its worker comes back; it counts as of this one."""
    attempt = unfinished.attempt
    _move(state, task, TaskState.READY)
    _move(state, task, TaskState.RUNNING)
    task.attempt, task.attempts_before = attempt.attempt, attempt.attempt - 1
    task.started, task.token = attempt.started, attempt.token
    slot = state.placement.lease(attempt.token, task, attempt.started, ahead=False, begun=True)
    slot.recorded, slot.where = True, (attempt.host, attempt.pid)
    state.placement.unrecorded.pop(attempt.token, None)
    out.append(Rejoin(task, attempt.token, unfinished.logged, unfinished.seq))
    out.append(Later(now + unfinished.wait, Unclaimed(attempt.token, now)))
    if task.step.policy.timeout:
        out.append(Later(now + task.step.policy.timeout, TimeOver(attempt.token, now)))


def _unclaimed(state: EngineState, event: Unclaimed, task: Task, out: list[Command]) -> None:
    out.append(Forget(event.token))


def _cache_answer(state: EngineState, event: CacheAnswer, task: Task, out: list[Command]) -> None:
    answers: list[CacheAnswer] | None = [event] if event.outputs is not None else []
    if task.gang is not None:
        answers = gangs.answered(task.gang, event)
        if answers == []:
            _ready_gang(state, task.gang, event.now, out)
    elif not answers:
        _ready(state, task, event.now)
    for one in answers or ():
        one.task.outputs, one.task.origin = one.outputs or (), one.origin
        state.reused += 1
        reuse.adopt(state, one.task, one.entry, event.now, out)
    for one in answers or ():
        _succeed(state, one.task, event.now, out)


def _ready_gang(state: EngineState, gang: Gang, now: float, out: list[Command]) -> None:
    lacking = state.placement.never_fits(gang)
    if lacking:
        problem = NeverStarts(lacking, classes=("headrace.ResourceError", "headrace.UsageError"))
        _finish(state, gang.tasks[0], TaskState.FAILED, problem, now, out)
        return
    for one in gang.tasks:
        _ready(state, one, now)


def _ready(state: EngineState, task: Task, now: float, *, front: bool = False) -> None:
    if task.state is not TaskState.READY:
        _move(state, task, TaskState.READY)
    gang = task.gang
    if gang is None:
        state.placement.enqueue(task, now, front=front)
    elif all(one.state is TaskState.READY for one in gang.tasks):
        state.placement.enqueue(gang.tasks[0], now, front=front)


# --- starting ---------------------------------------------------------------------------------------------------


def _schedule(state: EngineState, event: Schedule, out: list[Command]) -> None:
    if state.placement.lanes:
        for task, ahead in state.placement.startable(event.now):
            if task.gang is None:
                _start(state, task, event.now, ahead, out)
            else:
                task.gang.running.update(task.gang.tasks)
                for one in task.gang.tasks:
                    _start(state, one, event.now, False, out)


def _start(state: EngineState, task: Task, now: float, ahead: bool, out: list[Command]) -> None:
    _move(state, task, TaskState.RUNNING)
    task.attempt += 1
    task.started = now if task.started is None else task.started
    task.token = state.next_token
    state.next_token += 1
    slot = state.placement.lease(task.token, task, now, ahead=ahead)
    out.append(Start(task, task.token, ahead, slot.gpus, slot.machine))
    if task.step.policy.timeout:
        out.append(Later(now + task.step.policy.timeout, TimeOver(task.token, now)))


def _promote(state: EngineState, event: Promote, task: Task, out: list[Command]) -> None:
    slot = state.placement.promote(event.token, event.now, event.machine)
    assert slot is not None
    state.moved.add(task.step.name)
    if slot.reason is not None:  # cancelled while it waited behind another one
        out.append(Kill(event.token, CANCEL_GRACE))


def _handback(state: EngineState, event: Handback, task: Task, out: list[Command]) -> None:
    slot = _end_lease(state, task)
    _take_back(state, slot, task.token, event.now, out, event.why)
    if task.gang is not None:
        _leave_round(state, task.gang, task, event.now, out)
    elif slot.reason is Cancelled:
        _finish(state, task, TaskState.CANCELLED, Cancelled("cancelled before it ran"), event.now, out)
    else:
        _ready(state, task, event.now, front=True)


def _end_lease(state: EngineState, task: Task) -> Slot:
    slot = state.placement.release(task.token)
    assert slot is not None
    return slot


def _take_back(state: EngineState, slot: Slot, token: int, now: float, out: list[Command], why: str = "") -> None:
    """Undo the start of an attempt. Its number is used again, unless there is something to say of the attempt."""
    task = slot.task
    if slot.recorded or why:
        out.append(Record((rows.taken_back_attempt(state, token, slot, now, why),), urgent=False))
        task.attempts_before += 1
    else:
        task.attempt -= 1


# --- finishing --------------------------------------------------------------------------------------------------


def _succeeded(state: EngineState, event: Succeeded, task: Task, out: list[Command]) -> None:
    slot = state.placement.release(task.token)
    assert slot is not None
    event = rows.in_our_time(event, slot)
    usage = event.usage
    seconds = usage.finished - usage.started
    load = task.step.load
    load.seconds = seconds if load.seconds is None else max(seconds, 0.7 * load.seconds + 0.3 * seconds)
    gang = task.gang
    if gang is None:
        _record_success(state, event, slot, out)
        _succeed(state, task, event.now, out)
    elif gangs.won(state, gang, event, slot, out):
        if gang.broken is not None:
            _settle(state, gang, event.now, out)
            return
        round_won, gang.won = gang.won, []
        for one, its in round_won:
            _record_success(state, one, its, out)
        for _, its in round_won:
            _succeed(state, its.task, event.now, out)


def _record_success(state: EngineState, event: Succeeded, slot: Slot, out: list[Command]) -> None:
    task, usage = slot.task, event.usage
    task.outputs = described(task, event.outputs)
    success = rows.success_of(state, event, slot)
    alone = None if slot.recorded else success
    writes: list[Written] = []
    writes += rows.task_records(state, task, TaskState.SUCCEEDED, usage.finished, success=alone)
    if slot.recorded:
        writes.append(success.of(state.options.run_id, task.id, task.attempt))
    if task.known:
        writes.append(rows.forget_outputs(state, task))
    writes += rows.artifact_records(state, task, usage.finished)
    writes += rows.edges(state, task)
    if event.reusable and task.step.policy.cache:
        writes.append(rows.cache_entry(state, task, usage.finished))
    out.append(Record(writes, urgent=True))


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
            else:
                ended += _identify(state, dependent, now, out)
        one.inputs = ()


def _failed(state: EngineState, event: AttemptFailed, task: Task, out: list[Command]) -> None:
    slot = _end_lease(state, task)
    event = rows.in_our_time(event, slot)
    if task.gang is not None:
        if gangs.fell(state, task.gang, event, slot, out):
            _settle(state, task.gang, event.now, out)
        return
    problem = event.problem
    if slot.reason is Cancelled:
        problem = Cancelled("cancelled while it ran")
        record = rows.failed_attempt(state, AttemptState.CANCELLED, event, slot)
        out.append(Record((record,), urgent=True))
        _finish(state, task, TaskState.CANCELLED, problem, event.now, out)
        return
    attempt = rows.failed_attempt(state, AttemptState.FAILED, event, slot)
    if is_retried(state, task, event):
        _delay(state, task, event, attempt, out)
        return
    out.append(Record((attempt,), urgent=True))
    _finish(state, task, TaskState.FAILED, problem, event.now, out)


def _delay(state: EngineState, task: Task, event: AttemptFailed, attempt: AttemptRecord, out: list[Command]) -> None:
    out.append(Record((attempt,), urgent=False))
    wait = prepare_next(state, task, event)
    _put_off(state, task, event, out)
    out.append(Later(event.now + wait, Due(task, event.now)))


def _put_off(state: EngineState, task: Task, event: AttemptFailed, out: list[Command]) -> None:
    _move(state, task, TaskState.DELAYED)
    records = rows.task_records(state, task, TaskState.DELAYED, None, error=event.problem.error)
    out.append(Record(records, urgent=False))


def _due(state: EngineState, event: Due, task: Task, out: list[Command]) -> None:
    for one in (task,) if task.gang is None else task.gang.tasks:
        _ready(state, one, event.now)


# --- gangs ------------------------------------------------------------------------------------------------------


def _leave_round(state: EngineState, gang: Gang, task: Task, now: float, out: list[Command]) -> None:
    """An attempt of a gang was taken back before it began."""
    gang.running.discard(task)
    if gang.broken is None:
        gangs.break_round(state, gang, Broken("back", task), out)
    if not gang.running:
        _settle(state, gang, now, out)


def _settle(state: EngineState, gang: Gang, now: float, out: list[Command]) -> None:
    """A broken round is over: its cause decides what becomes of all tasks of the gang."""
    cause, gang.broken = gang.broken, None
    lost, gang.lost = gang.lost, []
    assert cause is not None
    if cause.kind == "failed" and is_retried(state, cause.task, cause.event):
        wait = prepare_next(state, cause.task, cause.event)
        for one in gang.tasks:
            one.ask_memory(cause.task.resources.memory)
            _put_off(state, one, cause.event, out)
        out.append(Later(now + wait, Due(cause.task, now)))
    elif cause.kind == "failed":
        _finish(state, cause.task, TaskState.FAILED, cause.event.problem, now, out)
    elif cause.kind == "cancelled" or state.cancelling:
        _finish(state, cause.task, TaskState.CANCELLED, Cancelled("cancelled while it ran"), now, out)
    else:
        waiting = {task for task, _ in lost}
        highest = max(one.attempt - one.attempts_before for one in gang.tasks)
        for one in gang.tasks:
            if one.attempt - one.attempts_before == highest and highest:
                one.attempts_before += 1  # who was stopped is not to blame
        for one in gang.tasks:
            if one not in waiting:
                _ready(state, one, now, front=True)
        for task, event in lost:
            _wait_again(state, task, event, out)


def _finish(state: EngineState, task: Task, final: TaskState, problem: Problem, now: float, out: list[Command]) -> None:
    """End a task without a result, and with it all that needed it. A loop, because chains of them may be long."""
    ended = [(task, final, problem)]
    state.placement.closed |= final is TaskState.FAILED and state.options.stops_at_failure
    for one, state_after, why in ended:
        if one.state in _FINAL:  # it needed two of them
            continue
        _move(state, one, state_after)
        state.live.discard(one)
        one.problem = why
        if one.id.number >= 0:
            records = rows.task_records(state, one, state_after, now, error=why.error)
            out.append(Record(records, urgent=True))
        out.append(Resolve(one))
        ended += [(dependent, *upstream(one, why)) for dependent in one.dependents]
        if one.gang is not None and not one.gang.over:
            one.gang.over = True
            ended += [(other, *gangs.fate(one.gang)) for other in one.gang.tasks if other in state.live]
        one.dependents = []
        one.pending = one.inputs = ()


# --- trouble ----------------------------------------------------------------------------------------------------


def _timed_out(state: EngineState, event: TimeOver, task: Task, out: list[Command]) -> None:
    if state.placement.condemn(event.token, TimedOut) is not None:
        out.append(Kill(event.token, 0.0))


def _exceeded(state: EngineState, event: Exceeded, task: Task, out: list[Command]) -> None:
    if state.placement.condemn(event.token, OutOfMemory) is not None:
        out.append(Kill(event.token, 0.0))


def _cancel_idle(state: EngineState, event: Cancel, task: Task, out: list[Command]) -> None:
    _finish(state, task, TaskState.CANCELLED, Cancelled("cancelled before it ran"), event.now, out)


def _cancel_running(state: EngineState, event: Cancel, task: Task, out: list[Command]) -> None:
    if task.gang is not None:
        if task.gang.broken is None:
            gangs.break_round(state, task.gang, Broken("cancelled", task), out)
        else:
            task.gang.broken.kind = "cancelled"
        return
    slot = state.placement.condemn(task.token, Cancelled)
    if slot is not None and not slot.ahead:  # else its worker is busy with another task, which is not to blame
        out.append(Kill(task.token, CANCEL_GRACE))


def _input_lost(state: EngineState, event: InputLost, task: Task, out: list[Command]) -> None:
    """Take the attempt back and let the task wait for its producer, which runs again."""
    slot = _end_lease(state, task)
    _take_back(state, slot, event.token, event.now, out)
    if task.gang is not None:
        task.gang.lost.append((task, event))
        _leave_round(state, task.gang, task, event.now, out)
    elif slot.reason is Cancelled:
        _finish(state, task, TaskState.CANCELLED, Cancelled("cancelled before it ran"), event.now, out)
    else:
        _wait_again(state, task, event, out)


def _wait_again(state: EngineState, task: Task, event: InputLost, out: list[Command]) -> None:
    if task.state in _FINAL:  # with its gang
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
        _finish(state, task, *upstream(event.producer, event.producer.problem), event.now, out)
        return
    _move(state, task, TaskState.WAITING)
    _depend(task, event.producer)
    if not task.waiting_on:  # it has finished meanwhile
        task.inputs = task.final_inputs()
        _ready(state, task, event.now)


def _recall(state: EngineState, event: Recall, task: Task, out: list[Command]) -> None:
    record = event.record
    task.created = record.created
    task.id, task.key, task.occurrence = record.id, record.key, record.occurrence
    task.attempt = task.attempts_before = record.attempts
    task.known = True
    task.earlier = record.lone_attempt
    task.inputs = task.final_inputs()
    task.code = reuse.code_of(state, task, task.inputs)
    _enter(state, task)
    if state.cancelling:
        _finish(state, task, TaskState.CANCELLED, Cancelled("the run is being cancelled"), event.now, out)
    else:
        _ready(state, task, event.now)


def _enter(state: EngineState, task: Task) -> None:
    state.live.add(task)
    state.moved.add(task.step.name)
    counts = state.counts.get(task.step.name)
    if counts is None:
        counts = state.counts[task.step.name] = dict.fromkeys(TaskState, 0)
    counts[task.state] += 1


def _move(state: EngineState, task: Task, to: TaskState) -> None:
    if to not in TASK_TRANSITIONS[task.state]:
        raise IllegalTransitionError(f"task {task.id}: {task.state} cannot become {to}")
    name = task.step.name
    state.moved.add(name)
    counts = state.counts[name]
    counts[task.state] -= 1
    counts[to] += 1
    task.state = to


_W, _READY, _RUN, _DELAY = TaskState.WAITING, TaskState.READY, TaskState.RUNNING, TaskState.DELAYED
_CANCEL = Reaction("it ends as cancelled, and with it what needs it", _cancel_idle)

#: What each event means for a task in each state. Events that name an attempt are ignored once its lease is over, so
#: that their task is always running. ``Schedule`` and ``Resized`` are about no task.
TABLE: dict[type, dict[TaskState, Reaction]] = {
    Submit: row({_W: Reaction("waits for inputs, or is identified: reused, looked up or ready", _submit)}),
    Recall: row({_W: Reaction("ready, as its record says", _recall)}),
    CacheAnswer: row({_W: Reaction("succeeded with the answer, or ready", _cache_answer)}, ended=IGNORED),
    Succeeded: row({_RUN: Reaction("succeeded; its dependents go on", _succeeded)}),
    AttemptFailed: row({_RUN: Reaction("delayed for a retry, failed, or cancelled as asked", _failed)}),
    InputLost: row({_RUN: Reaction("waits for the input to be made again", _input_lost)}),
    Handback: row({_RUN: Reaction("ready again, before others", _handback)}),
    Promote: row({_RUN: Reaction("holds its resources from now on", _promote)}),
    Due: row({_DELAY: Reaction("ready", _due), _W: IGNORED, _READY: IGNORED, _RUN: IGNORED}, ended=IGNORED),
    TimeOver: row({_RUN: Reaction("its worker is killed", _timed_out)}),
    Unclaimed: row({_RUN: Reaction("ready again if its worker has not come back", _unclaimed)}),
    Exceeded: row({_RUN: Reaction("its worker is killed", _exceeded)}),
    Cancel: row(
        {_W: _CANCEL, _READY: _CANCEL, _DELAY: _CANCEL, _RUN: Reaction("its worker is stopped", _cancel_running)},
        ended=IGNORED,
    ),
}

#: Events that name one attempt.
BY_TOKEN = frozenset({Succeeded, AttemptFailed, InputLost, Promote, TimeOver, Unclaimed, Exceeded})
