"""The attempt that is running in this process, for code that a step calls: where it is, and what it logs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from headrace.model.messages import Metrics, Output, Track

#: Points held back before they are sent; keeps one message well under a megabyte.
_MANY = 20_000


class AttemptContext:
    """Who is running, and a buffer for what it logs. ``send`` puts a message on the way to the driver."""

    def __init__(self, task: str, attempt: int, token: int, send: Callable[[Track], None]) -> None:
        self.task = task
        self.attempt = attempt
        self._token = token
        self._send = send
        self._lock = threading.Lock()
        self._metrics: dict[str, tuple[list[float], list[int], list[float]]] = {}
        self._last_steps: dict[str, int] = {}
        self._points = 0
        self._params: list[tuple[str, str]] = []
        self._tags: list[tuple[str, str]] = []
        self._artifacts: list[Output] = []

    def metric(self, name: str, value: float, step: int | None, at: float | None) -> None:
        """Keep a point; it goes out with the next batch."""
        with self._lock:
            columns = self._metrics.get(name)
            if columns is None:
                columns = self._metrics[name] = ([], [], [])
            values, steps, times = columns
            values.append(value)
            steps.append(self._next_step(name) if step is None else step)
            self._last_steps[name] = steps[-1]
            times.append(at if at is not None else time.time())
            self._points += 1
            full = self._points >= _MANY
        if full:
            self.flush()

    def _next_step(self, name: str) -> int:
        return self._last_steps.get(name, -1) + 1

    def param(self, name: str, text: str) -> None:
        """Keep a parameter."""
        with self._lock:
            self._params.append((name, text))

    def tag(self, name: str, value: str) -> None:
        """Keep a tag for the run."""
        with self._lock:
            self._tags.append((name, value))

    def artifact(self, output: Output) -> None:
        """Keep a logged artifact, which is in the store already."""
        with self._lock:
            self._artifacts.append(output)

    def flush(self) -> None:
        """Send what is kept."""
        with self._lock:
            if not (self._points or self._params or self._tags or self._artifacts):
                return
            metrics = tuple(
                Metrics(name, tuple(values), tuple(steps), tuple(times))
                for name, (values, steps, times) in self._metrics.items()
                if values
            )
            message = Track(self._token, metrics, tuple(self._params), tuple(self._tags), tuple(self._artifacts))
            self._metrics = {}
            self._points = 0
            self._params, self._tags, self._artifacts = [], [], []
            self._send(message)


_current: AttemptContext | None = None


def current() -> AttemptContext | None:
    """The running attempt; None outside a worker."""
    return _current


def enter(context: AttemptContext | None) -> None:
    """Make ``context`` the running attempt. A process runs one at a time, so this is process-wide, threads included."""
    global _current
    _current = context
