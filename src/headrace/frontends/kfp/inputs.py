"""The inputs of tasks: from what stands in the file to references, values and arguments of calls."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

from headrace.frontends.kfp import conditions, pods
from headrace.frontends.kfp.component_task import TASK_UUID
from headrace.frontends.kfp.contract import JobFacts
from headrace.frontends.kfp.errors import TaskInputError
from headrace.frontends.kfp.graph import Node
from headrace.frontends.kfp.ir import Executor, Pipeline, TaskParameter
from headrace.frontends.kfp.placeholders import Path, as_text, find, replace_deep
from headrace.frontends.kfp.plan import wants_task_uuid
from headrace.frontends.kfp.references import Fixed, Ref, Several, items_of, pending
from headrace.frontends.kfp.scope import Ending, Environment
from headrace.frontends.kfp.values import WrongTypeError, coerced
from headrace.model.calls import PendingInput
from headrace.stores import codecs
from headrace.stores.artifacts.protocol import ArtifactStore

#: What stands between the name of a loop's item and that of a part of it.
SUBVAR = "-subvar-"


class Ground(msgspec.Struct, frozen=True):
    """What inputs are resolved with: the store, facts of the run, and how exit tasks hear of states."""

    store: ArtifactStore
    job: JobFacts
    pipeline: Pipeline
    final_states: dict[str, str]
    pods: bool = False  # tasks run in pods
    #: By the id of an executor, which lives as long as the pipeline: see ``_asked``.
    asked: dict[int, tuple[bool, tuple[str, ...]]] = {}


class Around(msgspec.Struct, frozen=True):
    """The DAG that a task is in: its inputs, and how its other tasks ended."""

    environment: Environment
    endings: Mapping[str, Ending]


def resolve(ground: Ground, owner: Around, node: Node, place: str) -> Environment:
    """The inputs of a task, defaults included. What is absent has no key.

    Raises:
        TaskInputError: one is absent that must be there.
    """
    declared = node.component.input_definitions
    found = Environment({}, {}, owner.environment)
    constants: dict[str, Any] = {}
    for name, told in node.task.inputs.parameters.items():
        value = told.runtime_value
        if value is not None and any(True for _ in find(value.constant)):
            constants[name] = value.constant
            continue
        ref = _parameter(ground, owner, told)
        if ref is not None:
            found.parameters[name] = ref
    for name, constant in constants.items():
        found.parameters[name] = Fixed(_filled(ground, constant, found, node, place))
    for name, artifact in node.task.inputs.artifacts.items():
        one = artifact.task_output_artifact
        if one is not None:
            refs = owner.endings[one.producer_task].outputs.artifacts.get(one.output_artifact_key)
        else:
            refs = owner.environment.artifact(artifact.component_input_artifact or "")
        if refs is not None:
            found.artifacts[name] = refs
    for name, parameter in declared.parameters.items():
        if name in found.parameters or _is_item(node, name):
            continue
        if parameter.default_value is not None and parameter.default_value is not msgspec.UNSET:
            found.parameters[name] = Fixed(parameter.default_value)
        elif not parameter.is_optional and parameter.parameter_type != "TASK_CONFIG" and node.component.dag is None:
            raise TaskInputError(f"its input {name!r} has no value: {_where(node, name)}")
    for name, one_artifact in declared.artifacts.items():
        if name not in found.artifacts and not one_artifact.is_optional and not _is_item(node, name):
            raise TaskInputError(f"its input artifact {name!r} is not there: {_where(node, name)}")
    if ground.pods:
        settings = ground.pipeline.kubernetes.deployment_spec.executors.get(node.component.executor_label)
        if settings:
            found.platform = pods.resolved(settings, lambda told: _setting(ground, owner, told))
    return found


def _setting(ground: Ground, owner: Around, told: TaskParameter) -> Any:
    """The value that a setting for Kubernetes names; None if it is absent."""
    one = told.task_output_parameter
    if one is not None and one.producer_task not in owner.endings:
        raise TaskInputError(
            f"a setting for Kubernetes needs an output of task {one.producer_task!r}, which is not over"
        )
    ref = _parameter(ground, owner, told)
    return None if ref is None else ref.load(ground.store)


def _is_item(node: Node, name: str) -> bool:
    """Whether an input is the item of the task's loop, which iterations get."""
    loops = (node.task.parameter_iterator, node.task.artifact_iterator)
    return any(one is not None and one.item_input == name for one in loops)


