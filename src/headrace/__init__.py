"""Headrace: machine learning as a flow, in plain Python.

    from headrace import flow, step

Everything here is loaded when it is first used: importing the package loads no database, web, cloud or ML library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace._version import __version__

if TYPE_CHECKING:
    from headrace.client.catalog import Flow, Runs, runs
    from headrace.client.connection import Client, connect
    from headrace.client.reproduction import reproduce
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
    from headrace.frontends.native.commands import Command, command
    from headrace.frontends.native.flows import flow
    from headrace.frontends.native.futures import Future, as_completed, wait
    from headrace.frontends.native.resume import resume
    from headrace.frontends.native.seeds import task_seed
    from headrace.frontends.native.steps import Step, do_not_cache, step
    from headrace.frontends.native.waits import sleep, wait_for
    from headrace.model.environments import Environment
    from headrace.model.errors import (
        CallError,
        CommandError,
        CommandRefusedError,
        DefinitionError,
        EnvironmentSetupError,
        FlowLoadError,
        HeadraceError,
        MissingSecretError,
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
    from headrace.model.pods import Pod
    from headrace.model.policy import Retry
    from headrace.runtime.ambient import copy_context
    from headrace.runtime.secrets import Secret
    from headrace.stores.codecs.files import File, Folder

_NAMES = {
    "headrace.frontends.native.flows": "flow",
    "headrace.frontends.native.steps": "step Step do_not_cache",
    "headrace.frontends.native.commands": "Command command",
    "headrace.frontends.native.futures": "Future wait as_completed",
    "headrace.frontends.native.resume": "resume",
    "headrace.frontends.native.seeds": "task_seed",
    "headrace.frontends.native.waits": "sleep wait_for",
    "headrace.model.policy": "Retry",
    "headrace.model.pods": "Pod",
    "headrace.model.environments": "Environment",
    "headrace.stores.codecs.files": "File Folder",
    "headrace.runtime.ambient": "copy_context",
    "headrace.runtime.secrets": "Secret",
    "headrace.client.runs": "Artifact Run Task",
    "headrace.client.catalog": "Flow Runs runs",
    "headrace.client.reproduction": "reproduce",
    "headrace.client.connection": "Client connect",
    "headrace.client.tracking": (
        "log_artifact log_figure log_metric log_metrics log_params log_table log_text set_tag track"
    ),
    "headrace.model.errors": (
        "CallError CommandError CommandRefusedError DefinitionError EnvironmentSetupError FlowLoadError HeadraceError "
        "MissingSecretError NotFoundError NotLoadableError NotStorableError ParameterError RemoteTraceback "
        "ResourceError RunBusyError RunFailedError StoreError TaskCancelledError TaskCrashedError TaskError "
        "TaskOutOfMemoryError TaskTimeoutError UpstreamFailedError UsageError"
    ),
}
_WHERE = {name: module for module, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    where = _WHERE.get(name)
    if where is None:
        raise AttributeError(f"module 'headrace' has no attribute {name!r}")
    import importlib

    from headrace._base.collection import CollectionPausedForImports

    with CollectionPausedForImports():
        from headrace._base import lean_msgspec  # noqa: F401

        value = getattr(importlib.import_module(where), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*_WHERE, "__version__"]


__all__ = [
    "Artifact",
    "CallError",
    "Client",
    "Command",
    "CommandError",
    "CommandRefusedError",
    "DefinitionError",
    "Environment",
    "EnvironmentSetupError",
    "File",
    "Flow",
    "FlowLoadError",
    "Folder",
    "Future",
    "HeadraceError",
    "MissingSecretError",
    "NotFoundError",
    "NotLoadableError",
    "NotStorableError",
    "ParameterError",
    "Pod",
    "RemoteTraceback",
    "ResourceError",
    "Retry",
    "Run",
    "RunBusyError",
    "RunFailedError",
    "Runs",
    "Secret",
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
    "command",
    "connect",
    "copy_context",
    "do_not_cache",
    "flow",
    "log_artifact",
    "log_figure",
    "log_metric",
    "log_metrics",
    "log_params",
    "log_table",
    "log_text",
    "reproduce",
    "resume",
    "runs",
    "set_tag",
    "sleep",
    "step",
    "task_seed",
    "track",
    "wait",
    "wait_for",
]
