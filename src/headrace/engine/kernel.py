"""What happens to a run's state under its lock: events are fed to ``decide``, and its commands are carried out.

The base of ``engine.loop``, which has the threads. The order is always the same: write what must be known and commit
it, then talk to workers, then wake who waits. Commits of one batch of events are one transaction. The thread that has
decided something commits it, without the lock; where the store is slow, only the loop's own threads commit.
"""

from __future__ import annotations

import contextlib
import heapq
import math
import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from headrace._base.logs import Log
from headrace.engine.counters import LoopCounters
from headrace.engine.decide import decide
from headrace.engine.events import (
    AttemptFailed,
    CacheAnswer,
    Command,
    Due,
    Event,
    Forget,
    Handback,
    InputLost,
    Kill,
    Later,
    Lookup,
    Recall,
    Record,
    Rejoin,
    Resolve,
    Schedule,
    Start,
)
from headrace.engine.inbox import Inbox
from headrace.engine.interrupts import InterruptSafeLock
from headrace.engine.journal import Journal
from headrace.engine.queue_counts import QueueCounts
from headrace.engine.state import EngineState, Timer
from headrace.engine.tasks import Gang, Task
from headrace.engine.turns import Turns
from headrace.engine.waiters import wake
from headrace.engine.workers import WorkerPool
from headrace.model.calls import StepInfo
from headrace.model.errors import BlobMissingError, StoreAwayError
from headrace.model.outcomes import NOT_ITS_OWN, InputUnreadable
from headrace.model.records import TaskId
from headrace.model.states import TaskState
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.metadata.protocol import MetadataStore, Subscription, Write

_log = Log("runs")

_WAITING = (TaskState.WAITING, TaskState.READY, TaskState.DELAYED)

#: Attempts that run for so many seconds are written down as running, and tasks that wait are counted.
RECORD_AFTER = 0.1
#: Seconds after which a commit counts as slow: the next one is made by one of the loop's own threads.
SLOW_COMMIT = 0.05


class Held:
    """What a commit holds up: tasks whose waiters learn of their end, and threads that wait for the commit itself."""

    def __init__(self) -> None:
        self.resolves: list[Task] = []
        self.waiters: list[Any] = []


