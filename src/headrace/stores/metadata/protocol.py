"""What every metadata store promises. ``headrace.testing`` holds the suite that checks it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Protocol

import msgspec

from headrace.model.records import (
    ArtifactRecord,
    AttemptRecord,
    Edge,
    Input,
    Lease,
    LogChunk,
    LogSegment,
    MetricChunk,
    MetricSummary,
    Param,
    QueueCount,
    Request,
    RunFlags,
    RunRecord,
    Signal,
    Tag,
    TaskId,
    TaskRecord,
    Wait,
)
from headrace.model.states import RunState
from headrace.model.values import Blob


class NewRun(msgspec.Struct, frozen=True, kw_only=True):
    """What must be known to open a run; the store adds its id, and its number unless it has one already."""

    project: str
    flow: str
    dialect: str
    entry: str
    created: float
    inputs: bytes = b""
    user: str = ""
    host: str = ""
    pid: int = 0
    number: int | None = None  # of a run that was numbered elsewhere


class RunChange(msgspec.Struct, frozen=True, kw_only=True):
    """New values for columns of a run; fields left ``UNSET`` keep theirs."""

    run_id: int
    state: RunState | msgspec.UnsetType = msgspec.UNSET
    started: float | msgspec.UnsetType = msgspec.UNSET
    finished: float | msgspec.UnsetType | None = msgspec.UNSET
    session: int | msgspec.UnsetType = msgspec.UNSET
    inputs: tuple[Input, ...] | msgspec.UnsetType = msgspec.UNSET
    entry: str | msgspec.UnsetType = msgspec.UNSET
    user: str | msgspec.UnsetType = msgspec.UNSET
    host: str | msgspec.UnsetType = msgspec.UNSET
    pid: int | msgspec.UnsetType = msgspec.UNSET
    git_commit: str | msgspec.UnsetType = msgspec.UNSET
    git_dirty: bool | msgspec.UnsetType = msgspec.UNSET
    details: bytes | msgspec.UnsetType = msgspec.UNSET
    error: str | msgspec.UnsetType = msgspec.UNSET
    traceback: str | msgspec.UnsetType = msgspec.UNSET
    failed_task: str | msgspec.UnsetType = msgspec.UNSET


class CacheEntry(msgspec.Struct, frozen=True, array_like=True):
    """A cache key answered by the outputs of one finished task, in the project of its run.

    ``created``: when the result was made. A task that took its result from another one has an entry of its own with the
    time of the other's, so that the result stays when the run that made it is deleted.
    """

    key: bytes
    run_id: int
    step: str
    number: int
    created: float


class Untag(msgspec.Struct, frozen=True, array_like=True):
    """Take tag ``name`` off a run; nothing happens when it is not there."""

    run_id: int
    name: str


class DropOutputs(msgspec.Struct, frozen=True, array_like=True):
    """Forget the outputs of a task, and the cache entries that name it, because it has run again.

    What its attempts logged stays.
    """

    run_id: int
    step: str
    number: int


class DropLog(msgspec.Struct, frozen=True, array_like=True):
    """Forget what an attempt wrote to ``stream`` so far, because it should not have been printed."""

    run_id: int
    step: str
    number: int
    attempt: int
    stream: str


class DropQueue(msgspec.Struct, frozen=True, array_like=True):
    """Forget all ``QueueCount`` of a run, because no driver is alive that keeps them true."""

    run_id: int


#: All that a transaction may hold. Records with the key of an existing row replace it
#: (tasks, attempts, artifacts, params, tags, waits, flags, queue counts); chunks, edges and cache entries are only ever
#: added, and adding the same edge, cache entry or log chunk (by its key) twice is the same as once.
Write = (
    RunChange
    | TaskRecord
    | AttemptRecord
    | ArtifactRecord
    | Edge
    | LogChunk
    | LogSegment
    | MetricChunk
    | Tag
    | Untag
    | Param
    | Wait
    | CacheEntry
    | DropOutputs
    | DropLog
    | QueueCount
    | Request
    | DropQueue
    | RunFlags
)


Comparison = tuple[str, str, float | str]


class AnyOf(msgspec.Struct, frozen=True):
    """A condition that holds where all conditions of one of ``alternatives`` do; where there are none, nowhere."""

    alternatives: tuple[tuple[Where, ...], ...]


Where = Comparison | AnyOf


class SortKey(msgspec.Struct, frozen=True, array_like=True):
    """Where a run stands in a sorted list: its rank, its value, and its id. Of equal values the newest run is first."""

    rank: int
    number: float
    text: str
    run_id: Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class RunFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs a listing wants, newest first unless ``sort`` says otherwise. All given conditions must hold.

    ``tags``: each a name or ``name=value``. ``marks``: each ``pinned``, ``archived`` or ``deleted`` (see ``RunFlags``),
    with ``!`` in front: runs that are not marked so. ``where``: comparisons ``(subject, operator, value)`` with subject
    ``metrics.NAME`` (the last value), ``params.NAME``, ``tags.NAME``, ``state``, ``flow``, ``number``, ``created``,
    ``duration`` or ``id``, operator one of ``= != < <= > >=``. Both sides are compared as numbers when both are
    numbers, else as texts. A run that lacks the subject, or whose metric is not a number, does not match, whatever the
    operator. ``sort``: the subject by whose values the list is sorted, with ``-`` in front for the greatest first (see
    ``sorting``); ``after``: only what comes behind the run of that key.
    """

    project: str | None = None
    flow: str | None = None
    states: tuple[RunState, ...] = ()
    tags: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    where: tuple[Where, ...] = ()
    before_id: int | None = None
    limit: int | None = None
    sort: str = ""
    after: SortKey | None = None


