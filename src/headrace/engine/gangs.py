"""Rounds of gangs: what the attempts of one round have come to so far. Part of ``decide``, which settles a round."""

from __future__ import annotations

from headrace.engine import rows
from headrace.engine.events import AttemptFailed, CacheAnswer, Command, Kill, Record, Succeeded
from headrace.engine.placement import Slot
from headrace.engine.state import EngineState
from headrace.engine.tasks import Broken, Gang
from headrace.model.outcomes import Cancelled, Killed, Problem
from headrace.model.records import NODES
from headrace.model.states import AttemptState, TaskState

#: Seconds that the others have to end after one has failed.
GANG_GRACE = 1.0


def answered(gang: Gang, event: CacheAnswer) -> list[CacheAnswer] | None:
    """The cache has answered for a task. None while other answers are missing; then all of them, or none to be taken.

    They are taken when all tasks are answered from one earlier gang: its tasks may have talked to each other.
    """
    gang.answers.append(event)
    if len(gang.answers) < len(gang.tasks):
        return None
    answers: list[CacheAnswer] = gang.answers
    gang.answers = []
    found = {(one.entry.run_id, one.entry.number % NODES) for one in answers if one.entry is not None}
    whole = len(found) == 1 and all(one.outputs is not None for one in answers)
    return answers if whole else []


def won(state: EngineState, gang: Gang, event: Succeeded, slot: Slot, out: list[Command]) -> bool:
    """An attempt has succeeded. Returns whether that settles the round: all have, or it was broken and none runs."""
    gang.running.discard(slot.task)
    if gang.broken is None:
        gang.won.append((event, slot))
    else:
        _give_up(state, event, slot, out)
    return not gang.running


def fell(state: EngineState, gang: Gang, event: AttemptFailed, slot: Slot, out: list[Command]) -> bool:
    """An attempt has failed or was stopped. Returns whether no other runs any more."""
    gang.running.discard(slot.task)
    stopped = gang.broken is not None or slot.reason is Cancelled
    record = rows.failed_attempt(state, AttemptState.CANCELLED if stopped else AttemptState.FAILED, event, slot)
    out.append(Record((record,), urgent=False))
    if gang.broken is None:
        break_round(state, gang, Broken("cancelled" if stopped else "failed", slot.task, event), out)
    return not gang.running


def break_round(state: EngineState, gang: Gang, cause: Broken, out: list[Command]) -> None:
    """Let the round come to nothing: stop all attempts that run, give up those that have succeeded."""
    gang.broken = cause
    for event, slot in gang.won:
        _give_up(state, event, slot, out)
    gang.won.clear()
    running = [task.token for task in gang.tasks if task in gang.running]
    out += [Kill(token, GANG_GRACE) for token in running if state.placement.condemn(token, Cancelled) is not None]


def _give_up(state: EngineState, event: Succeeded, slot: Slot, out: list[Command]) -> None:
    text = "another task of its gang did not succeed"
    stopped = AttemptFailed(event.token, Killed(text), event.now, usage=event.usage, where=event.where)
    out.append(Record((rows.failed_attempt(state, AttemptState.CANCELLED, stopped, slot),), urgent=False))


def fate(gang: Gang) -> tuple[TaskState, Problem]:
    """How the other tasks of a gang end when one has ended without a result."""
    first = next(one for one in gang.tasks if one.problem is not None)
    name = str(first.id) if first.id.number >= 0 else first.step.name
    return TaskState.CANCELLED, Cancelled(f"{name} of its gang did not succeed")
