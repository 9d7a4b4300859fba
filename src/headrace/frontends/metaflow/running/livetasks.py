"""The live tasks of a run. One thread handles their events, in order, and prints them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from queue import Empty, SimpleQueue

from headrace.frontends.metaflow.running.console import Console
from headrace.frontends.metaflow.running.plan import StepPlan
from headrace.model.attempts import AttemptEvent, AttemptFailure, AttemptPrinted, AttemptStarted
from headrace.model.calls import Call, TaskHandle
from headrace.services.session import Session

#: Seconds between two lines that say how far the run is.
_EVERY = 300.0


class LiveTasks:
    """The thread that calls ``follow`` prints what tasks print and handles their ends. Other threads only queue events.

    ``plans`` are the steps of all tasks by name. What the console shows of an end is up to who is told.
    """

    def __init__(self, session: Session, plans: Mapping[str, StepPlan], console: Console) -> None:
        self._session = session
        self._plans = plans
        self._console = console
        self._queue: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._live: dict[TaskHandle, None] = {}  # in the order of their calls
        self._done: Counter[str] = Counter()

    def __iter__(self) -> Iterator[TaskHandle]:
        return iter(list(self._live))

    def __len__(self) -> int:
        return len(self._live)

    def submit(self, calls: Sequence[tuple[Call, Callable[[TaskHandle], None]]]) -> list[TaskHandle]:
        """Submit calls. The function beside each call is called with its task when the task has ended."""
        tasks: list[TaskHandle] = [*self._session.submit(*[call for call, _ in calls])]
        self._live.update(dict.fromkeys(tasks))
        for task, (_, then) in zip(tasks, calls, strict=True):
            self._session.notify(task, partial(self._queue.put, partial(self._ended, task, then)))
        return tasks

    def follow(self) -> None:
        """Handle events until no task is live, including tasks that are submitted meanwhile.

        Raises:
            LeaseLostError, StoreError: the run cannot go on; and what those raise that are told of an end.
        """
        due = time.monotonic() + _EVERY
        while self._live:
            try:
                happened = self._queue.get(timeout=max(0.0, due - time.monotonic()))
            except Empty:
                pass
            else:
                happened()
            if self._live and time.monotonic() >= due:
                self._console.say(self._progress())
                due = time.monotonic() + _EVERY
            if self._queue.empty():
                self._console.flush()

    def cancel(self) -> None:
        """Stop all of them; returns at once."""
        for task in self:
            self._session.cancel(task)

    def happened(self, event: AttemptEvent) -> None:
        """Queue an event of ``Session.observe`` for the thread in ``follow``."""
        name = str(event.task.id)
        match event:
            case AttemptStarted():
                self._queue.put(partial(self._started, name, event.pid, event.number))
            case AttemptPrinted():
                self._queue.put(partial(self._console.wrote, name, event.stream, event.data))
            case AttemptFailure():
                self._queue.put(partial(self._failed, name, event.number, event.text, time.time()))

    def _progress(self) -> str:
        """One line on the progress of the steps that have live tasks."""
        steps: dict[str, list[bool]] = {}
        for task in self._live:
            name = str(task.id)
            steps.setdefault(name.partition("/")[0], []).append(self._console.has_started(name))
        told = []
        for step, started in steps.items():
            running, done = sum(started), self._done[step]
            told.append(f"{step}: {done} of {done + len(started)} done, {running} running")
        return f"Still at it. {'; '.join(told)}."

    def _failed(self, name: str, tries: int, words: str, now: float) -> None:
        retry = self._plans[name.partition("/")[0]].policy.retry
        wait = retry.delay if tries <= retry.count else 0.0
        due = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now + wait))
        more = [f"The next try waits until {due}, as minutes_between_retries says."] if wait else []
        self._console.ended(name, *words.splitlines(), *more, bad=True)

    def _started(self, name: str, pid: int, tries: int) -> None:
        text = "Task is starting." if tries == 1 else "Task is starting (retry)."
        if tries > self._plans[name.partition("/")[0]].spec.retries + 1:
            text = "Task fallback is starting to handle the failure."
        self._console.started(name, pid, text)

    def _ended(self, task: TaskHandle, then: Callable[[TaskHandle], None]) -> None:
        del self._live[task]
        self._done[task.id.step] += 1
        if self._session.failure is not None:
            self._console.ended(str(task.id))
            raise self._session.failure
        then(task)
