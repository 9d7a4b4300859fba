"""Whether a failed attempt is followed by another one, when, and with how much memory. Pure, and used by ``decide``."""

from __future__ import annotations

from headrace._base.retry import backoff_delay
from headrace.engine.events import AttemptFailed
from headrace.engine.state import EngineState
from headrace.engine.tasks import Task
from headrace.model.errors import CommandRefusedError
from headrace.model.outcomes import NotSetUp, OutOfMemory

#: Failures of this class are final, whatever the step's policy is.
_FINAL = f"{CommandRefusedError.__module__}.{CommandRefusedError.__qualname__}"


def is_retried(state: EngineState, task: Task, event: AttemptFailed) -> bool:
    """Whether the step's policy has another attempt for a task whose attempt failed with ``event``."""
    retry = task.step.policy.retry
    done = task.attempt - 1 - task.attempts_before
    classes = event.problem.classes
    final = _FINAL in classes or isinstance(event.problem, NotSetUp)
    return done < retry.count and _matches(retry.on, classes) and not final and not state.cancelling


def _matches(on: tuple[str, ...], classes: tuple[str, ...]) -> bool:
    return not on or any(name in on or name.rpartition(".")[2] in on for name in classes)


def prepare_next(state: EngineState, task: Task, event: AttemptFailed) -> float:
    """Ask for more memory if the last attempt lacked it. Returns the seconds until the next one."""
    retry = task.step.policy.retry
    retry_number = task.attempt - task.attempts_before
    if isinstance(event.problem, OutOfMemory) and task.resources.memory:
        grown = int(task.resources.memory * retry.memory_factor)
        largest = state.placement.room_of(task).capacity.largest
        task.ask_memory(grown if largest is None else min(grown, largest.memory))
    roll = int.from_bytes(task.key[:4], "little") ^ (task.attempt * 0x9E3779B1) & 0xFFFFFFFF
    return backoff_delay(retry_number, retry.delay, retry.backoff, retry.max_delay, retry.jitter, roll / 2**32)
