"""What the engine is told (events) and what it asks for (commands). Plain values; nothing here acts."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headrace.engine.tasks import Task
from headrace.model.messages import Output, Usage
from headrace.model.outcomes import Problem
from headrace.model.records import ArtifactRecord, AttemptRecord, Edge, TaskId, TaskRecord
from headrace.model.workers import Capacity
from headrace.stores.metadata.protocol import CacheEntry, DropOutputs

#: What the engine records of tasks.
Written = TaskRecord | AttemptRecord | ArtifactRecord | Edge | CacheEntry | DropOutputs


# --- events -----------------------------------------------------------------------------------------------------


class Submit(msgspec.Struct):
    """The flow called a step. ``task`` is new; the engine fills it in."""

    task: Task
    now: float


class Recall(msgspec.Struct):
    """The outputs of a finished task cannot be read any more: run it again from its record as ``task``."""

    task: Task
    record: TaskRecord
    now: float


class CacheAnswer(msgspec.Struct):
    """What the cache said about a task: outputs, their origin (``train/41/fit/3``) and its entry, or None."""

    task: Task
    outputs: tuple[Output, ...] | None
    origin: str
    now: float
    entry: CacheEntry | None = None


class Succeeded(msgspec.Struct):
    """An attempt finished and its outputs are in the store; ``reusable``: the cache may keep them."""

    token: int
    outputs: tuple[Output, ...]
    usage: Usage
    now: float
    where: tuple[str, int] = ("", 0)  # host and process of the worker
    reusable: bool = True


class AttemptFailed(msgspec.Struct):
    """An attempt failed: it raised, its worker died, or it was killed as asked."""

    token: int
    problem: Problem
    now: float
    usage: Usage | None = None
    where: tuple[str, int] = ("", 0)


class InputLost(msgspec.Struct):
    """An attempt could not start because an output it takes is gone; ``producer`` is being run again."""

    token: int
    producer: Task
    parent: TaskId
    output: str
    now: float


class Handback(msgspec.Struct):
    """A worker gave back attempts that it had not started, or (``why``) ended by no fault of theirs."""

    tokens: tuple[int, ...]
    now: float
    why: str = ""


class Promote(msgspec.Struct):
    """A worker went on to an attempt that had been sent ahead, or came back with one; it is on ``machine``."""

    token: int
    now: float
    machine: str = ""


class Due(msgspec.Struct):
    """A retry's delay is over."""

    task: Task
    now: float


class TimeOver(msgspec.Struct):
    """An attempt has run for as long as its step allows."""

    token: int
    now: float


class Unclaimed(msgspec.Struct):
    """The time is over that is given to the worker of an earlier session's attempt to come back."""

    token: int
    now: float


class Exceeded(msgspec.Struct):
    """An attempt uses more memory than its step asked for."""

    token: int
    used: int
    now: float


class Cancel(msgspec.Struct):
    """Stop one task, or all of them; of all with ``final``: nothing runs any more that comes later."""

    task: Task | None
    now: float
    final: bool = True


class Resized(msgspec.Struct):
    """A place offers another capacity than before, or is new."""

    place: str
    capacity: Capacity
    now: float


class Schedule(msgspec.Struct):
    """Start what fits. Sent once after each batch of events."""

    now: float


Event = (
    Submit
    | Recall
    | CacheAnswer
    | Succeeded
    | AttemptFailed
    | InputLost
    | Handback
    | Promote
    | Due
    | TimeOver
    | Unclaimed
    | Exceeded
    | Cancel
    | Resized
    | Schedule
)


# --- commands ---------------------------------------------------------------------------------------------------


class Start(msgspec.Struct):
    """Run an attempt; ``ahead``: queue it behind one that is about to finish. ``machine``: where there are several."""

    task: Task
    token: int
    ahead: bool
    gpus: tuple[int, ...]
    machine: str = ""


class Rejoin(msgspec.Struct):
    """Take an attempt of an earlier session over from the worker that has it, when that comes back."""

    task: Task
    token: int
    logged: tuple[int, int]
    seq: int


class Forget(msgspec.Struct):
    """Wait no longer for the worker of an attempt; a ``Handback`` follows if it has not come back."""

    token: int


class Kill(msgspec.Struct):
    """Stop the worker under an attempt; its end comes back as an ``AttemptFailed``."""

    token: int
    grace: float


class Lookup(msgspec.Struct):
    """Ask the cache; the answer comes back as a ``CacheAnswer``."""

    task: Task


class Record(msgspec.Struct):
    """Write down. ``urgent``: before anybody learns of it; else it may wait for the next commit."""

    writes: Sequence[Written]
    urgent: bool


class Resolve(msgspec.Struct):
    """The task is over: wake what waits for it. Only after all records before it are committed."""

    task: Task


class Later(msgspec.Struct):
    """Feed ``event`` back at time ``at``."""

    at: float
    event: Event


Command = Start | Rejoin | Forget | Kill | Lookup | Record | Resolve | Later
