"""A task as the engine knows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from headrace.identity.keys import input_digest
from headrace.model.calls import Call, PendingInput, StepInfo, TaskHandle
from headrace.model.messages import Output
from headrace.model.outcomes import NO_ID, Cancelled, Problem, UpstreamFailed
from headrace.model.policy import Resources, StepPolicy
from headrace.model.records import AttemptRecord, Input, Source
from headrace.model.states import TaskState
from headrace.model.values import Preview

#: Names of arguments, each with the user's classes and functions in it (``Packed.code``).
CodeNames = tuple[tuple[str, tuple[str, ...]], ...]


class Task(TaskHandle):
    """One call of a step, from the call to its end. Its caller holds it as a ``TaskHandle``."""

    __slots__ = (
        "callbacks",
        "code",
        "created",
        "dependents",
        "earlier",
        "gang",
        "inputs",
        "key",
        "known",
        "locks",
        "losses",
        "occurrence",
        "pending",
        "rank",
        "ready_at",
        "resources",
        "started",
        "threads",
        "token",
        "unheld",
        "waiting_on",
    )

    def __init__(self, step: StepInfo, pending: tuple[PendingInput, ...]) -> None:
        # As TaskHandle does, without another call: every task passes here.
        self.step = step
        self.id = NO_ID
        self.state = TaskState.WAITING
        self.done = False
        self.outputs: tuple[Output, ...] = ()
        self.problem: Problem | None = None
        self.origin = ""
        self.attempt = 0
        self.attempts_before = 0  # in earlier sessions; they do not use up the retries of this one
        self.pending = pending
        self.inputs: tuple[Input, ...] = ()
        self.gang: Gang | None = None
        self.rank = 0  # in its gang
        self.key = b""
        self.code = step.code  # with the user's code in its arguments, once these are known
        self.occurrence = 0
        self.known = False  # an earlier session recorded it
        self.earlier: AttemptRecord | None = None  # to be recorded before that session's row of the task is replaced
        self.token = 0
        self.resources: Resources = step.policy.resources  # what its next attempt occupies
        self.waiting_on = 0
        self.losses = 0  # inputs that were gone when an attempt wanted them
        self.dependents: list[Task] = []
        self.created = 0.0
        self.ready_at = 0.0
        self.started: float | None = None
        # Who waits, which only the loop looks at: locks of threads that sleep; an entry for each thread that waits,
        # in a list because its changes are atomic; callbacks, which run under the lock and must not call back.
        self.locks: list[Any] = []
        self.threads: list[None] = []
        self.callbacks: list[Callable[[], None]] = []
        self.unheld = False  # see ``Call``

    def ask_memory(self, size: int) -> None:
        """Let its next attempt have ``size`` bytes of memory."""
        self.resources = msgspec.structs.replace(self.resources, memory=size)

    @property
    def policy(self) -> StepPolicy:
        """That of its step, with what its next attempt asks for."""
        policy = self.step.policy
        same = self.resources is policy.resources
        return policy if same else msgspec.structs.replace(policy, resources=self.resources)

    def final_inputs(self) -> tuple[Input, ...]:
        """Its inputs as they are recorded, once all it depends on has finished."""
        inputs = []
        for one in self.pending:
            if one.sources:
                inputs.append(_from_sources(one))
            else:
                assert one.value is not None
                inputs.append(Input(one.name, one.value))
        return tuple(inputs)


class Gang:
    """Tasks that start together or not at all, in one place, and succeed together or not at all.

    ``tasks`` is in order of their ranks. Their attempts run in rounds: the results of a round count once all have
    succeeded. When one fails, is handed back or is cancelled, the round is ``broken``, the others are stopped, and the
    cause decides what becomes of all of them once none is ``running`` any more.
    """

    __slots__ = ("answers", "broken", "known", "lost", "over", "running", "tasks", "won")

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.tasks = tuple(tasks)
        self.known = 0  # tasks of which all inputs are known
        self.answers: list[Any] = []  # of the cache, until there is one for each task
        self.over = False  # whether one has ended without a result, and so will all
        self.running: set[Task] = set()
        self.won: list[tuple[Any, Any]] = []  # of the tasks that have succeeded in this round: event and slot
        self.lost: list[tuple[Task, Any]] = []  # tasks whose inputs were gone, with the events
        self.broken: Broken | None = None
        for rank, task in enumerate(tasks):
            task.gang, task.rank = self, rank


class Broken(msgspec.Struct):
    """Why a round came to nothing: ``failed`` with ``event``, ``cancelled``, or ``back`` (not a failure)."""

    kind: str
    task: Task
    event: Any = None


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


def _from_sources(one: PendingInput) -> Input:
    sources = tuple(
        Source(s.task.id.step, s.task.id.number, s.output, s.task.output(s.output).digest) for s in one.sources
    )
    if one.value is None:
        first = one.sources[0]
        return Input(one.name, first.task.output(first.output), sources)
    return Input(one.name, one.value, sources, template=True)


def described(task: Task, outputs: tuple[Output, ...]) -> tuple[Output, ...]:
    """``outputs`` with the previews of inputs that they are: a worker may pass on what it never looked at."""
    missing = set()
    for one in outputs:
        if not one.preview.type:
            missing.add(one.value.digest)
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


def tasks_of(calls: Sequence[Call]) -> list[Task]:
    """A task for each call, without waiters."""
    tasks: list[Task] = []
    gangs: dict[int, list[Task]] = {}  # by the place of their first call
    for call in calls:
        task = Task(call.step, call.inputs)
        task.unheld = call.unheld
        if call.beside is not None:
            first = calls.index(call.beside)
            gangs.setdefault(first, [tasks[first]]).append(task)
        tasks.append(task)
    for gang in gangs.values():
        Gang(gang)
    return tasks


def upstream(cause: TaskHandle, problem: Problem) -> tuple[TaskState, Problem]:
    """How a task ends that needed ``cause``."""
    root = problem.upstream or problem
    origin = problem.task if problem.upstream else cause.id
    name = str(cause.id) if cause.id.number >= 0 else cause.step.name
    text = problem.error if problem.upstream else f"{name} failed: {problem.error}"
    if isinstance(root, Cancelled):
        return TaskState.CANCELLED, Cancelled(text, upstream=root, task=origin)
    return TaskState.FAILED, UpstreamFailed(text, upstream=root, task=origin)