def _where(node: Node, name: str) -> str:
    """Where an input would have come from."""
    parameter = node.task.inputs.parameters.get(name)
    artifact = node.task.inputs.artifacts.get(name)
    if parameter is not None and parameter.task_output_parameter is not None:
        one = parameter.task_output_parameter
        return f"task {one.producer_task!r} gave no {one.output_parameter_key!r}"
    if artifact is not None and artifact.task_output_artifact is not None:
        two = artifact.task_output_artifact
        return f"task {two.producer_task!r} gave no {two.output_artifact_key!r}"
    told = parameter.component_input_parameter if parameter is not None else None
    told = told or (artifact.component_input_artifact if artifact is not None else None)
    return f"the input {told!r} around it is absent" if told else "the pipeline gives none"


def _parameter(ground: Ground, owner: Around, told: TaskParameter) -> Ref | None:
    ref: Ref | None
    if told.runtime_value is not None:
        constant = told.runtime_value.constant
        name = told.runtime_value.runtime_parameter
        ref = owner.environment.parameter(name) if name else Fixed(constant)
    elif told.component_input_parameter is not None:
        ref = owner.environment.parameter(told.component_input_parameter)
        if ref is None and SUBVAR in told.component_input_parameter:
            return _part_of_item(ground, owner, told.component_input_parameter)
    elif told.task_output_parameter is not None:
        one = told.task_output_parameter
        ref = owner.endings[one.producer_task].outputs.parameters.get(one.output_parameter_key)
    elif told.task_final_status is not None:
        ref = Fixed(_final_status(ground, owner, told.task_final_status.producer_task))
    else:
        ref = None
    if isinstance(ref, Fixed) and (ref.value is None or ref.value is msgspec.UNSET):
        return None
    if ref is not None and told.parameter_expression_selector:
        value = conditions.select(told.parameter_expression_selector, ref.load(ground.store))
        return None if value is None else Fixed(value)
    return ref


def _part_of_item(ground: Ground, owner: Around, name: str) -> Ref | None:
    """A part of a loop's item that the compiler names ``ITEM-subvar-PART`` and gives no selector for."""
    base, _, part = name.rpartition(SUBVAR)
    item = owner.environment.parameter(base)
    value = item.load(ground.store) if item is not None else None
    if not isinstance(value, dict) or value.get(part) is None:
        return None
    return Fixed(value[part])


def _final_status(ground: Ground, owner: Around, producer: str) -> dict[str, Any]:
    """How a task ended, for an exit task. Codes are those of gRPC: 1 for cancelled, 2 for failed (unknown)."""
    ending = owner.endings[producer]
    state = "SUCCEEDED" if ending.state in ("SUCCEEDED", "SKIPPED") else ending.state
    error: dict[str, Any] = {}
    if state == "FAILED":
        error = {"code": 2, "message": ending.error}
    elif state == "CANCELLED":
        error = {"code": 1, "message": "the run was cancelled"}
    return {
        "state": ground.final_states.get(state, state),
        "pipelineTaskName": producer,
        "pipelineJobResourceName": ground.job.resource_name,
        "error": error,
    }


def _filled(ground: Ground, constant: Any, found: Environment, node: Node, place: str) -> Any:
    """A constant with its placeholders replaced by other inputs of the task and facts of the run."""
    job = ground.job
    facts = {
        "pipeline_job_name": job.name,
        "pipeline_job_resource_name": job.resource_name,
        "pipeline_job_uuid": job.uuid,
        "pipeline_task_name": node.key,
        "pipeline_root": job.root,
        "workspace_path": job.workspace,
        "pipeline_job_create_time_utc": job.create_time,
        "pipeline_job_schedule_time_utc": job.schedule_time,
    }

    def lookup(path: Path) -> str:
        if len(path) == 3 and path[:2] == ("inputs", "parameters"):
            ref = found.parameters.get(path[2])
            if ref is None and path[2] not in node.task.inputs.parameters:
                raise TaskInputError(f"there is no input {path[2]!r} for the placeholder {{{{$.{'.'.join(path)}}}}}")
            return "" if ref is None else as_text(ref.load(ground.store))
        if path == (TASK_UUID,):
            return task_uuid(job.uuid, place)
        if len(path) == 1 and path[0] in facts:
            return facts[path[0]]
        raise TaskInputError(f"there is no placeholder {{{{$.{'.'.join(path)}}}}}")

    return replace_deep(constant, lookup)


