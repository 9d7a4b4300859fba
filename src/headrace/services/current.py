"""Which run the calling code belongs to, if any."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

from headrace.worker import context

if TYPE_CHECKING:
    from headrace.engine.tasks import Task
    from headrace.services.session import Session


class Calls(Protocol):
    """What takes calls of steps: a run in progress."""

    session: Session

    def submit(self, step: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make a task of a call; a future."""

    def call(self, step: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make a task of a call of an async step; a coroutine."""

    def map(self, step: Any, items: Iterable[Any], shared: dict[str, Any]) -> Any:
        """Make a task per item; a list of futures."""

    def read(self, task: Task, output: str) -> Any:
        """The value of an output of a finished task; where the flow passes it on, it is known to come from there."""

    def seen(self, task: Task) -> None:
        """The flow is told of this failure: it is the flow's to handle now."""


_running: ContextVar[Calls | None] = ContextVar("headrace_run", default=None)
#: Runs driven by this process now; threads of a flow do not inherit the context variable.
_all: list[Calls] = []


def running() -> Calls | None:
    """The run that a call of a step here becomes a task of; None outside a run and inside a step."""
    if context.current() is not None:
        return None
    found = _running.get()
    if found is None and len(_all) == 1:
        return _all[0]
    return found


@contextlib.contextmanager
def inside(run: Calls) -> Iterator[None]:
    """Make ``run`` the one that calls here belong to."""
    token = _running.set(run)
    _all.append(run)
    try:
        yield
    finally:
        _all.remove(run)
        _running.reset(token)