#: Step, number and attempt; step, number and name.
AttemptKey = tuple[str, int, int]
ArtifactKey = tuple[str, int, str]


class StepCount(msgspec.Struct, frozen=True, array_like=True):
    """How many tasks of a step are in a state."""

    step: str
    state: str
    count: int


class Subscription(Protocol):
    """What ``MetadataStore.subscribe`` returns."""

    def close(self) -> None:
        """Hear nothing more, from the moment this returns. Calling twice is the same as once."""


class MetadataStore(Protocol):
    """Runs, tasks and everything about them, except large bytes.

    Threads: every method may be called from any thread; calls are serialised inside. Processes: any number may have
    the same store open. Atomicity: ``commit`` writes all or nothing, and what it has returned from survives the death
    of the process. Records handed out are frozen. A store opened before a ``fork`` must not be used in the child.

    Pages: what a run may have many of comes in the order that its method names. ``after`` is the key of the last record
    that the caller has (none: from the start), ``limit`` the most that it wants (0: all).

    Raises everywhere: ``StoreAwayError`` when the store does not answer now and the same again may work,
    ``StoreReadOnlyError``, ``StoreFullError``, ``StoreDamagedError`` or plain ``StoreError`` with
    the path or URL in the message; ``StoreVersionError`` on opening a store of a newer version.
    """

    url: str

    def hasty(self) -> MetadataStore:
        """The same open store for a driver, which must hear its workers: calls give up after seconds, with
        ``StoreAwayError``, where this one goes on trying for half a minute. Closing either closes both."""

    # --- leases and writing ---
    # Times of leases are those of the store's own clock: of the database server, or of the machine that the file is
    # on. So drivers whose clocks differ cannot take each other's runs.

    def acquire(self, name: str, owner: str, seconds: float, *, dead: str = "") -> Lease | None:
        """Take the lease ``name`` for ``seconds`` when it is free, expired, or held by an owner equal to ``dead``.

        The new token is greater than any before. Returns None while it is held, also by an owner of the same name:
        two threads of a process are two drivers.
        """

    def lease(self, name: str) -> Lease | None:
        """The lease as it stands, expired or not; None when no process has it."""

    def release(self, lease: Lease) -> None:
        """Give the lease up; nothing happens when it was lost already."""

    def commit(
        self, writes: Sequence[Write], lease: Lease | None = None, seconds: float = 0.0, number: int = 0
    ) -> None:
        """Write all of ``writes``, in order, in one transaction.

        With a ``lease``, extends it to ``seconds`` from now (never back) in the same transaction and refuses everything
        when its token is no longer the current one. Texts that a database cannot keep (lone surrogates, NUL) are
        written with those characters replaced.

        After a ``StoreAwayError`` it may be unknown whether the writes were made: call again with the same list, under
        the same lease, before any other commit; what was made is then not made twice.

        ``number``, for commits that reach the store over a network, which may repeat, delay or reorder them: with a
        ``lease``, a commit whose number is not greater than that of the last commit of this owner writes nothing and
        raises nothing. 0: no number.

        Raises:
            LeaseLostError: nothing was written.
            IllegalTransitionError: the state of a run, task or attempt cannot follow the recorded one; nothing was
                written.
        """

    # --- runs ---
    def create_run(self, run: NewRun) -> RunRecord:
        """Open a run in state ``running``.

        Its number is one more than the flow's greatest so far in the project, deleted runs included, unless ``run``
        says which. Numbers from ``FOREIGN_NUMBERS`` on do not count for what follows.

        Raises:
            UsageError: the flow has a run of the number that is asked for.
        """

    def open_run(self, run: NewRun, owner: str, seconds: float) -> tuple[RunRecord, Lease]:
        """``create_run``, and the run's lease for ``owner`` in the same transaction."""

    def run(self, flow: str, number: int, project: str = "default") -> RunRecord | None:
        """One run by name."""

    def run_by_id(self, run_id: int) -> RunRecord | None:
        """One run by id."""

    def latest_run(self, flow: str | None = None, project: str = "default") -> RunRecord | None:
        """The newest run, of one flow or of all."""

    def runs(self, want: RunFilter) -> list[RunRecord]:
        """Runs that match, in the order that ``want`` asks for. ``inputs`` and ``details`` are left empty: ask for one
        run to get them.

        Raises:
            UsageError: a condition names what does not exist, or compares a number with a word.
        """

    def flows(self, project: str = "default") -> list[tuple[str, int, float]]:
        """``(flow, number of runs, time of the newest)`` by name."""

    def projects(self) -> list[str]:
        """The names of all projects that have runs, in order."""

    def requests(self, project: str = "default", run: str = "", limit: int = 100) -> list[Request]:
        """What actors changed on request, newest first: of the run of that name, or of all; also of deleted runs."""

    def delete_run(self, run_id: int) -> None:
        """Forget a run and all that belongs to it; its blobs stay until garbage is collected."""

    # --- what belongs to a run ---
    def tasks(
        self, run_id: int, step: str | None = None, *, states: Sequence[str] = (), after: int = 0, limit: int = 0
    ) -> list[TaskRecord]:
        """Tasks by step and number. ``after``: only greater numbers (needs ``step``); ``limit`` 0: all."""

    def task(self, run_id: int, task: TaskId) -> TaskRecord | None:
        """One task."""

    def step_counts(self, run_id: int) -> list[StepCount]:
        """How many tasks of each step are in each state, in order of first creation of the step."""

    def queue(self, run_ids: Sequence[int]) -> list[QueueCount]:
        """Counts of tasks that wait or run, by run and step; of live runs, and of those whose driver was killed."""

    def attempts(
        self, run_id: int, task: TaskId | None = None, *, after: AttemptKey | None = None, limit: int = 0
    ) -> list[AttemptRecord]:
        """The attempts of one task, or of the whole run, by step, number and attempt; those that run now included."""

    def artifacts(
        self, run_id: int, task: TaskId | None = None, *, after: ArtifactKey | None = None, limit: int = 0
    ) -> list[ArtifactRecord]:
        """The artifacts of one task, or of the whole run, by step, number and name."""

    def outputs(self, run_id: int, tasks: Sequence[TaskId]) -> dict[TaskId, dict[str, ArtifactRecord]]:
        """The outputs (kind ``output``) of many tasks at once."""

    def parents(self, run_id: int, task: TaskId) -> list[TaskId]:
        """Tasks whose outputs went into this one."""

    def children(self, run_id: int, task: TaskId) -> list[TaskId]:
        """Tasks that took an output of this one."""

    def edges(self, run_id: int, *, after: Edge | None = None, limit: int = 0) -> list[Edge]:
        """The edges of a run, by child and parent."""

    def logs(
        self, run_id: int, task: TaskId | None, attempt: int | None = None, after: int = 0, limit: int = 0
    ) -> list[LogChunk | LogSegment]:
        """What was written, by time of arrival (``id``); ``after``: only what is later than an id or ``log_position``.

        A segment comes at the time at which it was made of chunks that were there before it.
        """

    def segments(self, run_id: int, *, after: int = 0, limit: int = 0) -> list[LogSegment]:
        """The segments among what ``logs`` lists; the bytes of chunks are not read for it."""

    def log_position(self, run_id: int) -> int:
        """A position that later chunks and segments come after, for following a log."""

    def metrics(
        self, run_id: int, name: str | None = None, *, task: TaskId | None = None, after: int = 0, limit: int = 0
    ) -> list[MetricChunk]:
        """Metric chunks by time of arrival (``id``): of one metric or all, one task or all, later than ``after``."""

    def metric_summaries(self, run_ids: Sequence[int]) -> list[MetricSummary]:
        """The summaries of many runs at once."""

    def tags(self, run_ids: Sequence[int], *, after: tuple[int, str] | None = None, limit: int = 0) -> list[Tag]:
        """Tags of many runs at once, by run and name."""

    def params(self, run_ids: Sequence[int], *, after: tuple[int, str] | None = None, limit: int = 0) -> list[Param]:
        """Parameters of many runs at once, by run and name."""

    def flags(self, run_ids: Sequence[int]) -> list[RunFlags]:
        """The marks of many runs at once, by run; runs that were never marked have none."""

    def waits(self, run_id: int) -> list[Wait]:
        """Durable waits of a run, oldest first."""

    # --- cache ---
    def cached(self, key: bytes, project: str) -> CacheEntry | None:
        """The newest result for this cache key in ``project``: the entry of the oldest run that holds it."""

    def cached_of_run(self, run_id: int) -> list[CacheEntry]:
        """The results that tasks of one run hold for the cache."""

    def forget_cached(self, entry: CacheEntry, project: str, *, result: bool = False) -> None:
        """Drop an entry that is not true any more; with ``result`` all entries of the same result."""

    # --- signals ---
    def send(self, run_id: int, kind: str, name: str, value: bytes, sender: str, now: float) -> None:
        """Leave a message for the process that drives the run."""

    def subscribe(self, run_id: int, after: int, heard: Callable[[Signal], None]) -> Subscription:
        """Call ``heard``, soon and in another thread, for each message with an id greater than ``after``, in order.

        Signals of all processes are heard. While the store does not answer, nothing is heard, and afterwards what
        came meanwhile. ``heard`` must return soon, and end no subscription. One thread of a process serves them all.
        """

    def signals(self, run_id: int, after: int = 0) -> list[Signal]:
        """Messages with an id greater than ``after``, oldest first."""

    # --- keeping house ---
    def referenced_blobs(self) -> Iterator[bytes]:
        """Digests of all blobs that any row names, possibly more than once (also those in ``RunDetails``)."""

    def code_packages(self) -> Iterator[Blob]:
        """The manifests of all code packages that runs have, each once."""

    def export(self, run_id: int) -> Mapping[str, list[bytes]]:
        """All rows of a run by table, each row a msgpack map, ready for ``import_rows``; empty without such a run."""

    def import_rows(self, rows: Mapping[str, Iterable[bytes]], project: str) -> RunRecord:
        """Bring an exported run in under its own number, or the next free one of its flow when that is taken.

        A number from ``FOREIGN_NUMBERS`` on does not count for what follows.
        A run that was running comes in as ``interrupted``, because no process drives it here. Signals, leases and cache
        entries do not travel.

        Raises:
            StoreDamagedError: the rows are not a whole export; nothing was written.
            StoreVersionError: a newer Headrace exported them.
        """

    def compact(self) -> int:
        """Give space of deleted rows back to the disk; returns bytes freed, 0 where that means nothing."""

    def close(self) -> None:
        """Release connections. Calling twice is the same as once."""
