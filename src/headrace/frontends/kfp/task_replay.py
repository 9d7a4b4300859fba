"""A task of a pipeline once more, in this process, for a debugger: its component's function with its artifacts."""

from __future__ import annotations

import atexit
import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from headrace.frontends.kfp import executors
from headrace.frontends.kfp.component_task import call_of
from headrace.frontends.kfp.contract import ComponentStep
from headrace.frontends.kfp.executors import source
from headrace.frontends.kfp.executors.execute import function_of
from headrace.frontends.kfp.executors.function import bound_arguments
from headrace.frontends.kfp.executors.places import Places
from headrace.frontends.kfp.graph import node_at
from headrace.frontends.kfp.ir import Pipeline
from headrace.frontends.kfp.launch import job_facts
from headrace.model.errors import NotFoundError
from headrace.model.messages import Execute
from headrace.model.records import RunRecord, TaskRecord
from headrace.runtime.raw import RawCall, arguments_of
from headrace.stores.artifacts.protocol import ArtifactStore

#: Keeps the folders and modules of entered tasks until the process ends.
_entered = contextlib.ExitStack()
atexit.register(_entered.close)


def enter(
    pipeline: Pipeline, run: RunRecord, task: TaskRecord, stored: tuple[Mapping[Any, Any], ArtifactStore], home: str
) -> tuple[str, dict[str, Any], Callable[[], Any]]:
    """The name of a component's function, what it sees by name, and how to call it.

    ``pipeline`` is as its file has it now, ``stored`` the outputs of the tasks that ``task`` takes inputs from, and
    their store.

    Raises:
        NotFoundError: the pipeline has no such task any more, or its component is not a Python function.
    """
    node = node_at(pipeline.spec, task.step)
    if node is None or node.component.dag is not None:
        raise NotFoundError(f"pipeline {pipeline.name} has no task {task.step!r} any more; `headrace check` lists them")
    executor = pipeline.spec.deployment_spec.executors[node.component.executor_label]
    told = function_of(executor.container) if executor.container is not None else None
    if told is None:
        raise NotFoundError(f"task {task.step!r} does not run a Python function, and cannot be entered")
    job = job_facts(pipeline, run, home)
    step = ComponentStep(task=node.key, path=task.step, component=node.component, executor=executor, job=job)
    outputs, store = stored
    message = Execute(0, 0, f"{run.name}/{task.id}", task.attempts, arguments_of(task.inputs, outputs))
    call = call_of(step, RawCall(message, store), _entered.enter_context(executors.attempt_folder()))
    function = _entered.enter_context(source.loaded(told.source, told.function, task.step))
    arguments = bound_arguments(function, call, Places(call))
    return told.function, {told.function: function, **arguments}, lambda: function(**arguments)
