"""The attempt that runs in this process, for code that a step calls: its name, and what it logs."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from headrace.model.messages import Metrics, Output, Track

if TYPE_CHECKING:
    from headrace.stores.artifacts.protocol import ArtifactStore

T = TypeVar("T")

#: Metric points in one message, which keeps it below a megabyte. A thread that has logged so many sends them.
_MANY = 20_000

#: A metric's name, value, step (None: the next one) and time.
Point = tuple[str, float, int | None, float]


class TrackBuffer:
    """Logged values that are not sent yet. Any thread may log; one thread at a time calls ``send``.

    ``store`` is where the bytes of logged artifacts go, before they are named here.
    """

    __slots__ = ("_artifacts", "_last_steps", "_lock", "_params", "_points", "_send", "_tags", "_token", "store")

    def __init__(self, token: int, send: Callable[[Track], None], store: ArtifactStore | None = None) -> None:
        self.store = store
        self._token = token
        self._send = send
        self._lock = threading.Lock()
        # Deques need no lock: threads that log append at one end, the thread that sends pops at the other.
        self._points: deque[Point] = deque()
        self._params: deque[tuple[str, str]] = deque()
        self._tags: deque[tuple[str, str]] = deque()
        self._artifacts: deque[Output] = deque()
        self._last_steps: dict[str, int] = {}

    def metric(self, name: str, value: float, step: int | None, at: float | None) -> None:
        """Keep a point for the next batch. Without ``step``, its step is that of the point before plus one."""
        self._points.append((name, value, step, time.time() if at is None else at))
        if len(self._points) >= _MANY:
            self.flush()

    def param(self, name: str, text: str) -> None:
        """Keep a parameter."""
        self._params.append((name, text))

    def tag(self, name: str, value: str) -> None:
        """Keep a tag for the run."""
        self._tags.append((name, value))

    def artifact(self, output: Output) -> None:
        """Keep a logged artifact. Its bytes are in the store already."""
        self._artifacts.append(output)

    def flush(self) -> None:
        """Send everything that is kept."""
        with self._lock:  # also to see that nothing is kept: another thread may be sending the last of it
            if self._points or self._params or self._tags or self._artifacts:
                for _ in range(len(self._points) // _MANY + 1):
                    self._send(self._take())

    def _take(self) -> Track:
        metrics = self._take_points() if self._points else ()
        return Track(self._token, metrics, _emptied(self._params), _emptied(self._tags), _emptied(self._artifacts))

    def _take_points(self) -> tuple[Metrics, ...]:
        columns: dict[str, tuple[list[float], list[int], list[float]]] = {}
        last_steps, points = self._last_steps, self._points
        for _ in range(min(len(points), _MANY)):
            name, value, step, at = points.popleft()
            found = columns.get(name)
            if found is None:
                found = columns[name] = ([], [], [])
            if step is None:
                step = last_steps.get(name, -1) + 1
            last_steps[name] = step
            found[0].append(value)
            found[1].append(step)
            found[2].append(at)
        return tuple([Metrics(name, tuple(v), tuple(s), tuple(t)) for name, (v, s, t) in columns.items()])


def _emptied(kept: deque[T]) -> tuple[T, ...]:
    return tuple([kept.popleft() for _ in range(len(kept))]) if kept else ()


class AttemptContext(TrackBuffer):
    """The running attempt, and a buffer for what it logs. ``send`` sends a message to the driver."""

    __slots__ = ("attempt", "reusable", "task")

    def __init__(
        self, task: str, attempt: int, token: int, send: Callable[[Track], None], store: ArtifactStore | None = None
    ) -> None:
        super().__init__(token, send, store)
        self.task = task
        self.attempt = attempt
        self.reusable = True


class Unrecorded(TrackBuffer):
    """Drops what a step logs that was called outside of any run, as a plain function."""

    __slots__ = ()

    def metric(self, name: str, value: float, step: int | None, at: float | None) -> None:
        """Forget it."""

    def param(self, name: str, text: str) -> None:
        """Forget it."""

    def tag(self, name: str, value: str) -> None:
        """Forget it."""

    def artifact(self, output: Output) -> None:
        """Forget it."""


_plain: ContextVar[Unrecorded | None] = ContextVar("headrace_plain", default=None)


def plain_call() -> Unrecorded | None:
    """The buffer of the step that is called outside of a run around the calling code; None if there is none."""
    return _plain.get()


def call_plainly(function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
    """Call the function of a step outside of any run. What it logs is dropped."""
    token = _plain.set(Unrecorded(0, lambda _: None))
    try:
        return function(*args, **kwargs)
    finally:
        _plain.reset(token)


async def await_plainly(function: Callable[..., Awaitable[T]], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
    """``call_plainly`` for a coroutine function."""
    token = _plain.set(Unrecorded(0, lambda _: None))
    try:
        return await function(*args, **kwargs)
    finally:
        _plain.reset(token)


class Reading(threading.local):
    """Whether this thread is reading stored values, or the process is a worker: a module that is imported meanwhile
    must not start runs.
    """

    active = False


reading = Reading()

#: In a worker and the processes that its steps fork: the working directory of the run. Empty elsewhere.
folder = ""

_current: AttemptContext | None = None


def current() -> AttemptContext | None:
    """The running attempt; None outside of workers and in processes that a step forked."""
    return _current


def enter(context: AttemptContext | None) -> None:
    """Make ``context`` the running attempt of this process, for all its threads."""
    global _current
    _current = context


def do_not_reuse() -> bool:
    """Keep the outputs of the running attempt out of the cache. Returns False if no attempt runs."""
    if _current is not None:
        _current.reusable = False
    return _current is not None


# A child of a step shares the worker's socket. Messages of the child would be mixed with those of the worker.
os.register_at_fork(after_in_child=lambda: enter(None))
