"""The shell around ``decide``: sockets, clock, store. One per run and session; owned by the process that drives it.

Any thread may submit and wait. One thread at a time reads the workers' sockets (``turns``); the thread that holds the
lock feeds events to ``decide`` and carries out its commands (``kernel``).
"""

from __future__ import annotations

import _thread
import heapq
import math
import os
import select
import threading
import time
from collections.abc import Callable, Iterable

import msgspec

from headrace._base import intervals
from headrace._base.short_waits import ShortWaits
from headrace.engine.counters import LoopCounters
from headrace.engine.events import Cancel, Exceeded, Resized, Submit
from headrace.engine.inbox import Inbox
from headrace.engine.interrupts import InterruptSafeLock
from headrace.engine.journal import Journal
from headrace.engine.kernel import Kernel
from headrace.engine.ports import Executor
from headrace.engine.reuse import was_finished
from headrace.engine.rows import running_records, tasks_in
from headrace.engine.state import EngineState
from headrace.engine.stop_requests import Stopping
from headrace.engine.tasks import Task, tasks_of
from headrace.engine.turns import Turns
from headrace.engine.waiters import unneeded
from headrace.engine.workers import WorkerPool
from headrace.model.calls import Call, TaskHandle
from headrace.model.errors import StoreAwayError, TaskCancelledError
from headrace.model.outcomes import Cancelled
from headrace.model.records import Lease, Signal, TaskId
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.metadata.protocol import DropQueue, MetadataStore, Write

#: Seconds between two looks at what nobody reports (output and memory of workers), while tasks are live and while none
#: is. Nothing else waits for them.
LOOK, SLOW_LOOK = intervals.look, intervals.slow_look
#: Seconds between two looks at which workers have been idle for long.
_REVIEW = 1.0
#: Seconds after which a run whose workers were killed should have ended; after that an interrupt breaks in.
_PATIENCE = 3.0
#: How long the last commit of a run is tried.
_CLOSING = 60.0
#: Tasks submitted at once before the workers are heard again.
_GROUP = 32


