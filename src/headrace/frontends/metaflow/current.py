"""``current``: which flow, run, step and task the calling code belongs to. A worker runs one task at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

_facts: ContextVar[dict[str, Any] | None] = ContextVar("headrace_metaflow_current", default=None)
#: The same for threads that a step starts: they do not inherit the context variable.
_process: list[dict[str, Any]] = []
#: What was chosen outside of tasks; see ``choices``.
_outside: dict[str, Any] = {}
#: What is known of a flow before it runs; see ``define``.
_defined: dict[str, Any] = {}

#: A fact that only a spun task knows.
SPUN_FACT = "_spun"
#: In flows that have a gang: what ``parallel`` is in the steps beside it.
GANGS = "_gangs"
#: The namespace that the Client API looks in, once one is set.
NAMESPACE = "_namespace"


def facts() -> dict[str, Any]:
    """What is known here; empty outside a flow."""
    found = _facts.get()
    if found is None:
        return _process[-1] if _process else {}
    return found


def choices() -> dict[str, Any]:
    """What code here chose for itself: a task's choices end with it, though its process goes on to other tasks."""
    return facts() or _outside


def define(known: dict[str, Any]) -> None:
    """Say what ``current`` knows before any task: of the flow whose parameters and mutators are being called."""
    _defined.clear()
    _defined.update(known)


def enter(new: dict[str, Any]) -> None:
    """Make ``new`` what ``current`` knows, until ``leave``."""
    _facts.set(new)
    _process.append(new)


def leave() -> None:
    """Forget what ``enter`` said."""
    _process.pop()
    _facts.set(_process[-1] if _process else None)


#: What makes ``current.run`` and ``current.task`` from a pathspec; see ``client.live``.
makers: dict[str, Callable[[str], Any]] = {}

_NAMES = (
    "flow_name",
    "run_id",
    "step_name",
    "task_id",
    "retry_count",
    "origin_run_id",
    "pathspec",
    "namespace",
    "username",
    "tags",
    "tempdir",
    "is_running_flow",
)
_MADE_ON_DEMAND = ("graph", "graph_info", "trigger")


class Current:
    """See the module. Names that are never set give None; others only exist where a decorator sets them."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        known = facts()
        if not known and name in _defined:
            return _defined[name]
        if name in known:
            value = known[name]
            return value() if name in _MADE_ON_DEMAND else value
        if name == "is_running_flow":
            return bool(known)
        if name == "tempdir":
            from headrace.frontends.metaflow.settings import setting

            return setting("TEMPDIR", ".")
        if name == "graph":
            raise RuntimeError("Graph is not available: no flow is running here")
        if name == "tags":
            return set()
        if name in makers:
            return makers[name](known["pathspec"]) if known else None
        if name == "parallel" and GANGS in known:
            return known[GANGS]
        if name in _NAMES:
            return None
        raise AttributeError(f"current has no attribute '{name}' here")

    def __contains__(self, name: str) -> bool:
        return getattr(self, name, None) is not None

    def get(self, key: str, default: Any = None) -> Any:
        """The value under ``key``; ``default`` where there is no such name."""
        return getattr(self, key, default)

    def __dir__(self) -> list[str]:
        known = (*_NAMES, *makers, "graph", "get", *(("parallel",) if GANGS in facts() else ()))
        return sorted({*object.__dir__(self), *known, *self})

    def __iter__(self) -> Iterator[str]:
        return (name for name in facts() or _defined if not name.startswith("_"))


current = Current()
