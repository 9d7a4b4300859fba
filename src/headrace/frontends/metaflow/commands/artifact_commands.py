"""Commands of a flow file that look at artifacts and graphs: ``dump``, ``output-dot``, ``output-raw``."""

from __future__ import annotations

import json
import re
from typing import Any

import click

from headrace.frontends.metaflow.authoring.graph import graph_of
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


@click.command("output-dot", help="Visualize the flow with Graphviz.")
@click.pass_obj
def output_dot_command(obj: dict[str, Any], /) -> int:
    """The graph in the language of Graphviz."""
    graph = graph_of(obj["cls"])
    click.echo("Visualizing the flow as a GraphViz graph", err=True)
    click.echo("    Try piping the output to 'dot -Tpng -o graph.png' to produce an actual image.", err=True)
    click.echo(graph.output_dot())
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
    click.echo(re.sub(r"^\*(.*)\*$", r"\1", str(graph_of(obj["cls"])), flags=re.MULTILINE))  # stars would be bold type
    return 0


COMMANDS: list[click.Command] = [dump_command, output_dot_command, output_raw_command]