class Loop(Kernel):
    """Drives one run.

    ``metadata`` is a hasty one: a store that does not answer is waited for here, without deafness to the workers.
    """

    def __init__(
        self,
        state: EngineState,
        metadata: MetadataStore,
        artifacts: ArtifactStore,
        lease: Lease,
        run_name: str,
    ) -> None:
        super().__init__(state, metadata, artifacts, Journal(metadata, lease))
        self.run_name = run_name
        self.cancel_requested = ""
        #: Called with what the user should know of the run, from any thread.
        self.on_notice: Callable[[str], None] = lambda text: None
        self.stopping = Stopping()
        self.section = InterruptSafeLock()
        self.section.on_raise = self._on_raise
        self.section.on_pending = self._wake
        # What is measured here is never the time of day, which may be set back.
        self._looked = self._next_review = 0.0
        self._pace = SLOW_LOOK
        self._heard = math.inf  # when the round began that is not settled yet; infinite: there is none
        self._busy = False  # whether a task was submitted since the last look
        self.inbox = Inbox(self._wake)
        self._closed = False
        self._epoll = select.epoll()
        self._short_waits = ShortWaits()
        self._epoll.register(self._wake_fd, select.EPOLLIN)
        self._turns = Turns(self.section, self._epoll, self._deadline, self._wake, self._settle_round)
        self.workers = WorkerPool(self._epoll, run_name, state.options)
        self.sources = [self.workers.take_writes]

    # --- for the flow's threads -------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin."""
        run_id = self.state.options.run_id
        last = self.inbox.begin(self.metadata.signals(run_id))
        self._subscription = self.metadata.subscribe(run_id, last, self.inbox.put)
        self._turns.start(lambda: self._poll_once(0.0, settle=False), self._await_short_commit)

    def open_place(self, executor: Executor) -> None:
        """Let tasks run in the place of an executor that was started."""
        with self.section:
            self.workers.open_place(executor)
            self._feed(Resized(executor.place, executor.capacity, time.time()))

    def submit(self, *calls: Call) -> list[Task]:
        """Make tasks of calls and hand them to the engine.

        Raises:
            LeaseLostError, StoreError: the run cannot go on.
        """
        tasks = tasks_of(calls)
        for at in range(0, len(tasks), _GROUP):
            if at:  # many at once keep this thread busy: it hears the workers itself in between
                self._turns.take(lambda: self._poll_once(0.0))
            with self.section:
                self._feed_submits(tasks[at : at + _GROUP])
                self._apply([])
                if self.failure is not None:
                    raise self.failure
        return tasks

    def call(self, call: Call) -> Task:
        """``submit`` and then, as a rule, wait; to be followed by ``wait``.

        The turn is taken first, so that no other thread is woken by the answer. Raises as ``submit``.
        """
        [task] = tasks_of((call,))
        if not self._turns.take(lambda: self._call(task)):
            return self.submit(call)[0]
        if self.failure is not None:
            raise self.failure
        return task

    def _call(self, task: Task) -> None:
        with self.section:
            self._feed_submits([task])
            if self._journal.urgent and self._turns.slow:  # to be committed after the turn
                return
            try:
                self._settle()
            except Exception as error:
                self._fail(error)
        self._hear_once(task, math.inf)  # until the deadline as it is now

    def _feed_submits(self, tasks: list[Task]) -> None:
        if self.failure is not None or self._closed:
            raise self._over()
        if self.stopping.active or self.stopping.heard < self.stopping.raised:
            self._check_stopped()
        now = time.time()
        self._busy, self._pace = True, LOOK
        self.counters.submits += len(tasks)
        try:
            self._feed_all([Submit(task, now) for task in tasks])
        except Exception as error:
            self._fail(error)
            raise

    def wait(self, task: TaskHandle, timeout: float | None = None) -> bool:
        """Wait until ``task`` is over; False when ``timeout`` seconds passed first.

        Raises:
            LeaseLostError, StoreError: the run cannot go on.
        """
        assert isinstance(task, Task)
        if not task.done:
            self._wait(task, timeout)
            if timeout is not None and not (task.done or self.failure is not None or self._closed):
                return False
        if not task.done:
            raise self._over()
        if self.stopping.active and isinstance(task.problem, Cancelled):
            self.stopping.note_cancelled(interruptible=self.on_cancel is not None)
        return True

    def _wait(self, task: Task, timeout: float | None) -> None:
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        task.threads.append(None)
        try:
            while not task.done and self.failure is None and not self._closed:
                if time.monotonic() >= deadline:
                    return
                if not self._turns.take(lambda: self._hear_once(task, deadline), lambda: self._waits(task, deadline)):
                    self._follow(task, deadline)
        finally:
            task.threads.pop()

    def check_stopped(self) -> None:
        """What calling a step would raise here because of a request to stop.

        Raises:
            TaskCancelledError: the run is being stopped, and this thread is not cleaning up.
        """
        with self.section:
            if self.failure is not None or self._closed:
                raise self._over()
            self._check_stopped()
            if self.state.cancelling:
                raise self._cancelled()

    def _check_stopped(self) -> None:
        if self.stopping.heard < self.stopping.raised:
            self._hear_interrupts(time.time())
        if self.stopping.active and not self.stopping.admits(interruptible=self.on_cancel is not None):
            raise self._cancelled()

    def _cancelled(self) -> TaskCancelledError:
        who = f" by {self.cancel_requested}" if self.cancel_requested else ""
        return TaskCancelledError(f"run {self.run_name} was cancelled{who}")

    def _on_raise(self, error: BaseException) -> None:
        self.stopping.note_raised(error)
        self._wake()

    def _over(self) -> BaseException:
        """The error to raise in threads that still wait, or ask for something, after the run has ended."""
        return self.failure or TaskCancelledError(f"run {self.run_name} has ended")

    def ending(self) -> None:
        """From here on interrupts do not break in, so that the run is ended and recorded whole.

        The next interrupt kills the workers, which lose their time to stop cleanly. A later one raises if it comes more
        than ``_PATIENCE`` seconds after that.
        """
        self.section.instead = self._kill_on_interrupt

    def _kill_on_interrupt(self) -> bool:
        """Answer an interrupt by killing the workers; False once they had ``_PATIENCE`` seconds to be gone."""
        if self._killed_at is None:
            self._killed_at = time.monotonic()
            # In a thread, for the code that the signal stopped may be in the section; made without the locks of
            # ``threading``, which it may hold as well.
            _thread.start_new_thread(self._kill_all, ())
        return time.monotonic() - self._killed_at < _PATIENCE

    def _kill_all(self) -> None:
        with self.section:
            if not self._closed:
                if self.failure is None:
                    self._apply([Cancel(None, time.time())])
                self.workers.kill_all()

    def _follow(self, task: Task, deadline: float) -> None:
        """Wait for the thread that has the turn to hear of the end."""
        waiter = threading.Lock()
        waiter.acquire()
        with self.section:
            if task.done or self.failure is not None or self._closed:
                return
            task.locks.append(waiter)
        try:
            waiter.acquire(timeout=-1 if deadline == math.inf else max(0.0, deadline - time.monotonic()))
        finally:
            with self.section:
                if waiter in task.locks:
                    task.locks.remove(waiter)

    def notify(self, task: TaskHandle, callback: Callable[[], None]) -> None:
        """Call ``callback`` once ``task`` is over, at once when it is already."""
        assert isinstance(task, Task)
        with self.section:
            if not task.done and self.failure is None:
                task.callbacks.append(callback)
                return
        callback()

    def abandon(self, task: TaskHandle, callback: Callable[[], None] | None = None) -> None:
        """Who waited for ``task``, to be told by ``callback``, gave up: stop the task unless somebody else needs it."""
        assert isinstance(task, Task)
        with self.section:
            if callback in task.callbacks:
                task.callbacks.remove(callback)
            if self.failure is None and not self._closed:
                self._apply([Cancel(one, time.time()) for one in unneeded(task)])

    def cancel(self, task: TaskHandle | None = None) -> None:
        """Stop one task, or all; returns at once."""
        assert task is None or isinstance(task, Task)
        with self.section:
            if self.failure is None:
                self._apply([Cancel(task, time.time())])

    def write(self, *writes: Write) -> None:
        """Commit ``writes`` under the run's lease, with whatever else is due; waits while the store does not answer."""
        self._write_and_wait(writes, -1)
        if self.failure is not None:
            raise self.failure

    def _write_and_wait(self, writes: Iterable[Write], longest: float) -> bool:
        """Commit ``writes`` and all there is, within ``longest`` seconds; whether that was done."""
        waiter = threading.Lock()
        waiter.acquire()
        with self.section:
            if self.failure is not None or self._closed:
                return False
            self._journal.add(writes, urgent=True)
            self._write_waiters.append(waiter)
            self._apply([])
        return waiter.acquire(timeout=longest) and self.failure is None

    def wait_for_store(self, error: StoreAwayError) -> bool:
        """Wait until the store answers again, which it did not do with ``error``. False: this loop is over.

        Raises:
            LeaseLostError, StoreError: the run cannot go on.
        """
        with self.section:
            if self.failure is not None or self._closed:
                return False
            self._journal.note_away(error)
            self._turns.notice_deadline()
        self._await_store()
        if self.failure is not None:
            raise self.failure
        return not self._closed

    def _await_store(self, longest: float = -1) -> None:
        """Wait until a commit succeeds again, ``longest`` seconds at most."""
        waiter = threading.Lock()
        waiter.acquire()
        with self.section:
            if self._journal.away_since is None or self.failure is not None or self._closed:
                return
            self._store_waiters.append(waiter)
        waiter.acquire(timeout=longest)

    def end_queue(self) -> list[DropQueue]:
        """What to write with the run's end, so that it has no counts of tasks that wait."""
        with self.section:
            return self.queue.end()

    def write_soon(self, *writes: Write) -> None:
        """Commit ``writes`` with whatever is due next; for what need not be known before anything goes on."""
        with self.section:
            self._journal.add(writes)
            self._turns.notice_deadline()

    def flush_output(self) -> None:
        """Commit what was printed and logged until now."""
        with self.section:
            if self.failure is not None:
                return
            self._take_sources(time.time())
        self._write_and_wait((), -1)

    def was_finished(self, call: Call) -> bool:
        """Whether submitting ``call`` would take what an earlier session made; all it depends on must have finished."""
        with self.section:
            return was_finished(self.state, Task(call.step, call.inputs))

    def wait_idle(self) -> None:
        """Wait until no task is live, or the run cannot go on."""
        waiter = threading.Lock()
        waiter.acquire()
        with self.section:
            if self._is_idle() or self.failure is not None or self._closed:
                return
            self._idle_waiters.append(waiter)
        waiter.acquire()

    def snapshot(self) -> dict[str, dict[str, int]]:
        """Counts of tasks by step and state, for showing."""
        with self.section:
            return self.queue.shown()

    def count(self) -> LoopCounters:
        """A copy of the loop's counters, with what is there now."""
        with self.section:
            return self.counted()

    def recall(self, lost: TaskId) -> Task:
        """Run a finished task again because its outputs cannot be read; returns the task that will have them.

        Raises:
            BlobMissingError: this session does not know its step, so nobody can.
            LeaseLostError, StoreError: the run cannot go on.
        """
        while True:
            with self.section:
                if self.failure is not None:
                    raise self.failure
                try:
                    task = self._recall(lost)
                except StoreAwayError as error:
                    self._journal.note_away(error)
                    self._turns.notice_deadline()
                else:
                    self._apply([])
                    if self.failure is not None:
                        raise self.failure
                    return task
            self._await_store()

    def close(self) -> None:
        """Stop the thread and end the workers; everything decided so far is written first.

        Raises:
            LeaseLostError, StoreError: it could not be written. All is closed nevertheless.
        """
        problem: BaseException | None = None
        if self._subscription is not None:
            self._subscription.close()
        try:
            self._write_rest()
        except BaseException as error:  # also an interrupt, while it waits for the store
            problem = error
        with self.section:
            if problem is not None:
                self._fail(problem)
            self._closed = True
            self._wake_all()
        self._turns.close()
        self.workers.close()
        self._epoll.close()
        os.close(self._wake_fd)
        self._drop_references()
        if problem is not None:
            raise problem

    def _write_rest(self) -> None:
        """Write what was decided, printed and logged; a store that does not answer is waited for."""
        with self.section:
            if self.failure is not None:
                return
            self._take_sources(time.time())
        if not self._write_and_wait((), _CLOSING):
            raise self.failure or StoreAwayError(
                f"the last of run {self.run_name} could not be written: its store does not answer"
            )
        self._tell()

    def _tell(self) -> None:
        """Hand notices on, outside of the lock: whoever shows them may be slow."""
        with self.section:
            notices = self._journal.take_notices()
        for text in notices:
            self.on_notice(text)

    # --- hearing and settling ---------------------------------------------------------------------------------

    def _deadline(self) -> float:
        """When something is due even if no worker speaks."""
        at = self._looked + self._pace
        if self._timers and self._timers[0].at < at:
            at = self._timers[0].at
        if self._record_at < at:
            at = self._record_at
        if self._journal.due_at < at and not self._committing:
            at = self._journal.due_at
        ends = self.stopping.deadline
        return at if ends is None or ends > at else ends

    def _waits(self, task: Task, deadline: float) -> bool:
        return not (task.done or self.failure or self._closed or self.section.pending) and time.monotonic() < deadline

    def _hear_once(self, task: Task, deadline: float) -> None:
        """With the turn, hear the workers unless ``task`` is done, until ``deadline`` at most."""
        if self.failure is not None or self.section.pending is not None:
            return
        self._polled = task  # from here on, whoever ends it in another thread wakes us
        self._turns.polling_until = math.inf  # and so does who changes the deadline
        until = self._turns.polling_until = min(deadline, self._deadline())
        self._poll_once(0.0 if task.done else max(0.0, until - time.monotonic()))

    def _poll_once(self, wait: float, *, settle: bool = True) -> None:
        """Hear what workers say within ``wait`` seconds; ``settle`` it too, unless the store is slow."""
        if self._closed:
            return
        poll, busy = self._epoll.poll, self.state.placement.running
        ready = self._short_waits.wait(lambda: poll(0), lambda: poll(wait), busy) if wait else poll(0)
        self._polled = None
        self._turns.polling_until = -math.inf
        with self.section:
            if self._closed or self.failure is not None:
                return
            try:
                self._turn(ready)
                if settle and not self._turns.slow:  # else without the lock in between, for others to decide
                    self._turns.give_back()
                    self._settle()
                    self.counters.note_round(time.monotonic() - self._heard)
                    self._heard = math.inf
            except Exception as error:  # a defect of ours must end the run, never hang it
                self._fail(error)
        if self._journal.notices:
            self._tell()

    def _settle_round(self) -> None:
        with self.section:
            heard, self._heard = self._heard, math.inf
            if self._closed or self.failure is not None:
                return
            try:
                self._settle()
                if heard < math.inf:  # else a thread came without the turn, to settle what others decided
                    self.counters.note_round(time.monotonic() - heard)
            except Exception as error:
                self._fail(error)
        if self._journal.notices:
            self._tell()

    def _turn(self, ready: list[tuple[int, int]]) -> None:
        now = time.time()
        self._heard = time.monotonic()
        news = []
        for fd, mask in ready:
            if fd == self._wake_fd:
                os.eventfd_read(self._wake_fd)
            elif fd in self.workers.news:
                news.append(fd)
            else:
                self._feed_all(self.workers.on_socket(fd, mask, now))
        for fd in news:
            self._feed_all(self.workers.on_news(fd, self.state.placement.slots, now))
        if self.workers.lost:
            self._lost += self.workers.take_lost_inputs()
        if self.stopping.heard < self.stopping.raised:
            self._hear_interrupts(now)
        if self.inbox.has_new:
            for signal in self.inbox.take():
                self._on_signal(signal, now)
        clock = time.monotonic()
        while self._timers and self._timers[0].at <= clock:
            due = heapq.heappop(self._timers).event
            self._feed(msgspec.structs.replace(due, now=now))
        if clock >= self._looked + self._pace:
            self._look(now, clock)
        if clock >= self._record_at:
            self._record_at = math.inf
            self._journal.add(running_records(self.state, self.workers.where))
            self._journal.add(self.queue.take(clock, now, alone=not self._journal.has_writes))
        if self.stopping.deadline is not None and self.stopping.is_over(clock):
            self._end_stopping(now)
        if clock >= self._journal.due_at and not self._committing:
            self._journal.renew()
        if self._lost or self._lookups:
            self._ask_again(now)

    def _look(self, now: float, clock: float) -> None:
        """Look at what nobody reports: what attempts print and how much memory they use."""
        self._looked = clock
        self._pace = LOOK if self._busy or self.state.live else SLOW_LOOK
        self._busy = False
        if self._journal.away_since is None:  # what was printed stays where it is until then
            self._take_sources(now)
        for token, used in self.workers.over_memory(self.state.placement.slots):
            self._feed(Exceeded(token, used, now))
        if clock >= self._next_review:
            self._next_review = clock + _REVIEW
            self.workers.retire_idle(clock)
            self._journal.notices += self.state.placement.too_large()
        self._journal.flush()

    def _take_sources(self, now: float) -> None:
        for source in self.sources:
            writes = source(now)
            if writes:
                if self.state.placement.unrecorded:  # a task is known before anything that it printed or logged
                    self._journal.add(running_records(self.state, self.workers.where, tasks_in(writes)))
                self._journal.add(writes)
                self.on_output(writes)

    def _on_signal(self, signal: Signal, now: float) -> None:
        if signal.kind == "cancel":
            self.cancel_requested = signal.sender or "somebody"
            self._stop(now)
            if self.on_cancel is not None:
                self.on_cancel()

    def _stop(self, now: float, *, by_signal: bool = False) -> None:
        """Take a request to stop: the first lets the flow clean up, the second does not."""
        self._feed(Cancel(None, now, final=not self.stopping.begin(by_signal=by_signal)))

    def _hear_interrupts(self, now: float) -> None:
        while self.stopping.heard < self.stopping.raised:
            self.stopping.heard += 1
            if self.stopping.grace:
                self._stop(now, by_signal=True)

    def _end_stopping(self, now: float) -> None:
        self._feed(Cancel(None, now))
        self.on_notice(f"cleaning up took longer than {self.stopping.grace:g} s and was stopped")
        if self.on_cancel is not None:
            self.on_cancel()

    def stop(self, who: str) -> None:
        """End the run as if ``who`` had sent the signal to cancel it; returns at once."""
        with self.section:
            if self.failure is None and not self._closed:
                self.cancel_requested = who
                self._apply([Cancel(None, time.time(), final=not self.stopping.begin(by_signal=False))])
        if self.on_cancel is not None:
            self.on_cancel()
