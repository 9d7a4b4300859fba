"""Which run the calling code belongs to, if any."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

from headrace.runtime import ambient, context

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


def running() -> Calls | None:
    """The run that the calling code belongs to; None outside a run and inside a step."""
    return None if context.current() is not None else run_of_this_code()


def taking(step: str) -> Calls | None:
    """The run that a call of ``step`` here becomes a task of; None outside a run and inside a step.

    Raises:
        UsageError: a run is live in this process, and the calling thread belongs to none.
    """
    if context.current() is not None:
        return None
    found = ambient.known()
    if found is None and ambient.is_stray():
        advice = f"; or call the plain function: {step}.__wrapped__(...)"
        found = ambient.find(f"step {step!r} was called", advice, steps=True)
    calls: Calls | None = None if found is None else found.calls
    return calls


def run_of_this_code() -> Calls | None:
    """The run whose flow function led to the calling code, in this thread or by starting it; else None."""
    found = ambient.known()
    calls: Calls | None = None if found is None else found.calls
    return calls
