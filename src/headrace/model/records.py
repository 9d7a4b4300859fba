"""The rows of the metadata store, as frozen records. Times are seconds since the epoch (UTC), sizes bytes.

A task is named by ``(run_id, step, number)`` inside a store and ``flow/number/step/number`` to people
(``train/42/fit/3``). Step ``""`` number ``0`` stands for the flow function itself: its logs, its result.
"""

# Annotations are objects here, not texts, which msgspec would evaluate one by one when it makes a decoder.

import math
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from headrace.model.states import AttemptState, RunState, TaskState
from headrace.model.values import Blob, Packed, Preview

#: Numbers of tasks from here on are those of nodes of a gang: node 1 of the gang whose first task is 2 is 1000000002,
#: and is written ``2_node_1``.
NODES = 10**9
_NODE = "_node_"


def node_number(first: int, node: int) -> int:
    """The number of a node of the gang whose first task is number ``first``."""
    return first + node * NODES


def task_text(number: int) -> str:
    """The number of a task as people write it."""
    return f"{number % NODES}{_NODE}{number // NODES}" if number >= NODES else str(number)


def task_number(text: str) -> int | None:
    """The number of the task that people write so; None when it can be none."""
    first, node, index = text.partition(_NODE)
    if not _is_short_number(first) or (node and not _is_short_number(index)):
        return None
    return node_number(int(first), int(index) if node else 0)


def _is_short_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9


class TaskId(NamedTuple):
    """A task within a run."""

    step: str
    number: int

    def __str__(self) -> str:
        step, number = self
        return f"{step}/{number}" if number < NODES else f"{step}/{task_text(number)}"


#: Numbers of runs from here on are those of another system, such as times in microseconds: a run that came from there
#: keeps its own, and new runs of the flow are counted on without it.
FOREIGN_NUMBERS = 10**12

#: Owner of what the flow function itself prints, tracks and returns.
FLOW_TASK = TaskId("", 0)
#: Kinds of artifacts that are facts about steps, or about pods that they ran in, and not values of users.
UNLISTED = ("code", "environment", "pod")
#: The kind of the row with the history of a pod (``model.pod_history``).
POD = "pod"


def pod_owner(pod: str) -> TaskId:
    """Under which name the history of a pod is kept. No step has it."""
    return TaskId(f"@{pod}", 0)


class Source(msgspec.Struct, frozen=True, array_like=True):
    """The named output of a task, as an input of another; ``digest`` is that of the artifact it was."""

    step: str
    number: int
    output: str
    digest: bytes


class Input(msgspec.Struct, frozen=True, array_like=True):
    """One argument of a call, as stored with the task: enough to call again and to explain the key.

    ``name`` is the parameter's name (``values[2]`` inside ``*values``); ``value`` its manifest. When it came from
    tasks, ``sources`` names the outputs it is made of: an argument that *is* one output has its manifest in
    ``value``; a container of futures is a template whose holes are filled, in order, from ``sources``.
    """

    name: str
    value: Packed
    sources: tuple[Source, ...] = ()
    template: bool = False


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of a flow."""

    id: int
    project: str
    flow: str
    number: int
    state: RunState
    dialect: str
    entry: str  # "path/to/file.py:function", how to load the flow again
    created: float
    started: float
    finished: float | None = None
    session: int = 1  # grows by one with every resume
    inputs: tuple[Input, ...] = ()  # the parameters, packed, to resume with
    user: str = ""
    host: str = ""
    pid: int = 0
    git_commit: str = ""
    git_dirty: bool = False
    details: bytes = b""  # msgpack of RunDetails: source files, packages, command line
    error: str = ""  # "ValueError: ..." of a failed run
    traceback: str = ""
    failed_task: str = ""  # "fit/3", when one task's failure ended the run

    @property
    def name(self) -> str:
        """What people call the run: ``train/42``."""
        return f"{self.flow}/{self.number}"


class CodeRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The code package of a run: the blob with its manifest (``model.code``), and how large all of it is."""

    package: Blob
    entry: str = ""  # where the flow is in it: ``train.py:train``; no file in front of the colon: in a notebook
    module: str = ""  # the name of the flow's module
    files: int = 0
    size: int = 0  # bytes of all files


