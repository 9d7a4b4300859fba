"""Headrace: machine learning as a flow, in plain Python.

    from headrace import flow, step

Everything here is loaded when it is first used: importing the package loads no database, web, cloud or ML library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace._version import __version__

if TYPE_CHECKING:
    from headrace.client.catalog import Flow, Runs, runs
    from headrace.client.runs import Artifact, Run, Task
    from headrace.client.tracking import (
        log_artifact,
        log_figure,
        log_metric,
        log_metrics,
        log_params,
        log_table,
        log_text,
        set_tag,
        track,
    )
    from headrace.frontends.native.flows import flow
    from headrace.frontends.native.futures import Future, as_completed, wait
    from headrace.frontends.native.resume import resume
    from headrace.frontends.native.steps import Step, do_not_cache, step
    from headrace.frontends.native.waits import sleep, wait_for
    from headrace.model.errors import (
        CallError,
        DefinitionError,
        FlowLoadError,
        HeadraceError,
        NotFoundError,
        NotLoadableError,
        NotStorableError,
        ParameterError,
        RemoteTraceback,
        ResourceError,
        RunBusyError,
        RunFailedError,
        StoreError,
        TaskCancelledError,
        TaskCrashedError,
        TaskError,
        TaskOutOfMemoryError,
        TaskTimeoutError,
        UpstreamFailedError,
        UsageError,
    )
    from headrace.model.policy import Retry
    from headrace.stores.codecs.files import File, Folder

_CATALOG = "headrace.client.catalog"
_CLIENT = "headrace.client.runs"
_ERRORS = "headrace.model.errors"
_FILES = "headrace.stores.codecs.files"
_TRACKING = "headrace.client.tracking"
_WHERE = {
    "flow": "headrace.frontends.native.flows",
    "step": "headrace.frontends.native.steps",
    "Step": "headrace.frontends.native.steps",
    "do_not_cache": "headrace.frontends.native.steps",
    "Future": "headrace.frontends.native.futures",
    "wait": "headrace.frontends.native.futures",
    "as_completed": "headrace.frontends.native.futures",
    "resume": "headrace.frontends.native.resume",
    "sleep": "headrace.frontends.native.waits",
    "wait_for": "headrace.frontends.native.waits",
    "Retry": "headrace.model.policy",
    "File": _FILES,
    "Folder": _FILES,
    "Artifact": _CLIENT,
    "Run": _CLIENT,
    "Task": _CLIENT,
    "Flow": _CATALOG,
    "Runs": _CATALOG,
    "runs": _CATALOG,
    "log_artifact": _TRACKING,
    "log_figure": _TRACKING,
    "log_metric": _TRACKING,
    "log_metrics": _TRACKING,
    "log_params": _TRACKING,
    "log_table": _TRACKING,
    "log_text": _TRACKING,
    "set_tag": _TRACKING,
    "track": _TRACKING,
    "CallError": _ERRORS,
    "DefinitionError": _ERRORS,
    "FlowLoadError": _ERRORS,
    "HeadraceError": _ERRORS,
    "NotFoundError": _ERRORS,
    "NotLoadableError": _ERRORS,
    "NotStorableError": _ERRORS,
    "ParameterError": _ERRORS,
    "RemoteTraceback": _ERRORS,
    "ResourceError": _ERRORS,
    "RunBusyError": _ERRORS,
    "RunFailedError": _ERRORS,
    "StoreError": _ERRORS,
    "TaskCancelledError": _ERRORS,
    "TaskCrashedError": _ERRORS,
    "TaskError": _ERRORS,
    "TaskOutOfMemoryError": _ERRORS,
    "TaskTimeoutError": _ERRORS,
    "UpstreamFailedError": _ERRORS,
    "UsageError": _ERRORS,
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
    "Artifact",
    "CallError",
    "DefinitionError",
    "File",
    "Flow",
    "FlowLoadError",
    "Folder",
    "Future",
    "HeadraceError",
    "NotFoundError",
    "NotLoadableError",
    "NotStorableError",
    "ParameterError",
    "RemoteTraceback",
    "ResourceError",
    "Retry",
    "Run",
    "RunBusyError",
    "RunFailedError",
    "Runs",
    "Step",
    "StoreError",
    "Task",
    "TaskCancelledError",
    "TaskCrashedError",
    "TaskError",
    "TaskOutOfMemoryError",
    "TaskTimeoutError",
    "UpstreamFailedError",
    "UsageError",
    "__version__",
    "as_completed",
    "do_not_cache",
    "flow",
    "log_artifact",
    "log_figure",
    "log_metric",
    "log_metrics",
    "log_params",
    "log_table",
    "log_text",
    "resume",
    "runs",
    "set_tag",
    "sleep",
    "step",
    "track",
    "wait",
    "wait_for",
]
