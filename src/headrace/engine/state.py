"""What the engine knows about a run in progress. Owned and changed by ``decide`` alone; everybody else only reads.

Only live tasks are kept: a finished one survives as long as the flow holds its future, so memory does not grow with
the length of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from headrace.engine.events import Event
from headrace.engine.placement import Placement
from headrace.engine.tasks import CodeNames, Task
from headrace.model.calls import StepInfo
from headrace.model.messages import Output
from headrace.model.records import NODES, AttemptRecord, TaskRecord
from headrace.model.states import TaskState
from headrace.model.workers import LOCAL, Capacity
from headrace.stores.metadata.protocol import CacheEntry


class Unfinished(msgspec.Struct, frozen=True):
    """An attempt of an earlier session whose worker may still have it, elsewhere. It is waited for ``wait`` seconds.

    ``logged`` is how much of its output is recorded by stream, in chunks numbered below ``seq``.
    """

    attempt: AttemptRecord
    wait: float
    logged: tuple[int, int] = (0, 0)
    seq: int = 0


class Recorded(msgspec.Struct):
    """A task of an earlier session of this run, with its outputs when it succeeded and they may be reused.

    ``origin`` (``train/41/fit/3``) is set when it is of another run, whose work this one takes over.
    """

    record: TaskRecord
    outputs: tuple[Output, ...] | None
    origin: str = ""
    cached: CacheEntry | None = None  # the origin's, when the cache may answer with it
    unfinished: Unfinished | None = None


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a run is to be driven. ``place`` is where tasks run that name no place; ``capacities`` are by place."""

    run_id: int
    project: str = "default"
    session: int = 1
    capacities: Mapping[str, Capacity] = {}
    place: str = LOCAL
    max_parallel: int = 0
    use_cache: bool = True
    reuse_changed: bool = False
    seed: int | None = None  # None: tasks draw from chance
    stops_at_failure: bool = False  # once a task has failed for good, no other one begins
    known_only: bool = False  # tasks that ``recorded`` does not know are cancelled instead of run


class EngineState:
    """See the module. ``recorded`` maps keys to what an earlier session left."""

    def __init__(self, options: RunOptions, recorded: Mapping[bytes, Recorded] | None = None) -> None:
        self.options = options
        self.recorded: dict[bytes, Recorded] = dict(recorded or {})
        #: Keys of the tasks that may run; None: all may.
        self.admitted: frozenset[bytes] | None = frozenset(self.recorded) if options.known_only else None
        self.refused = 0  # tasks that were cancelled because they may not
        self.occurrences: dict[tuple[str, bytes], int] = {}
        self.next_number: dict[str, int] = {}
        self.highest = 0  # of all tasks that earlier sessions of the run left
        self.live: set[Task] = set()
        self.placement = Placement(options.capacities, options.place, options.max_parallel)
        #: Tokens carry the session, so that what a worker says to a later session about this one means nothing there.
        self.next_token = (options.session << 32) + 1
        self.cancelling = False
        self.counts: dict[str, dict[TaskState, int]] = {}
        #: Steps whose counts changed since this was last cleared.
        self.moved: set[str] = set()
        #: By step, tasks of earlier sessions that this one has not come to.
        self.left: dict[str, int] = {}
        self.reused = 0
        #: Steps of which an earlier session's task had other code.
        self.changed: set[str] = set()
        #: The code of a step together with the named code in arguments; the shell looks that up.
        self.code_with: Callable[[StepInfo, CodeNames], bytes] = lambda step, _: step.code
        for one in self.recorded.values():
            record = one.record
            self.next_number[record.step] = max(self.next_number.get(record.step, 1), record.number + 1)
            if not one.origin and record.state is not TaskState.STALE:
                self.left[record.step] = self.left.get(record.step, 0) + 1
            if not one.origin:
                self.highest = max(self.highest, record.number % NODES)

    @property
    def started(self) -> int:
        """How many attempts this session started."""
        return (self.next_token - 1) & 0xFFFFFFFF


class Timer(msgspec.Struct, order=True):
    """An event due at a time; ``order`` breaks ties."""

    at: float
    order: int
    event: Event
