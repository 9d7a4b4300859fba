"""What the tasks of a pipeline are, for people."""

from __future__ import annotations

import msgspec

from headrace.frontends.kfp.executors.needs import kind_of
from headrace.frontends.kfp.graph import Graphs, Node
from headrace.frontends.kfp.ir import Dag, Executor, Pipeline


class TaskDescription(msgspec.Struct, frozen=True, kw_only=True):
    """A task: its path, its title if that is another one, what it is, after which tasks, when or how often it runs."""

    name: str
    title: str
    kind: str
    after: tuple[str, ...]
    runs: str


def describe(pipeline: Pipeline) -> list[TaskDescription]:
    """The tasks of a pipeline, those of nested DAGs after the task that they are in."""
    found: list[TaskDescription] = []
    assert pipeline.spec.root.dag is not None
    _add(found, pipeline, Graphs(pipeline.spec), pipeline.spec.root.dag, "", ())
    return found


def _add(
    found: list[TaskDescription], pipeline: Pipeline, graphs: Graphs, dag: Dag, prefix: str, around: tuple[int, ...]
) -> None:
    for key, node in graphs.of(dag).nodes.items():
        component = node.component
        again = id(component.dag) in around  # a component that contains itself
        found.append(
            TaskDescription(
                name=prefix + key,
                title=node.task.task_info.name if node.task.task_info.name not in ("", key) else "",
                kind="the same again" if again else _kind(pipeline, node),
                after=node.upstream,
                runs=_runs(node),
            )
        )
        if component.dag is not None and not again:
            _add(found, pipeline, graphs, component.dag, f"{prefix}{key}.", (*around, id(component.dag)))


def _kind(pipeline: Pipeline, node: Node) -> str:
    if node.component.dag is not None:
        looped = node.task.parameter_iterator is not None or node.task.artifact_iterator is not None
        return "loop" if looped else "condition" if node.task.trigger_policy.condition else "tasks"
    return _executor(pipeline.spec.deployment_spec.executors[node.component.executor_label])


def _executor(executor: Executor) -> str:
    if executor.importer is not None:
        return "importer"
    return kind_of(executor)


def _runs(node: Node) -> str:
    task = node.task
    told = []
    if task.trigger_policy.condition:
        told.append(f"if {task.trigger_policy.condition}")
    if task.iterator_policy.parallelism_limit:
        told.append(f"at most {task.iterator_policy.parallelism_limit} at once")
    if node.is_exit:
        told.append("at the end, whatever happened")
    elif node.always:
        told.append("whatever came of the tasks before it")
    if task.retry_policy.max_retry_count:
        told.append(f"up to {task.retry_policy.max_retry_count} more times if it fails")
    return "; ".join(told)