class Kernel:
    """State, store and workers of one run. Every method is called under the lock, ``loop.section``.

    ``failure`` is set when the run can no longer be driven at all (lease lost, store gone).
    """

    def __init__(self, state: EngineState, metadata: MetadataStore, artifacts: ArtifactStore, journal: Journal) -> None:
        self.state = state
        self.metadata = metadata
        self.artifacts = artifacts
        self.failure: BaseException | None = None
        self.steps: dict[str, StepInfo] = {}
        #: Those of other values of the names that their code reaches too.
        self.versions: dict[tuple[str, bytes], StepInfo] = {}
        #: Tasks that failed by themselves and whose failure the flow has not seen.
        self.failed: list[Task] = []
        self.workers: WorkerPool
        self._turns: Turns
        self.queue = QueueCounts(state, lambda token: self.workers.where(token))  # noqa: PLW0108 - these are made later
        #: When to write down what runs and waits by then (``time.monotonic``).
        self._record_at = math.inf
        self._journal = journal
        journal.note = lambda: msgspec.msgpack.encode(self.counted())
        self._timers: list[Timer] = []
        self._timer_order = 0
        self._starts: list[Start] = []
        self._resolves: list[Task] = []
        #: What waits for a store that does not answer: look-ups in the cache, and inputs to be made again.
        self._lookups: list[Task] = []
        self._lost: list[tuple[TaskId, int, str]] = []
        self._killed_at: float | None = None  # when the workers' time to stop cleanly was over
        self.section: InterruptSafeLock
        self.inbox: Inbox
        self._subscription: Subscription | None = None
        #: Asked now and then for rows that may be written with the next commit.
        self.sources: list[Callable[[float], list[Write]]]
        #: Called under the lock with rows that a source gave, before they are committed.
        self.on_output: Callable[[list[Write]], None] = lambda writes: None
        #: Called when the run is to end, from one of the loop's threads or from one that waits.
        self.on_cancel: Callable[[], None] | None = None
        self._idle_waiters: list[Any] = []
        self._store_waiters: list[Any] = []
        #: Of who waits until what it asked to write is written.
        self._write_waiters: list[Any] = []
        #: What the commit that is being made holds up.
        self._held = Held()
        self._committing = False
        #: Taken during a commit.
        self._commit_lock = threading.Lock()
        self.counters = LoopCounters()
        #: The task for which the thread that has the turn polls now.
        self._polled: object = None
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    # --- feeding and settling ---------------------------------------------------------------------------------

    def _apply(self, events: list[Event]) -> None:
        """Feed and settle. Whatever goes wrong ends the run, for half of it may have been done."""
        try:
            if events:
                self._feed_all(events)
            self._settle()
        except Exception as error:
            self._fail(error)
        self._turns.notice_deadline()

    def _feed(self, event: Event) -> None:
        self._feed_all([event])

    def _feed_all(self, events: list[Event]) -> None:
        """Let ``decide`` take the events, and keep or carry out what it asks for. Written for few calls: it is hot."""
        state = self.state
        for event in events:  # answers of the cache are added while it runs, and may follow one from the other
            for command in decide(state, event):
                if type(command) is Record:
                    self._journal.add(command.writes, urgent=command.urgent)
                elif type(command) is Start:
                    self._starts.append(command)
                elif type(command) is Resolve:
                    self._resolves.append(command.task)
                else:
                    self._obey(command, events)

    def _obey(self, command: Command, events: list[Event]) -> None:
        match command:
            case Lookup():
                answer = self._look_up_when_there(command.task)
                if answer is not None:
                    events.append(answer)
            case Later():
                self._later(command)
            case Kill():
                events += self.workers.kill(
                    command.token, command.grace if self._killed_at is None else 0.0, time.time()
                )
            case Rejoin():
                events += self.workers.rejoin(command, time.time())
            case Forget():
                events += self.workers.forget(command.token, time.time())

    def _write(self, writes: Iterable[Write]) -> None:
        writes = list(writes)
        self._journal.add(writes, urgent=bool(writes))

    def _later(self, command: Later) -> None:
        self._timer_order += 1
        at = time.monotonic() + command.at - command.event.now
        self.counters.retries += type(command.event) is Due
        heapq.heappush(self._timers, Timer(at, self._timer_order, command.event))

    def _settle(self) -> None:
        """Carry out what the events led to: commit, send, wake. A store that does not answer holds up all three.

        The lock is let go of during a commit. What other threads decide meanwhile waits for the next one.
        """
        if self._commit_and_send() and not self._committing:
            if self._resolves:
                self._resolve(self._resolves)
                self._resolves = []
            if self._idle_waiters or self._store_waiters:
                self._tell_waiters()
        if self._record_at == math.inf and (self.state.placement.unrecorded or self.state.moved):
            self._record_at = time.monotonic() + RECORD_AFTER
        if self.workers.leaving:
            self._leave_when_written()

    def leave(self) -> None:
        """End this process as soon as all that runs is written down: the next driver takes it over where it runs
        elsewhere. Nothing more is started. Called by a signal handler.
        """
        self.workers.leaving = True
        self._wake()

    def _leave_when_written(self) -> None:
        journal, unrecorded = self._journal, self.state.placement.unrecorded
        written = not (self._committing or journal.has_writes or journal.away_since is not None)
        if written and not any(self.workers.where(token) for token in unrecorded):
            os._exit(0)
        self._record_at = -math.inf

    def _commit_and_send(self) -> bool:
        """Whether all is written that is decided, but for a commit that is being made."""
        if self._journal.away_since is None and self.state.placement.lanes:
            self._feed_all([Schedule(time.time())])
        while self._starts or self._journal.urgent:
            if self._journal.urgent:
                if self._committing:
                    return False
                if self._turns.slow and not self._turns.is_own_thread():
                    self._turns.ring()  # the flow's threads shall not wait for the store
                    return False
                if not self._commit():
                    return False
            else:
                starts, self._starts = self._starts, []
                self._dispatch(starts)
        return True

    def _dispatch(self, starts: list[Start]) -> None:
        if self.workers.leaving:
            return
        events = self.workers.dispatch(starts, time.time())
        if events:
            self._feed_all(events)

    def _resolve(self, tasks: list[Task]) -> None:
        for task in tasks:
            if task.problem is not None and not isinstance(task.problem, NOT_ITS_OWN):
                self.failed.append(task)
            wake(task)
            if task is self._polled:
                self._wake()

    def _tell_waiters(self) -> None:
        if self._idle_waiters and self._is_idle():
            _release(self._idle_waiters)
        if self._store_waiters and self._journal.away_since is None:
            _release(self._store_waiters)

    def _is_idle(self) -> bool:
        """Whether no task is live, and whoever waited for one was told."""
        return not (self.state.live or self._resolves or self._held.resolves)

    # --- commits ----------------------------------------------------------------------------------------------

    def _commit(self) -> bool:
        """Commit what is decided, without the lock, and then do what waited for it. False: the store is away."""
        starts, self._starts = self._starts, []
        clock = time.monotonic()
        if clock >= self.queue.due_at:
            self._journal.add(self.queue.take(clock, time.time()))
        if not self._journal.begin():
            self._feed(Handback(tuple([start.token for start in starts]), time.time()))
            return False
        held = self._held
        held.resolves, self._resolves = self._resolves, []
        held.waiters, self._write_waiters = self._write_waiters, []
        self._committing = True
        self._commit_lock.acquire()
        error: StoreAwayError | None = None
        began = time.monotonic()
        self.section.let_go()
        try:
            error = self._journal.write()
        finally:
            self.section.take_back()
            took = time.monotonic() - began
            self._turns.slow = took > SLOW_COMMIT
            self.counters.note_commit(took)
            self._commit_lock.release()
            self._committing = False
        if self.failure is not None:
            return False
        if error is not None:
            self._journal.note_away(error)
            self._resolves[:0], held.resolves = held.resolves, []
            self._write_waiters[:0], held.waiters = held.waiters, []
            self._feed(Handback(tuple([start.token for start in starts]), time.time()))
            return False
        was_away = self._journal.away_since is not None
        self._journal.note_written()
        if was_away and self.state.placement.lanes:
            self._feed(Schedule(time.time()))
        if starts:
            self._dispatch(starts)
        resolves, held.resolves = held.resolves, []
        self._resolve(resolves)
        if held.waiters:
            _release(held.waiters)
        if self._idle_waiters or self._store_waiters:
            self._tell_waiters()
        return True

    def _await_short_commit(self) -> None:
        """Leave a thread alone that commits: as a rule it goes on to hear the workers itself in a moment."""
        if self._commit_lock.locked() and self._commit_lock.acquire(timeout=SLOW_COMMIT):
            self._commit_lock.release()

    def counted(self) -> LoopCounters:
        """The counters, with what is there now."""
        counts = list(self.state.counts.values())
        waiting = sum(one.get(state, 0) for one in counts for state in _WAITING)
        running = sum(one.get(TaskState.RUNNING, 0) for one in counts)
        pending = self.queue.not_begun().total()
        return msgspec.structs.replace(
            self.counters,
            starts=self.state.started,
            waiting=waiting + pending,
            running=running - pending,
            workers=self.workers.count(),
            waits_for=self.workers.waits_for(self.state.placement.unrecorded),
        )

    def _fail(self, error: BaseException) -> None:
        """The run cannot be driven any more: let everybody know, and leave no worker running."""
        if self.failure is None:
            text = f"it cannot go on: {type(error).__name__}: {error}"
            _log.error("run.broken", text, run_id=self.state.options.run_id)
        self.failure = self.failure or error
        with contextlib.suppress(OSError):  # a worker that ended meanwhile; whatever happens, those who wait hear of it
            self.workers.kill_all()
        self._wake_all()

    def _wake_all(self) -> None:
        """Let everybody who waits look whether this loop goes on."""
        for task in [*self.state.live, *self._resolves, *self._held.resolves]:
            wake(task, done=False)
        _release(self._write_waiters)
        _release(self._held.waiters)
        _release(self._idle_waiters)
        _release(self._store_waiters)
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # closed just now
            os.eventfd_write(self._wake_fd, 1)

    # --- cache and recall -------------------------------------------------------------------------------------

    def _ask_again(self, now: float) -> None:
        """Go on with what a store that did not answer held up."""
        lookups, self._lookups = self._lookups, []
        for task in lookups:
            answer = self._look_up_when_there(task)
            if answer is not None:
                self._feed(answer)
        while self._lost and self._journal.away_since is None:
            try:
                self._on_lost_input(*self._lost[0], now)
            except StoreAwayError as error:
                self._journal.note_away(error)
                return
            self._lost.pop(0)

    def _on_lost_input(self, producer: TaskId, token: int, output: str, now: float) -> None:
        try:
            again = self._recall(producer)
        except BlobMissingError as error:
            classes = ("headrace.BlobMissingError", "headrace.StoreError")
            self._feed(AttemptFailed(token, InputUnreadable(str(error), classes=classes), now))
        else:
            self._feed(InputLost(token, again, producer, output, now))

    def _look_up_when_there(self, task: Task) -> CacheAnswer | None:
        """The answer of the cache; None when the store does not answer, which is then asked again later."""
        from headrace.engine.lookup import look_up

        if self._journal.away_since is None:
            try:
                return look_up(task, self.state.options.project, self.metadata, self.artifacts, time.time())
            except StoreAwayError as error:
                self._journal.note_away(error)
        self._lookups.append(task)
        return None

    def _step(self, name: str, code: bytes) -> StepInfo | None:
        return self.versions.get((name, code)) or self.steps.get(name)

    def _recall(self, lost: TaskId) -> Task:
        for live in self.state.live:
            if live.id == lost:
                return live
        from headrace.engine.recall import gang_of, rebuild

        run_id = self.state.options.run_id
        made = [rebuild(one, run_id, self.metadata, self._step) for one in gang_of(lost, run_id, self.metadata)]
        if len(made) > 1:
            Gang([task for task, _ in made])
        for task, record in made:
            self._feed(Recall(task, record, time.time()))
        return next(task for task, _ in made if task.id == lost)

    def _drop_references(self) -> None:
        """Drop what leads back to this loop, so that it and its stores go with their last user."""
        self._journal.note = bytes
        self.queue.forget_workers()
        self.inbox.close()
        self.section.forget_callbacks()
        self.sources.clear()
        self.on_output = lambda writes: None
        self._subscription = self.on_cancel = None


def _release(waiters: list[Any]) -> None:
    for waiter in waiters:
        waiter.release()
    waiters.clear()
