"""What the engine knows about a run in progress. Owned and changed by ``decide`` alone; everybody else only reads.

Only live tasks are kept: a finished one survives as long as the flow holds its future, so memory does not grow with
the length of the run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import msgspec

from headrace.engine.events import Event, PendingInput, StepInfo
from headrace.model.errors import HeadraceError
from headrace.model.messages import Output
from headrace.model.policy import Resources
from headrace.model.records import Input, Source, TaskId, TaskRecord
from headrace.model.states import TASK_TRANSITIONS, TaskState, advance
from headrace.model.values import Packed

NO_ID = TaskId("", -1)


class Problem(msgspec.Struct, frozen=True):
    """Why a task has no result; what the waiting flow turns into an exception."""

    failure: str  # a model.states.Failure, "cancelled" or "upstream"
    error: str
    traceback: str = ""
    exception: Packed | None = None
    classes: tuple[str, ...] = ()
    exit_code: int | None = None
    upstream: Problem | None = None


class Task:
    """One call of a step, from the call to its end. Created by the shell, filled in by the engine."""

    __slots__ = (
        "__weakref__",
        "attempt",
        "attempts_before",
        "created",
        "dependents",
        "handle",
        "id",
        "inputs",
        "key",
        "memory",
        "occurrence",
        "origin",
        "outputs",
        "pending",
        "problem",
        "ready_at",
        "started",
        "state",
        "step",
        "token",
        "waiting_on",
    )

    def __init__(self, step: StepInfo, pending: tuple[PendingInput, ...]) -> None:
        self.step = step
        self.pending = pending
        self.inputs: tuple[Input, ...] = ()
        self.state = TaskState.WAITING
        self.id = NO_ID
        self.key = b""
        self.occurrence = 0
        self.attempt = 0
        self.attempts_before = 0  # in earlier sessions; they do not use up the retries of this one
        self.token = 0
        self.memory = step.policy.resources.memory
        self.waiting_on = 0
        self.dependents: list[Task] = []
        self.outputs: tuple[Output, ...] = ()
        self.problem: Problem | None = None
        self.origin = ""
        self.created = 0.0
        self.ready_at = 0.0
        self.started: float | None = None
        self.handle: object = None  # the shell's: whom to wake

    def move(self, new: TaskState) -> None:
        """Change state along the table."""
        self.state = advance(TASK_TRANSITIONS, self.state, new)

    @property
    def resources(self) -> Resources:
        """What its next attempt occupies."""
        asked = self.step.policy.resources
        return asked if self.memory == asked.memory else Resources(asked.cpu, self.memory, asked.gpu)

    def output(self, name: str) -> Packed:
        """The manifest of a named output of a succeeded task."""
        for one in self.outputs:
            if one.name == name:
                return one.value
        raise HeadraceError(f"task {self.id} has no output {name!r}; it has {[o.name for o in self.outputs]}")

    def final_inputs(self) -> tuple[Input, ...]:
        """Its inputs as they are recorded, once all it depends on has finished."""
        return tuple(_final(one) for one in self.pending)


def _final(one: PendingInput) -> Input:
    if not one.sources:
        assert one.value is not None
        return Input(one.name, one.value)
    sources = tuple(
        Source(s.task.id.step, s.task.id.number, s.output, s.task.output(s.output).digest) for s in one.sources
    )
    if one.value is None:
        first = one.sources[0]
        return Input(one.name, first.task.output(first.output), sources)
    return Input(one.name, one.value, sources, template=True)


class Slot(msgspec.Struct):
    """A live lease of an attempt on resources. What is free is computed from these, so none can leak."""

    task: Task
    resources: Resources
    gpus: tuple[int, ...]
    ahead: bool
    started: float
    reason: str = ""  # why it is being killed
    recorded: bool = False  # as running


class Recorded(msgspec.Struct):
    """A task of an earlier session of this run, with its outputs when it succeeded and they may be reused."""

    record: TaskRecord
    outputs: tuple[Output, ...] | None


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a run is to be driven."""

    run_id: int
    session: int = 1
    capacity: Resources = Resources()
    max_parallel: int = 0
    use_cache: bool = True
    reuse_changed: bool = False


class Lane(msgspec.Struct):
    """Ready tasks of equal shape, first come first served: when the head does not fit, none does."""

    tasks: deque[Task] = msgspec.field(default_factory=deque)


class EngineState:
    """See the module. ``recorded`` maps keys to what an earlier session left."""

    def __init__(self, options: RunOptions, recorded: Mapping[bytes, Recorded] | None = None) -> None:
        self.options = options
        self.recorded: dict[bytes, Recorded] = dict(recorded or {})
        self.occurrences: dict[tuple[str, bytes], int] = {}
        self.next_number: dict[str, int] = {}
        self.live: set[Task] = set()
        self.lanes: dict[tuple[Resources, str], Lane] = {}
        self.slots: dict[int, Slot] = {}
        self.next_token = 1
        self.cancelling = False
        self.counts: dict[str, dict[TaskState, int]] = {}
        self.reused = 0
        for one in self.recorded.values():
            record = one.record
            self.next_number[record.step] = max(self.next_number.get(record.step, 1), record.number + 1)

    def used(self) -> tuple[float, int, int]:
        """Cores, bytes and devices under lease; slots sent ahead wait their turn and use nothing."""
        cpu, memory, gpu = 0.0, 0, 0
        for slot in self.slots.values():
            if not slot.ahead:
                cpu += slot.resources.cpu
                memory += slot.resources.memory
                gpu += slot.resources.gpu
        return cpu, memory, gpu

    def free_gpus(self) -> list[int]:
        """Devices nobody holds."""
        held = {gpu for slot in self.slots.values() for gpu in slot.gpus}
        return [gpu for gpu in range(self.options.capacity.gpu) if gpu not in held]


class Timer(msgspec.Struct, order=True):
    """An event due at a time; ``order`` breaks ties."""

    at: float
    order: int
    event: Event