def task_uuid(job: str, place: str) -> str:
    """The id of a task of a run, the same when the run is resumed."""
    return str(uuid.uuid5(uuid.UUID(job), place))


def condition_holds(ground: Ground, node: Node, environment: Environment) -> bool:
    """Whether the condition of a task is true, or it has none.

    Raises:
        TaskInputError: it cannot be evaluated.
    """
    condition = node.task.trigger_policy.condition
    if not condition:
        return True
    return conditions.holds(condition, _declared_values(ground, node, environment, condition))


def _declared_values(ground: Ground, node: Node, environment: Environment, text: str) -> dict[str, Any]:
    """The values of the inputs whose names stand in ``text``, as the component declares them."""
    declared = node.component.input_definitions.parameters
    values = {}
    for name, ref in environment.parameters.items():
        if name not in text:
            continue
        value = ref.load(ground.store)
        try:
            values[name] = coerced(value, declared[name].parameter_type) if name in declared else value
        except WrongTypeError as error:
            raise TaskInputError(f"its input {name!r}: {error}") from None
    return values


def items(ground: Ground, node: Node, environment: Environment) -> list[Ref]:
    """The items of a loop.

    Raises:
        TaskInputError: what it loops over is not a list.
    """
    loop = node.task.parameter_iterator
    if loop is None:
        assert node.task.artifact_iterator is not None
        name = node.task.artifact_iterator.items.input_artifact
        refs = environment.artifact(name)
        if refs is None:
            raise TaskInputError(f"the loop is over the artifacts {name!r}, which are absent")
        return [one for ref in refs for one in _members(ground, ref)]
    if loop.items.raw is not None:
        ref: Ref | None = Fixed(loop.items.raw)
        what = "the loop's items"
    else:
        name = loop.items.input_parameter or ""
        ref = environment.parameter(name)
        what = f"the loop is over {name!r}, which"
    if ref is None:
        raise TaskInputError(f"{what} is absent" if loop.items.raw is None else f"{what} are absent")
    found = items_of(ref, ground.store)
    if found is None:
        from headrace.frontends.kfp.values import shown

        text = shown(ref.load(ground.store))
        raise TaskInputError(f"{what} must be a list, and is {text}")
    return found


def _members(ground: Ground, ref: Ref) -> list[Ref]:
    """The artifacts that a reference stands for: a component may have given a list of them."""
    if isinstance(ref, Several):
        return ref.parts
    value = ref.load(ground.store)
    return [Fixed(one) for one in value] if isinstance(value, list) else [ref]


def arguments(ground: Ground, node: Node, environment: Environment, place: str) -> tuple[PendingInput, ...]:
    """The arguments of the call of a task: the inputs that its component declares."""
    declared = node.component.input_definitions
    store = ground.store
    made = [
        pending(name, environment.parameters[name], store)
        for name in declared.parameters
        if name in environment.parameters
    ]
    for name in declared.artifacts:
        refs = environment.artifacts.get(name)
        if refs is not None:
            made.append(pending(name, refs[0] if len(refs) == 1 else Several(refs), store))
    executor = ground.pipeline.spec.deployment_spec.executors[node.component.executor_label]
    if _asked(ground, executor)[0]:
        made.append(PendingInput(TASK_UUID, codecs.pack(task_uuid(ground.job.uuid, place), store)))
    return tuple(made)


def resource_values(ground: Ground, node: Node, environment: Environment) -> dict[str, Any]:
    """What placeholders in the resources of a task and in its image stand for."""
    executor = ground.pipeline.spec.deployment_spec.executors[node.component.executor_label]
    given = environment.parameters
    return {name: given[name].load(ground.store) for name in _asked(ground, executor)[1] if name in given}


def _asked(ground: Ground, executor: Executor) -> tuple[bool, tuple[str, ...]]:
    """Whether a component asks for the id of its task, and the inputs that its resources name; looked up once."""
    known = ground.asked.get(id(executor))
    if known is not None:
        return known
    names: set[str] = set()
    if executor.container is not None:
        resources = executor.container.resources
        texts = [
            executor.container.image,
            resources.resource_cpu_limit,
            resources.resource_cpu_request,
            resources.resource_memory_limit,
            resources.resource_memory_request,
        ]
        if resources.accelerator is not None:
            texts += [resources.accelerator.resource_count, resources.accelerator.resource_type]
        names = {path[2] for path in find(texts) if len(path) == 3}
    known = ground.asked[id(executor)] = (wants_task_uuid(executor), tuple(sorted(names)))
    return known
