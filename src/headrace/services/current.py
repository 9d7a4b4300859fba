"""Which run the calling code belongs to, if any."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

from headrace.runtime import context
from headrace.services import threads

if TYPE_CHECKING:
    from headrace.model.calls import TaskHandle
    from headrace.services.session import Session


class Calls(Protocol):
    """What takes calls of steps: a run in progress."""

    session: Session

    def submit(self, step: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make a task of a call; a future."""

    def run(self, step: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make a task of a call and wait for its result."""

    def call(self, step: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make a task of a call of an async step; a coroutine."""

    def map(self, step: Any, items: Iterable[Any], shared: dict[str, Any]) -> Any:
        """Make a task per item; a list of futures."""

    def read(self, task: TaskHandle, output: str) -> Any:
        """The value of an output of a finished task; where the flow passes it on, it is known to come from there."""


_running: ContextVar[Calls | None] = ContextVar("headrace_run", default=None)
#: Runs driven by this process now.
_all: list[Calls] = []


def running() -> Calls | None:
    """The run that a call of a step here becomes a task of; None outside a run and inside a step.

    A thread of which nobody knows who started it, such as one of a pool that is older than the run, works for the only
    run there is.
    """
    if context.current() is not None:
        return None
    found = run_of_this_code()
    if found is None and len(_all) == 1 and not threads.is_known():
        return _all[0]
    return found


def run_of_this_code() -> Calls | None:
    """The run whose flow function led to the calling code, in this thread or by starting it; else None."""
    found = _running.get()
    if found is None and _all:
        found = threads.inherited(_running)
        if found not in _all:  # it is over, and its thread lives on
            return None
    return found


def is_only(session: Session) -> bool:
    """Whether this process drives the run of ``session`` and no other."""
    return len(_all) == 1 and _all[0].session is session


@contextlib.contextmanager
def inside(run: Calls) -> Iterator[None]:
    """Make ``run`` the one that calls here belong to."""
    token = _running.set(run)
    _all.append(run)
    try:
        with threads.followed():
            yield
    finally:
        _all.remove(run)
        _running.reset(token)
