"""Calls of steps: what a caller makes (``Call``), and what it holds of the task that this becomes (``TaskHandle``)."""

from __future__ import annotations

import msgspec

from headrace.model.errors import HeadraceError
from headrace.model.messages import Define, Output
from headrace.model.outcomes import NO_ID, Problem
from headrace.model.policy import StepPolicy
from headrace.model.states import TaskState
from headrace.model.values import Packed


class StepLoad(msgspec.Struct, eq=False):
    """What all calls of a step share, whatever their options are. The engine's own.

    ``running`` counts its attempts that run now; ``seconds`` is the smoothed duration of recent ones, None before the
    first.
    """

    running: int = 0
    seconds: float | None = None


class StepInfo(msgspec.Struct, eq=False):
    """A step with one policy, defined in a run. ``id`` is the number of its definition, ``code`` its fingerprint.

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
    #: Attempts of steps of one kind may wait behind each other's in a worker; None: a worker is for one attempt alone.
    kind: object = ""

    def __post_init__(self) -> None:
        policy = self.policy
        if policy.isolated:
            self.kind = None
        elif policy.lock is not None or policy.image or policy.pod is not None:
            self.kind = (policy.lock, policy.image, policy.pod)

    @property
    def has_container(self) -> bool:
        """Whether each attempt has a container of its own."""
        return bool(self.policy.image and self.define.command)


class TaskHandle:
    """A task as its caller holds it, readable at any time. The engine alone changes it.

    ``done`` is set after the outcome was recorded; ``state``, ``outputs`` and ``problem`` may be ahead of it by a
    moment. ``id`` has no number until the inputs are known. ``origin`` is the name of the task whose outputs it took
    over, from the cache or from another run. ``attempt`` counts all attempts, ``attempts_before`` those of earlier
    sessions.
    """

    __slots__ = (
        "__weakref__",
        "attempt",
        "attempts_before",
        "done",
        "id",
        "origin",
        "outputs",
        "problem",
        "state",
        "step",
    )

    def __init__(self, step: StepInfo) -> None:
        self.step = step
        self.id = NO_ID
        self.state = TaskState.WAITING
        self.done = False
        self.outputs: tuple[Output, ...] = ()
        self.problem: Problem | None = None
        self.origin = ""
        self.attempt = 0
        self.attempts_before = 0

    def output(self, name: str) -> Packed:
        """The manifest of a named output of a succeeded task.

        Raises:
            HeadraceError: the task has no such output.
        """
        for one in self.outputs:
            if one.name == name:
                return one.value
        raise HeadraceError(f"task {self.id} has no output {name!r}; it has {[o.name for o in self.outputs]}")


class PendingSource(msgspec.Struct, array_like=True):
    """An output that an argument is, or contains; ``task`` may not be over yet."""

    task: TaskHandle
    output: str


class PendingInput(msgspec.Struct, array_like=True):
    """An argument before the outputs it is made of are known. ``value`` is None where one output is the argument."""

    name: str
    value: Packed | None
    sources: tuple[PendingSource, ...] = ()


class Call(msgspec.Struct, eq=False):
    """A call of a step, as a dialect makes it.

    ``unheld``: the caller waits for it but keeps nothing of it, so that the task is stopped once no caller waits any
    more. ``beside`` makes it a node of a gang: the gang's first call, with which it is submitted, in order of their
    ranks.
    """

    step: StepInfo
    inputs: tuple[PendingInput, ...]
    unheld: bool = False
    beside: Call | None = None
