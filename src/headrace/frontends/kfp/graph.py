"""The tasks of a DAG with what follows from what, worked out once however often the DAG runs."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from headrace.frontends.kfp.ir import Component, Dag, PipelineSpec, Task


class Node(msgspec.Struct, frozen=True, eq=False):
    """A task of a DAG. ``always``: it runs whatever came of the tasks before it; ``is_exit``: it is an exit task."""

    key: str
    task: Task
    component: Component
    upstream: tuple[str, ...]
    followers: tuple[str, ...]
    always: bool
    is_exit: bool


class Graph:
    """A DAG."""

    def __init__(self, dag: Dag, components: dict[str, Component]) -> None:
        upstream = {key: tuple(dict.fromkeys(producers_of(task))) for key, task in dag.tasks.items()}
        followers: dict[str, list[str]] = {key: [] for key in dag.tasks}
        for key, before in upstream.items():
            for one in before:
                followers[one].append(key)
        self.outputs = dag.outputs
        self.nodes = {
            key: Node(
                key,
                task,
                components[task.component_ref.name],
                upstream[key],
                tuple(followers[key]),
                always=task.trigger_policy.strategy == "ALL_UPSTREAM_TASKS_COMPLETED",
                is_exit=_is_exit(task, dag),
            )
            for key, task in dag.tasks.items()
        }
        self.first = [key for key, before in upstream.items() if not before]


class Graphs:
    """The graphs of a pipeline, each made when it is first asked for."""

    def __init__(self, spec: PipelineSpec) -> None:
        self._components = spec.components
        self._made: dict[int, Graph] = {}

    def of(self, dag: Dag) -> Graph:
        """The graph of a DAG of the pipeline."""
        found = self._made.get(id(dag))
        if found is None:
            found = self._made[id(dag)] = Graph(dag, self._components)
        return found


def components_of(spec: PipelineSpec) -> Iterator[tuple[str, Node]]:
    """The first task of each component that has an executor, with the name of its step."""
    graphs, seen = Graphs(spec), set[str]()
    waiting = [(spec.root, "")]
    while waiting:
        component, before = waiting.pop()
        assert component.dag is not None
        for key, node in graphs.of(component.dag).nodes.items():
            name = node.task.component_ref.name
            if name in seen:
                continue
            seen.add(name)
            if node.component.dag is not None:
                waiting.append((node.component, f"{before}{key}."))
            else:
                yield f"{before}{key}", node


def titles_of(spec: PipelineSpec) -> dict[str, str]:
    """The display names of tasks that differ from their keys, by the names of their steps."""
    titles: dict[str, str] = {}
    waiting: list[tuple[Component, str, frozenset[str]]] = [(spec.root, "", frozenset())]
    while waiting:
        component, before, around = waiting.pop()
        for key, task in component.dag.tasks.items() if component.dag is not None else ():
            name = task.component_ref.name
            inner = spec.components[name]
            if inner.dag is not None and name not in around:  # else it contains itself
                waiting.append((inner, f"{before}{key}.", around | {name}))
            elif inner.dag is None and task.task_info.name not in ("", key):
                titles[before + key] = task.task_info.name
    return titles


def node_at(spec: PipelineSpec, path: str) -> Node | None:
    """The task with the name of a step: the keys of the tasks around it and its own, joined by dots."""
    graphs = Graphs(spec)
    ways = [(spec.root, path)]
    while ways:
        component, rest = ways.pop()
        if component.dag is None:
            continue
        for key, node in graphs.of(component.dag).nodes.items():
            if key == rest:
                return node
            if rest.startswith(f"{key}."):  # a key may have a dot in it
                ways.append((node.component, rest[len(key) + 1 :]))
    return None


def producers_of(task: Task) -> Iterator[str]:
    """The tasks that a task needs: those it names, and those whose outputs or states are its inputs."""
    yield from task.dependent_tasks
    for one in task.inputs.parameters.values():
        if one.task_output_parameter is not None:
            yield one.task_output_parameter.producer_task
        if one.task_final_status is not None:
            yield one.task_final_status.producer_task
    for artifact in task.inputs.artifacts.values():
        if artifact.task_output_artifact is not None:
            yield artifact.task_output_artifact.producer_task


def _is_exit(task: Task, dag: Dag) -> bool:
    """Whether a task is the exit task of an exit handler; one that only ignores failures looks nearly the same."""
    if task.trigger_policy.strategy != "ALL_UPSTREAM_TASKS_COMPLETED":
        return False
    if any(one.task_final_status is not None for one in task.inputs.parameters.values()):
        return True
    return any(
        dag.tasks[key].component_ref.name.startswith("comp-exit-handler-")
        for key in task.dependent_tasks
        if key in dag.tasks
    )
