"""A step and a task as the engine knows them."""

from __future__ import annotations

import msgspec

from headrace.identity.keys import input_digest
from headrace.model.errors import HeadraceError
from headrace.model.messages import Define, Output
from headrace.model.policy import Resources, StepPolicy
from headrace.model.records import Input, Source, TaskId
from headrace.model.states import TASK_TRANSITIONS, TaskState, advance
from headrace.model.values import Packed, Preview


class StepLoad(msgspec.Struct, eq=False):
    """What all calls of a step share, whatever their options are.

    ``running`` counts its attempts that run now; ``seconds`` is the smoothed duration of recent ones, None before the
    first.
    """

    running: int = 0
    seconds: float | None = None


class StepInfo(msgspec.Struct, eq=False):
    """A step with one policy as the engine knows it. ``id`` is the number of its definition, ``code`` its fingerprint.

    ``load`` is that of the step's name: limits hold for all calls of a step together. Tasks of steps with the same
    ``counter`` are numbered together; without one, a step's tasks are numbered by themselves. ``defaults`` are the
    digests of its arguments' defaults: a call that writes one out is the call that leaves it out.
    """

    id: int
    name: str
    policy: StepPolicy
    define: Define
    code: bytes = b""
    environment: bytes = b""
    load: StepLoad = msgspec.field(default_factory=StepLoad)
    counter: str = ""
    defaults: dict[str, bytes] = {}


class PendingSource(msgspec.Struct, array_like=True):
    """An output that an argument is, or contains; ``task`` may not be finished yet."""

    task: Task
    output: str


class PendingInput(msgspec.Struct, array_like=True):
    """An argument before the outputs it is made of are known. ``value`` is None for a bare future."""

    name: str
    value: Packed | None
    sources: tuple[PendingSource, ...] = ()


NO_ID = TaskId("", -1)

#: Names of arguments, each with the user's classes and functions in it (``Packed.code``).
CodeNames = tuple[tuple[str, tuple[str, ...]], ...]


class Problem(msgspec.Struct, frozen=True):
    """Why a task has no result; what the waiting flow turns into an exception."""

    failure: str  # a model.states.Failure, "cancelled" or "upstream"
    error: str
    traceback: str = ""
    exception: Packed | None = None
    classes: tuple[str, ...] = ()
    exit_code: int | None = None
    upstream: Problem | None = None
    task: TaskId = NO_ID  # the task that this came from, of an upstream problem


class Task:
    """One call of a step, from the call to its end. Created by the shell, filled in by the engine."""

    __slots__ = (
        "__weakref__",
        "attempt",
        "attempts_before",
        "beside",
        "code",
        "created",
        "dependents",
        "handle",
        "id",
        "inputs",
        "key",
        "known",
        "losses",
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
        self.beside: tuple[Task, int] | None = None  # the first task of a gang, and which node of it this one is
        self.key = b""
        self.code = step.code  # with the user's code in its arguments, once these are known
        self.occurrence = 0
        self.attempt = 0
        self.known = False  # an earlier session recorded it
        self.attempts_before = 0  # in earlier sessions; they do not use up the retries of this one
        self.token = 0
        self.memory = step.policy.resources.memory
        self.waiting_on = 0
        self.losses = 0  # inputs that were gone when an attempt wanted them
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
        return asked if self.memory == asked.memory else msgspec.structs.replace(asked, memory=self.memory)

    def output(self, name: str) -> Packed:
        """The manifest of a named output of a succeeded task."""
        for one in self.outputs:
            if one.name == name:
                return one.value
        raise HeadraceError(f"task {self.id} has no output {name!r}; it has {[o.name for o in self.outputs]}")

    def final_inputs(self) -> tuple[Input, ...]:
        """Its inputs as they are recorded, once all it depends on has finished."""
        return tuple(_final(one) for one in self.pending)


def code_in_arguments(task: Task, inputs: tuple[Input, ...]) -> CodeNames:
    """The user's code that the arguments of ``task``, known as ``inputs``, refer to; that in defaults is the step's."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for pending, one in zip(task.pending, inputs, strict=True):
        names = one.value.code
        if one.template:
            for source in pending.sources:
                names += source.task.output(source.output).code
        if names and task.step.defaults.get(one.name) != input_digest(one):
            found.append((one.name, tuple(sorted(set(names)))))
    return tuple(found)


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


def described(task: Task, outputs: tuple[Output, ...]) -> tuple[Output, ...]:
    """``outputs`` with the previews of inputs that they are: a worker may pass on what it never looked at."""
    missing = {one.value.digest for one in outputs if not one.preview.type}
    if not missing:
        return outputs
    known: dict[bytes, Preview] = {}
    for source in (source for one in task.pending for source in one.sources):
        for made in source.task.outputs:
            if made.name == source.output and made.value.digest in missing and made.preview.type:
                known[made.value.digest] = made.preview
        if len(known) == len(missing):
            break
    return tuple(Output(one.name, one.value, known.get(one.value.digest, one.preview)) for one in outputs)
