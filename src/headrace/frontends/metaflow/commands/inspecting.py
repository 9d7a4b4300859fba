"""Commands of a flow file that look at artifacts and graphs: ``dump``, ``output-dot``, ``output-raw``."""

from __future__ import annotations

import json
from typing import Any

import click

from headrace.frontends.metaflow.authoring.decorators import Decorator
from headrace.frontends.metaflow.authoring.graph import DAGNode, FlowGraph, graph_of
from headrace.frontends.metaflow.authoring.graphinfo import graph_info
from headrace.frontends.metaflow.client.runs import Step, Task, namespace
from headrace.frontends.metaflow.exceptions import CommandException, MetaflowNotFound


def tasks_at(cls: Any, path: str) -> list[Task]:
    """The tasks that ``run/step`` or ``run/step/task`` names.

    Raises:
        CommandException: it names none.
    """
    parts = path.split("/")
    if len(parts) not in (2, 3):
        raise CommandException("input_path should either be run_id/step_name or run_id/step_name/task_id")
    namespace(None)
    full = f"{cls.__name__}/{path}"
    try:
        return list(Step(full)) if len(parts) == 2 else [Task(full)]
    except MetaflowNotFound as error:
        raise CommandException(str(error)) from None


def title_of(what: str, task: Task) -> None:
    """Say whose output follows."""
    _, run, step, number = task.path_components
    click.echo(f"Dumping {what} of run_id={run} step={step} task_id={number}", err=True)


@click.command("dump", help="Get data artifacts of a task or all tasks in a step.")
@click.argument("input-path")
@click.option("--private/--no-private", default=False, show_default=True, help="Show also private attributes.")
@click.option("--max-value-size", default=1000, show_default=True, help="Show only values that are smaller than this.")
@click.option("--include", default="", help="Include only artifacts in the given list (comma separated).")
@click.option("--file", "path", default=None, help="Serialize artifacts in the given file.")
@click.pass_obj
def dump_command(
    obj: dict[str, Any], /, input_path: str, private: bool, max_value_size: int, include: str, path: str | None
) -> int:
    """Print artifacts, or pickle them to a file."""
    wanted = {one.strip() for one in include.split(",") if one.strip()}
    found: dict[str, dict[str, Any]] = {}
    for task in tasks_at(obj["cls"], input_path):
        title_of("output", task)
        names = [name for name in _names(task, private) if not wanted or name in wanted]
        values = found["/".join(task.path_components[1:])] = {}
        for name in names:
            artifact = task[name]
            if path is not None:
                values[name] = artifact.data
                continue
            value = artifact.data
            text = str(value) if artifact.size < max_value_size else "< artifact too large >"
            click.echo(f"{name} [size: {artifact.size} type: {type(value)}] = {text}")
    if path is not None:
        import pickle

        with open(path, "wb") as file:  # noqa: PTH123
            pickle.dump(found, file)
        click.echo(f"Artifacts written to {path}", err=True)
    return 0


def _names(task: Task, private: bool) -> list[str]:
    found = set(task._table())
    if private and found:  # a task whose process died has none of either
        found |= set(task._derived())
    return sorted(name for name in found if private or name[0] != "_")


# --- the graph ------------------------------------------------------------------------------------------------------


_DOT = (
    '"{name}"[ label = <<b>{name}</b> | <font point-size="10">{type}</font>>   fontname = "Helvetica"   '
    'shape = "record" ];'
)


@click.command("output-dot", help="Visualize the flow with Graphviz.")
@click.pass_obj
def output_dot_command(obj: dict[str, Any], /) -> int:
    """The graph in the language of Graphviz."""
    graph = graph_of(obj["cls"])
    click.echo("Visualizing the flow as a GraphViz graph", err=True)
    click.echo("    Try piping the output to 'dot -Tpng -o graph.png' to produce an actual image.", err=True)
    lines = [f"digraph {graph.name} {{"]
    nodes = sorted(graph, key=lambda node: node.name)
    lines += [_DOT.format(name=node.name, type=node.type) for node in nodes]
    lines += [f"{node.name} -> {target};" for node in nodes for target in node.out_funcs]
    click.echo("\n".join([*lines, "}"]))
    return 0


@click.command("output-raw", help="Output internal state of the flow graph.")
@click.option("--json", "as_json", is_flag=True, help="Output in JSON format.")
@click.pass_obj
def output_raw_command(obj: dict[str, Any], /, as_json: bool) -> int:
    """The graph as it was read."""
    if as_json:
        info = graph_info(obj["cls"])
        click.echo("Internal representation of the flow in JSON format:", err=True)
        shown = {"graph": info["steps"], "graph_structure": info["graph_structure"]}
        click.echo(json.dumps(shown, indent=4))
        return 0
    click.echo("Internal representation of the flow:", err=True)
    click.echo("\n".join(_raw(node, graph_of(obj["cls"])) for node in graph_of(obj["cls"])))
    return 0


def _raw(node: DAGNode, graph: FlowGraph) -> str:
    """All that is known of a step."""
    decorators = " ".join(_raw_decorator(one) for one in node.decorators)
    inner = node.split_parents[-1] if node.split_parents and node.type != "join" else ""
    branches = [name for name in graph[inner].out_funcs if _leads(graph, name, node.name)] if inner else []
    facts = {
        "in_funcs": _several(sorted(node.in_funcs)),
        "out_funcs": _several(node.out_funcs),
        "split_parents": _several(
            [*node.split_parents, *[one.name for one in graph if one.matching_join == node.name]]
        ),
        "split_branches": _several(branches),
        "matching_join": f"[{node.matching_join}]" if node.matching_join else None,
        "is_inside_foreach": node.is_inside_foreach,
        "decorators": decorators,
        "num_args": node.num_args,
        "has_tail_next": f"{node.has_tail_next} (line {node.tail_next_lineno})",
        "invalid_tail_next": bool(node.invalid_tail_next),
        "foreach_param": node.foreach_param,
        "condition": node.condition,
        "parallel_step": node.parallel_step,
        "parallel_foreach": node.parallel_foreach,
    }
    lines = [f"[{node.name} {node.type} ({node.source_file} line {node.func_lineno})]"]
    lines += [f"    {name}={value}" for name, value in facts.items()]
    return "\n".join([*lines, f"    -> {_several(node.out_funcs)}"])


def _several(names: list[str]) -> str:
    return ", ".join(f"[{name}]" for name in names)


def _raw_decorator(one: Decorator) -> str:
    how = "static" if one.statically_defined else "cli"
    return f"{one.name}<{' '.join([how, *(f'{key}={value}' for key, value in one.attributes.items())])}>"


def _leads(graph: FlowGraph, start: str, goal: str) -> bool:
    """Whether steps lead from one to another without a join of theirs in between."""
    todo, seen = [start], set()
    while todo:
        name = todo.pop()
        if name == goal:
            return True
        if name not in seen and name in graph:
            seen.add(name)
            todo += graph[name].out_funcs
    return False


COMMANDS: list[click.Command] = [dump_command, output_dot_command, output_raw_command]
