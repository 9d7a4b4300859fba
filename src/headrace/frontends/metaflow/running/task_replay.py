"""A task of a Metaflow flow once more, in this process, for a debugger."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from headrace.frontends.metaflow import current as current_module
from headrace.frontends.metaflow.authoring.flowspec import STATE
from headrace.frontends.metaflow.authoring.prepare import prepare
from headrace.frontends.metaflow.identity import user_name
from headrace.frontends.metaflow.running.launch import RunOptions, run_facts
from headrace.frontends.metaflow.running.plan import Ground, make_plans
from headrace.frontends.metaflow.running.resume_origin import configs_of
from headrace.frontends.metaflow.running.task import call_plainly, open_flow, task_facts
from headrace.model.errors import NotFoundError
from headrace.model.messages import Execute
from headrace.model.policy import Resources
from headrace.model.records import RunRecord, TaskRecord
from headrace.runtime.raw import RawCall, arguments_of
from headrace.stores.artifacts.protocol import ArtifactStore

#: Steps ask for what they like: nothing is run beside them.
_ROOM = Resources(1e6, 2**60, 10**6)


def enter(
    cls: Any, run: RunRecord, task: TaskRecord, outputs: Mapping[Any, Any], store: ArtifactStore
) -> tuple[dict[str, Any], Callable[[], Any]]:
    """What a step sees, by name (``self``, and ``inputs`` of a join), and how to call it.

    ``cls`` is the flow as its file has it now, ``outputs`` are those of the tasks that ``task`` takes inputs from.

    Raises:
        NotFoundError: the flow has no such step any more.
    """
    step = task.step.rpartition(".")[2]
    if step not in cls._steps:
        raise NotFoundError(f"flow {cls.__name__} has no step {step!r} any more; it has {', '.join(cls._steps)}")
    prepare(cls, {}, {}, user_name(), configs_of(cls, run, store) if run.dialect == "metaflow" else None)
    constants = tuple(sorted({*cls._constants(), *cls._configs(), *cls._parameters(), "name"}))
    plan = make_plans(cls, constants, run_facts(cls, RunOptions(), ()), (), Ground(_ROOM, 1))[step]
    message = Execute(0, 0, f"{run.name}/{task.id}", task.attempts, arguments_of(task.inputs, outputs))
    call = RawCall(message, store)
    flow, inputs = open_flow(plan.spec, call)
    current_module.enter(task_facts(plan.spec, call, flow.__dict__[STATE]))
    os.environ.update(plan.policy.env_vars)
    function = cls._steps[step]
    names = {"self": flow, step: function.__get__(flow), **({"inputs": inputs} if inputs is not None else {})}
    return names, lambda: call_plainly(function, flow, inputs)
