"""What is wrong with a pipeline, found before anything runs. Each problem names the task by its path."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from headrace.frontends.kfp import conditions
from headrace.frontends.kfp.errors import PipelineError, TaskInputError
from headrace.frontends.kfp.executors.frame import python_function
from headrace.frontends.kfp.graph import producers_of
from headrace.frontends.kfp.inputs import SUBVAR
from headrace.frontends.kfp.ir import (
    ArtifactSelector,
    Component,
    Dag,
    Executor,
    ParameterSelector,
    Pipeline,
    PipelineSpec,
    Task,
    TaskParameter,
)
from headrace.frontends.kfp.placeholders import Path, find
from headrace.frontends.kfp.plan import seconds
from headrace.frontends.kfp.resources import quantity
from headrace.frontends.kfp.values import WrongTypeError, coerced, shown

_FACTS = frozenset(
    {
        *("pipeline_job_name", "pipeline_job_resource_name", "pipeline_job_uuid", "pipeline_task_name"),
        *("pipeline_task_uuid", "pipeline_root", "workspace_path"),
        *("pipeline_job_create_time_utc", "pipeline_job_schedule_time_utc"),
    }
)
#: Problems that one message shows.
_SHOWN = 10


class _Place(NamedTuple):
    """A DAG on the way from the root: its path, its component, what the DAGs around it declare."""

    path: str
    component: Component
    parameters: frozenset[str]
    artifacts: frozenset[str]


def check(pipeline: Pipeline, name: str) -> None:
    """Refuse a pipeline that cannot run; ``name`` is how the message calls its file.

    Raises:
        PipelineError: with all that is wrong, up to ten problems.
    """
    found = list(problems(pipeline))
    if not found:
        return
    if len(found) == 1:
        raise PipelineError(f"{name}: {found[0]}")
    more = [f"  and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    lines = [f"{name} has {len(found)} problems:", *[f"  {one}" for one in found[:_SHOWN]], *more]
    raise PipelineError("\n".join(lines))


def problems(pipeline: Pipeline) -> Iterator[str]:
    """All that is wrong with a pipeline."""
    spec = pipeline.spec
    if spec.root.dag is None:
        yield "root: it has no dag"
        return
    for name, one in spec.root.input_definitions.parameters.items():
        if one.parameter_type in ("TASK_FINAL_STATUS", "TASK_CONFIG"):
            yield f"root: its input {name!r} is a {one.parameter_type}, which the arguments of a run cannot be"
    required = [name for name, one in spec.root.input_definitions.artifacts.items() if not one.is_optional]
    if required:
        yield f"root: it takes the artifacts {', '.join(required)}, and a run can be given parameters alone"
    seen: set[tuple[int, frozenset[str], frozenset[str]]] = set()
    nothing: frozenset[str] = frozenset()
    todo = [_Place("", spec.root, nothing, nothing)]
    while todo:
        place = todo.pop()
        dag = place.component.dag
        assert dag is not None
        inner = place._replace(
            parameters=place.parameters.union(place.component.input_definitions.parameters),
            artifacts=place.artifacts.union(place.component.input_definitions.artifacts),
        )
        known = (id(dag), inner.parameters, inner.artifacts)
        if known in seen:  # a component that two tasks share, or that contains itself
            continue
        seen.add(known)
        yield from _of_dag(spec, dag, inner)
        for key, task in dag.tasks.items():
            component = spec.components.get(task.component_ref.name)
            if component is not None and component.dag is not None:
                items = _item_names(task)
                todo.append(_Place(f"{place.path}{key}.", component, inner.parameters | items, inner.artifacts | items))
    for label, executor in spec.deployment_spec.executors.items():
        yield from _of_executor(label, executor)


def _item_names(task: Task) -> frozenset[str]:
    return frozenset(one.item_input for one in (task.parameter_iterator, task.artifact_iterator) if one is not None)


def _of_dag(spec: PipelineSpec, dag: Dag, place: _Place) -> Iterator[str]:
    for key, task in dag.tasks.items():
        for text in _of_task(spec, dag, task, key, place):
            yield f"task {place.path + key!r}: {text}"
    cycle = _cycle(dag)
    if cycle:
        where = f"task {place.path[:-1]!r}" if place.path else "root"
        yield f"{where}: its tasks wait for each other in a circle: {' -> '.join(cycle)}"
    where = f"task {place.path[:-1]!r}" if place.path else "root"
    for name, output in dag.outputs.parameters.items():
        one_of = output.value_from_oneof
        parameters = one_of.parameter_selectors if one_of is not None else [output.value_from_parameter]
        for one in parameters:
            yield from (f"{where}: its output {name!r}: {text}" for text in _of_selector(spec, dag, one))
    for name, artifact in dag.outputs.artifacts.items():
        for two in artifact.artifact_selectors:
            yield from (f"{where}: its output {name!r}: {text}" for text in _of_selector(spec, dag, two))


def _of_selector(spec: PipelineSpec, dag: Dag, selector: ParameterSelector | ArtifactSelector | None) -> Iterator[str]:
    if selector is None:
        yield "it says neither valueFromParameter nor valueFromOneof"
    elif isinstance(selector, ParameterSelector):
        yield from _of_producer(spec, dag, selector.producer_subtask, selector.output_parameter_key, "parameter")
    else:
        yield from _of_producer(spec, dag, selector.producer_subtask, selector.output_artifact_key, "artifact")


def _of_producer(spec: PipelineSpec, dag: Dag, producer: str, key: str, kind: str) -> Iterator[str]:
    task = dag.tasks.get(producer)
    if task is None:
        yield f"there is no task {producer!r} in the same DAG"
        return
    component = spec.components.get(task.component_ref.name)
    if component is None:  # told of that task
        return
    declared = component.output_definitions
    keys: Collection[str] = declared.parameters if kind == "parameter" else declared.artifacts
    if key not in keys:
        yield f"task {producer!r} has no output {kind} {key!r}; it has {', '.join(keys) or 'none'}"


def _of_task(spec: PipelineSpec, dag: Dag, task: Task, key: str, place: _Place) -> Iterator[str]:
    if "/" in key or not key.strip():
        yield "the name of a task cannot be empty or have a '/' in it"
    component = spec.components.get(task.component_ref.name)
    if component is None:
        yield f"there is no component {task.component_ref.name!r}"
        return
    if component.dag is None and component.executor_label not in spec.deployment_spec.executors:
        label = component.executor_label
        told = f"there is no executor {label!r}" if label else "it has neither a dag nor an executor"
        yield f"its component {task.component_ref.name!r}: {told}"
    both = component.input_definitions.parameters.keys() & component.input_definitions.artifacts.keys()
    both |= component.output_definitions.parameters.keys() & component.output_definitions.artifacts.keys()
    for name in both:
        yield f"its component {task.component_ref.name!r} has a parameter and an artifact that are both called {name!r}"
    for one in producers_of(task):
        if one not in dag.tasks:
            yield f"it waits for task {one!r}, which is not in the same DAG"
    yield from _of_inputs(spec, dag, task, component, place)
    yield from _of_policies(task, component)
    yield from _of_loop(task, component)
    if component.executor_label in spec.deployment_spec.executors:
        yield from _of_words(component, spec.deployment_spec.executors[component.executor_label])


def _of_inputs(spec: PipelineSpec, dag: Dag, task: Task, component: Component, place: _Place) -> Iterator[str]:
    declared = component.input_definitions
    for name, told in task.inputs.parameters.items():
        output = told.task_output_parameter
        if output is not None and output.producer_task in dag.tasks:
            found = _of_producer(spec, dag, output.producer_task, output.output_parameter_key, "parameter")
            yield from (f"its input {name!r}: {text}" for text in found)
        around = told.component_input_parameter
        if around is not None and around not in place.parameters and not _is_generated(name, around, component):
            yield f"its input {name!r}: there is no input {around!r} around it"
        yield from (f"its input {name!r}: {text}" for text in _of_constant(task, told, component, name))
        yield from (f"its input {name!r}: {text}" for text in _of_selector_text(told.parameter_expression_selector))
    for name, artifact in task.inputs.artifacts.items():
        made = artifact.task_output_artifact
        if made is not None and made.producer_task in dag.tasks:
            found = _of_producer(spec, dag, made.producer_task, made.output_artifact_key, "artifact")
            yield from (f"its input {name!r}: {text}" for text in found)
        outer = artifact.component_input_artifact
        if outer is not None and outer not in place.artifacts:
            yield f"its input {name!r}: there is no input artifact {outer!r} around it"
    items = _item_names(task)
    given = task.inputs.parameters.keys() | items
    for name, one in declared.parameters.items():
        has_default = one.default_value is not msgspec.UNSET and one.default_value is not None
        needs = not has_default and not one.is_optional and one.parameter_type != "TASK_CONFIG"
        if needs and name not in given and component.dag is None:
            yield f"its input {name!r} is not given, and has no default"
    for name, needed in declared.artifacts.items():
        missing = name not in task.inputs.artifacts.keys() | items and not needed.is_optional
        if missing and (component.dag is None or name not in place.artifacts):
            yield f"its input artifact {name!r} is not given"


def _is_generated(name: str, around: str, component: Component) -> bool:
    """Whether the compiler wrote an input that need not be there: items of loops that are inside, parts of items."""
    return name.startswith("pipelinechannel--") and (component.dag is not None or SUBVAR in around)


def _of_selector_text(selector: str) -> Iterator[str]:
    if selector and not selector.startswith("parseJson(string_value)["):
        try:
            wrong = conditions.check(selector)
        except TaskInputError as error:
            wrong = str(error)
        if wrong:
            yield f"parameterExpressionSelector {selector!r} is not an expression of CEL: {wrong}"


def _of_constant(task: Task, told: TaskParameter, component: Component, name: str) -> Iterator[str]:
    if told.runtime_value is None:
        return
    constant = told.runtime_value.constant
    placeholders = list(find(constant))
    for path in placeholders:
        yield from _of_placeholder(path, task.inputs.parameters, (), ())
    declared = component.input_definitions.parameters.get(name)
    if placeholders or declared is None or constant is msgspec.UNSET or constant is None:
        return
    try:
        coerced(constant, declared.parameter_type)
    except WrongTypeError as error:
        yield str(error)
    if declared.literals and constant not in declared.literals:
        yield f"{shown(constant)} is not one of {', '.join(map(shown, declared.literals))}"


def _of_placeholder(
    path: Path, parameters: Collection[str], artifacts: Collection[str], outputs: Collection[str]
) -> Iterator[str]:
    text = "{{$." + ".".join(path) + "}}"
    if path[:2] == ("inputs", "parameters") and len(path) == 3:
        if path[2] not in parameters:
            yield f"the placeholder {text} names no input parameter of it"
    elif path[:2] == ("inputs", "artifacts") and len(path) >= 3:
        if path[2] not in artifacts:
            yield f"the placeholder {text} names no input artifact of it"
    elif path[:1] == ("outputs",) and len(path) >= 3:
        if path[2] not in outputs:
            yield f"the placeholder {text} names no output of it"
    elif path and not (len(path) == 1 and path[0] in _FACTS) and path not in _WHOLE:
        yield f"there is no placeholder {text}"


_WHOLE = {("outputs", "output_file"), ("outputMetadataUri",)}


def _of_words(component: Component, executor: Executor) -> Iterator[str]:
    """Placeholders in commands and variables, and in what an importer says, that name nothing."""
    ours, outputs = component.input_definitions, component.output_definitions
    named = {*outputs.parameters, *outputs.artifacts}
    texts: list[Any]
    if executor.importer is not None:
        told = executor.importer
        what, texts = "its importer", [told.artifact_uri.constant, told.metadata]
        if told.artifact_uri.runtime_parameter and told.artifact_uri.runtime_parameter not in ours.parameters:
            yield f"its importer takes its URI from {told.artifact_uri.runtime_parameter!r}, which is not its input"
    elif executor.container is not None:
        container = executor.container
        words = [] if python_function(container.command, container.args) is not None else [container.command]
        what, texts = "its command", [*words, container.args, container.image, [one.value for one in container.env]]
    else:
        return
    for path in dict.fromkeys(find(texts)):
        yield from (f"{what}: {text}" for text in _of_placeholder(path, ours.parameters, ours.artifacts, named))


def _of_policies(task: Task, component: Component) -> Iterator[str]:
    condition = task.trigger_policy.condition
    for name in conditions.inputs_of(condition):
        if name not in task.inputs.parameters and name not in component.input_definitions.parameters:
            yield f"its condition {condition!r} asks for {name!r}, which is not its input"
    if condition:
        try:
            wrong = conditions.check(condition)
        except TaskInputError as error:
            wrong = str(error)
        if wrong:
            hint = ""
            if "'" in condition.partition("inputs.parameter_values[")[0]:
                hint = "; kfp compiles to this where a text is compared with something else, or has a quote in it"
            yield f"its condition {condition!r} is not an expression of CEL: {wrong}{hint}"
    retry = task.retry_policy
    for text in (retry.backoff_duration, retry.backoff_max_duration):
        try:
            seconds(text)
        except ValueError as error:
            yield f"its retryPolicy: {error}"
    if task.iterator_policy.parallelism_limit < 0:
        yield f"its iteratorPolicy: parallelismLimit is {task.iterator_policy.parallelism_limit}"


def _of_loop(task: Task, component: Component) -> Iterator[str]:
    loop = task.parameter_iterator
    if loop is not None and task.artifact_iterator is not None:
        yield "it has two iterators"
    if loop is None:
        return
    if loop.items.raw is not None:
        try:
            items = msgspec.json.decode(loop.items.raw)
        except msgspec.DecodeError:
            items = None
        if not isinstance(items, list):
            yield f"the items of its loop are {shown(loop.items.raw)}, which is not a list"
    else:
        name = loop.items.input_parameter or ""
        declared = component.input_definitions.parameters.get(name)
        if name not in task.inputs.parameters:
            yield f"its loop is over the input {name!r}, which is not given"
        elif declared is not None and declared.parameter_type not in ("LIST", "STRING", "STRUCT"):
            yield f"its loop is over the input {name!r}, which is a {declared.parameter_type} and not a list"


def _of_executor(label: str, executor: Executor) -> Iterator[str]:
    if executor.container is None and executor.importer is None:
        other = "a resolver" if executor.resolver is not None else "a customJob"
        other = "empty" if executor.resolver is None and executor.custom_job is None else other
        yield f"executor {label!r}: it is {other}, which is not something that runs; only container and importer are"
    if executor.container is not None:
        told = executor.container.resources
        texts: Iterable[str] = (
            told.resource_cpu_limit,
            told.resource_cpu_request,
            told.resource_memory_limit,
            told.resource_memory_request,
            *((told.accelerator.resource_count, str(told.accelerator.count)) if told.accelerator is not None else ()),
        )
        for text in texts:
            if text and not any(True for _ in find(text)):
                try:
                    quantity(text)
                except ValueError as error:
                    yield f"executor {label!r}: resources: {error}"


def _cycle(dag: Dag) -> list[str]:
    """Tasks that wait for each other, the first one again at the end; empty if there are none."""
    before = {key: [one for one in producers_of(task) if one in dag.tasks] for key, task in dag.tasks.items()}
    waiting = {key: len(set(ones)) for key, ones in before.items()}
    followers: dict[str, list[str]] = {key: [] for key in before}
    for key, ones in before.items():
        for one in set(ones):
            followers[one].append(key)
    todo = [key for key, count in waiting.items() if not count]
    while todo:
        key = todo.pop()
        del waiting[key]
        for one in followers[key]:
            waiting[one] -= 1
            if not waiting[one]:
                todo.append(one)
    if not waiting:
        return []
    way = [next(iter(waiting))]
    while way[-1] not in way[:-1]:
        way.append(next(one for one in before[way[-1]] if one in waiting))
    return way[way.index(way[-1]) :]