class RunDetails(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a run records of its surroundings; kept apart because listings do not need it."""

    sources: dict[str, Blob] = {}  # of runs before code packages: path relative to ``root`` -> the blob with the file
    code: CodeRecord | None = None
    root: str = ""
    git_diff: Blob | None = None  # holds ``git diff HEAD``, when the tree was dirty
    left_out: dict[str, str] = {}  # what could not be recorded, or not whole, and why
    python: str = ""
    platform: str = ""
    packages: dict[str, str] = {}  # installed distributions: name -> version
    argv: tuple[str, ...] = ()
    cwd: str = ""
    seed: int | None = None  # what random numbers of tasks are made of; None: of chance
    reproduces: str = ""  # the run that this one runs again: ``train/42``, or a step or task of it
    place: str = ""  # where tasks run whose step names none
    environment: str = ""  # the name of their environment, where the command line gave one
    secrets: tuple[str, ...] = ()  # names of those that steps asked for when it began
    titles: dict[str, str] = {}  # of steps that people know by another name, by step
    addresses: dict[str, str] = {}  # by place: HOST:PORT at which the last session listens for workers


class Success(msgspec.Struct, frozen=True, array_like=True):
    """How an attempt succeeded; its fields are those of ``AttemptRecord``."""

    started: float
    finished: float
    host: str
    pid: int
    cpu_seconds: float
    peak_memory: int
    session: int
    place: str
    token: int

    def of(self, run_id: int, task: TaskId, attempt: int) -> "AttemptRecord":
        """The record of the attempt that succeeded so."""
        step, number = task
        how = msgspec.structs.asdict(self)
        return AttemptRecord(
            run_id=run_id, step=step, number=number, attempt=attempt, state=AttemptState.SUCCEEDED, **how
        )


class TaskRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a step in a run: its identity, and where it stands.

    ``success`` is that of attempt number ``attempts`` where this attempt has no record of its own: it was over before
    it had to be recorded as running. Most tasks are recorded so, as one row.
    """

    run_id: int
    step: str
    number: int
    key: bytes  # 32 bytes: digest of (step, digest of inputs, occurrence)
    state: TaskState
    inputs: tuple[Input, ...]
    occurrence: int  # 0 for the first of equal calls in the run
    code: bytes  # digest of the step's own code with the user functions it reaches
    environment: bytes = b""  # digest of interpreter and packages
    cache_key: bytes = b""  # empty: the step does not cache
    reused_from: str = ""  # "train/41/fit/3" when the result came from the cache
    attempts: int = 0
    created: float = 0.0
    started: float | None = None
    finished: float | None = None
    session: int = 1  # the session of the run that last ran or reused it
    error: str = ""  # last line of the failure, for listings
    tags: tuple[str, ...] = ()
    success: Success | None = None

    @property
    def id(self) -> TaskId:
        """Its name within the run."""
        return TaskId(self.step, self.number)

    @property
    def lone_attempt(self) -> "AttemptRecord | None":
        """The attempt that ``success`` tells of."""
        return None if self.success is None else self.success.of(self.run_id, self.id, self.attempts)


class AttemptRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One try of a task, numbered from 1 over the whole life of the task; recorded from its start, and ended in place.

    ``place``, ``host`` and ``pid`` say where it runs or ran; ``session`` (of the run) and ``token`` are what its worker
    names when it reports. Attempts recorded before schema 3 have neither.
    """

    run_id: int
    step: str
    number: int
    attempt: int
    state: AttemptState
    started: float
    finished: float | None = None
    host: str = ""
    pid: int = 0
    cpu_seconds: float = 0.0
    peak_memory: int = 0
    failure: str = ""  # a model.states.Failure, when failed
    exit_code: int | None = None  # negative: killed by that signal
    error: str = ""  # "ValueError: ..."
    traceback: str = ""
    exception: Packed | None = None  # the exception object itself, when it could be stored
    session: int = 0
    place: str = ""
    token: int = 0


class ArtifactRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A named output of a task (``result`` for a plain return)."""

    run_id: int
    step: str
    number: int
    name: str
    value: Packed
    preview: Preview
    created: float
    kind: str = "output"  # "output" | "logged" (``log_artifact``, ``log_figure``, ...)


class Edge(msgspec.Struct, frozen=True, array_like=True):
    """``parent``'s output went into ``child``, both in run ``run_id``."""

    run_id: int
    parent_step: str
    parent_number: int
    child_step: str
    child_number: int


class QueueCount(msgspec.Struct, frozen=True, array_like=True):
    """How many tasks of a step of a live run are in each state that is not final.

    ``total`` counts all tasks of the step that the run knows of, finished ones included. ``changed`` is the time at
    which this was so, in seconds since the epoch.
    """

    run_id: int
    step: str
    waiting: int
    ready: int
    delayed: int
    running: int
    total: int
    changed: float


class LogChunk(msgspec.Struct, frozen=True, kw_only=True):
    """Some bytes an attempt wrote. ``seq`` orders the chunks of one attempt; ``stream`` is ``out`` or ``err``.

    ``id`` grows with the arrival of chunks and segments in the store, which sets it.
    """

    run_id: int
    step: str
    number: int
    attempt: int
    seq: int
    stream: str
    time: float
    data: bytes
    id: int = 0

    @property
    def last_seq(self) -> int:
        """``seq``, as a segment has it."""
        return self.seq


class LogPiece(msgspec.Struct, frozen=True, array_like=True):
    """A chunk within a segment: its place in the order of the attempt's chunks, its time, its number of bytes."""

    seq: int
    time: float
    size: int


class LogSegment(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive chunks of one stream of an attempt, whose bytes are one ``blob`` in the artifact store.

    It stands for the chunks that it is made of: writing it removes those. ``id`` is as that of a chunk, so greater than
    those of its chunks were.
    """

    run_id: int
    step: str
    number: int
    attempt: int
    stream: str
    blob: Blob
    pieces: tuple[LogPiece, ...]
    id: int = 0

    @property
    def last_seq(self) -> int:
        """The ``seq`` of its last chunk."""
        return self.pieces[-1].seq


class MetricChunk(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive points of one metric of one task. The three columns have equal length.

    ``id`` grows with the arrival of chunks in the store, which sets it.
    """

    run_id: int
    step: str
    number: int
    name: str
    values: tuple[float, ...]
    steps: tuple[int, ...]
    times: tuple[float, ...]
    id: int = 0


class MetricSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What listings and filters need of a metric over a whole run."""

    run_id: int
    name: str
    last: float
    min: float
    max: float
    count: int
    step: int  # of the last point


def summed_up(chunks: Iterable[MetricChunk]) -> list[MetricSummary]:
    """Summaries of points, in the order of their arrival; by run and name. As databases do, they know one zero only."""
    by_name: dict[tuple[int, str], list[MetricChunk]] = {}
    for chunk in chunks:
        if chunk.values:
            by_name.setdefault((chunk.run_id, chunk.name), []).append(chunk)
    found = []
    for (run_id, name), group in sorted(by_name.items()):
        values = [value + 0.0 for chunk in group for value in chunk.values]
        numbers = [value for value in values if not math.isnan(value)] or [math.nan]
        found.append(
            MetricSummary(
                run_id=run_id,
                name=name,
                last=values[-1],
                min=min(numbers),
                max=max(numbers),
                count=len(values),
                step=group[-1].steps[-1],
            )
        )
    return found


class Request(msgspec.Struct, frozen=True, array_like=True):
    """Something of a run that an actor changed: ``tag``, ``untag``, ``cancel``, ``answer``, ``delete``.

    ``detail`` says which; ``created`` is the time in seconds since the epoch. It stays when the run is deleted.
    """

    run_id: int
    project: str
    run: str
    action: str
    detail: str
    actor: str
    created: float


class Tag(msgspec.Struct, frozen=True, array_like=True):
    """``name`` (a plain tag) or ``name=value`` on a run."""

    run_id: int
    name: str
    value: str = ""


class RunFlags(msgspec.Struct, frozen=True, array_like=True):
    """How users marked a run: ``pinned`` (kept by garbage collection), ``archived`` (not listed unless asked for).

    ``deleted``: when the run is to be deleted for good, in seconds since the epoch; until then it can be restored.
    """

    run_id: int
    pinned: bool = False
    archived: bool = False
    deleted: float | None = None


class Param(msgspec.Struct, frozen=True, array_like=True):
    """A parameter of a run for showing and filtering: ``text`` is JSON where the value is plain, else a repr."""

    run_id: int
    name: str
    text: str
    logged: bool = False  # by ``log_params`` rather than the flow's signature


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """A message to the process that drives a run: ``cancel``, or ``answer`` to a named question."""

    id: int
    run_id: int
    kind: str
    name: str
    value: bytes  # msgpack
    sender: str
    created: float


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """A durable wait: for an answer (``wait_for``) or a time (``sleep``). ``key`` is that of a task."""

    run_id: int
    key: bytes
    kind: str  # "answer" | "sleep"
    name: str
    prompt: str
    created: float
    until: float | None  # when it ends by itself
    done: bool = False
    value: bytes = b""  # msgpack of the answer


def lease_name(run_id: int) -> str:
    """The name of the lease whose owner drives a run."""
    return f"run:{run_id}"


#: How long a driver's lease on its run lasts unless it is extended.
LEASE_SECONDS = 10.0


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The right to write on behalf of ``name``. ``token`` grows with every owner: it fences.

    It lasts for ``left`` seconds from when it was read, by the clock of the store; negative when it has expired.
    ``note`` is what the owner says of itself with each commit that extends it: packed counters of
    its loop, or nothing.
    """

    name: str
    owner: str  # "host:pid:start-time-of-the-process"
    token: int
    left: float
    note: bytes = b""
