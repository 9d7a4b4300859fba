"""Headrace: machine learning as a flow, in plain Python.

    from headrace import flow, step

Everything here is loaded when it is first used: importing the package loads no database, web, cloud or ML library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace._version import __version__

if TYPE_CHECKING:
    from headrace.frontends.native.flows import flow
    from headrace.frontends.native.futures import Future, as_completed, wait
    from headrace.frontends.native.steps import Step, step
    from headrace.frontends.native.waits import sleep, wait_for
    from headrace.model.errors import (
        HeadraceError,
        NotStorableError,
        ParameterError,
        TaskCancelledError,
        TaskCrashedError,
        TaskError,
        TaskOutOfMemoryError,
        TaskTimeoutError,
        UpstreamFailedError,
    )
    from headrace.model.policy import Retry

_ERRORS = "headrace.model.errors"
_WHERE = {
    "flow": "headrace.frontends.native.flows",
    "step": "headrace.frontends.native.steps",
    "Step": "headrace.frontends.native.steps",
    "Future": "headrace.frontends.native.futures",
    "wait": "headrace.frontends.native.futures",
    "as_completed": "headrace.frontends.native.futures",
    "sleep": "headrace.frontends.native.waits",
    "wait_for": "headrace.frontends.native.waits",
    "Retry": "headrace.model.policy",
    "HeadraceError": _ERRORS,
    "NotStorableError": _ERRORS,
    "ParameterError": _ERRORS,
    "TaskCancelledError": _ERRORS,
    "TaskCrashedError": _ERRORS,
    "TaskError": _ERRORS,
    "TaskOutOfMemoryError": _ERRORS,
    "TaskTimeoutError": _ERRORS,
    "UpstreamFailedError": _ERRORS,
}


def __getattr__(name: str) -> Any:
    where = _WHERE.get(name)
    if where is None:
        raise AttributeError(f"module 'headrace' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(where), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*_WHERE, "__version__"]


__all__ = [
    "Future",
    "HeadraceError",
    "NotStorableError",
    "ParameterError",
    "Retry",
    "Step",
    "TaskCancelledError",
    "TaskCrashedError",
    "TaskError",
    "TaskOutOfMemoryError",
    "TaskTimeoutError",
    "UpstreamFailedError",
    "__version__",
    "as_completed",
    "flow",
    "sleep",
    "step",
    "wait",
    "wait_for",
]
