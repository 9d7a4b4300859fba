"""Which run the calling code belongs to, if any."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING

from headrace.worker import context

if TYPE_CHECKING:
    from headrace.frontends.native.runner import Running

_running: ContextVar[Running | None] = ContextVar("headrace_run", default=None)
#: Runs driven by this process now; threads of a flow do not inherit the context variable.
_all: list[Running] = []


def running() -> Running | None:
    """The run that a call of a step here becomes a task of; None outside a run and inside a step."""
    if context.current() is not None:
        return None
    found = _running.get()
    if found is None and len(_all) == 1:
        return _all[0]
    return found


@contextlib.contextmanager
def inside(run: Running) -> Iterator[None]:
    """Make ``run`` the one that calls here belong to."""
    token = _running.set(run)
    _all.append(run)
    try:
        yield
    finally:
        _all.remove(run)
        _running.reset(token)
