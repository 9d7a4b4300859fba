"""Commands of a flow file that look at runs and graphs: ``dump``, ``logs``, ``tag``, ``output-dot``, ``output-raw``."""

from __future__ import annotations

import json
from typing import Any

import click

from headrace.frontends.metaflow.client import Flow, Run, Step, Task, namespace
from headrace.frontends.metaflow.exceptions import CommandException, MetaflowNotFound
from headrace.frontends.metaflow.graph import graph_of


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


def _title(what: str, task: Task) -> None:
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
        _title("output", task)
        table = task._table()
        names = [name for name in sorted(table) if (private or name[0] != "_") and (not wanted or name in wanted)]
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


class _ShowByDefault(click.Group):
    """``logs RUN/STEP`` means ``logs show RUN/STEP``."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """The command, ``show`` when none is named."""
        if args and args[0] not in self.commands:
            args = ["show", *args]
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Let options of ``show`` stand first."""
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["show", *args]
        return super().parse_args(ctx, args)


@click.group("logs", cls=_ShowByDefault, help="Commands related to logs.")
def logs_command() -> None:
    """Show logs."""


@logs_command.command("show", help="Show stdout/stderr produced by a task or all tasks in a step.")
@click.argument("input-path")
@click.option("--stdout/--no-stdout", default=False, help="Show stdout of the task.")
@click.option("--stderr/--no-stderr", default=False, help="Show stderr of the task.")
@click.option("--both/--no-both", default=True, help="Show both stdout and stderr of the task.")
@click.option("--timestamps/--no-timestamps", default=False, help="Show timestamps.")
@click.option("--attempt", default=None, type=int, help="Attempt number of a task to show, from 0.")
@click.pass_obj
def logs_show_command(
    obj: dict[str, Any],
    /,
    input_path: str,
    stdout: bool,
    stderr: bool,
    both: bool,
    timestamps: bool,
    attempt: int | None,
) -> int:
    """Print what tasks wrote."""
    streams = [name for name, on in (("stdout", stdout), ("stderr", stderr)) if on] or ["stdout", "stderr"]
    for task in tasks_at(obj["cls"], input_path):
        _title("logs", task)
        task._attempt = attempt if attempt is not None else task._attempt
        for stream in streams:
            click.echo(stream, err=True)
            for when, line in task.loglines(stream):
                click.echo(f"{when:%Y-%m-%d %H:%M:%S.%f}"[:-3] + f" {line}" if timestamps else line)
    return 0


# --- tags -----------------------------------------------------------------------------------------------------------


@click.group("tag", help="Commands related to Metaflow tagging.")
def tag_command() -> None:
    """Change and list tags."""


def _run(cls: Any, run_id: str | None, ns: str | None) -> Run:
    if ns is not None:
        namespace(ns or None)
    name = cls.__name__
    try:
        if run_id is not None:
            return Run(f"{name}/{run_id}")
        run = Flow(name).latest_run
    except MetaflowNotFound:
        raise CommandException(f"No run {name}/{run_id or ''} found for flow {name}") from None
    if run is None:
        raise CommandException(f"No run found for flow {name}")
    return run


_RUN_ID = click.option("--run-id", default=None, help="Run ID; default: the latest run.")
_NAMESPACE = click.option("--namespace", "ns", default=None, help="Look for the run in this namespace.")


def _changed(run: Run) -> None:
    click.echo("Operation successful. New tags:", err=True)
    _list(run.tags)


def _list(tags: frozenset[str]) -> None:
    click.echo("\nSystem tags and tags; only tags can be modified", err=True)
    click.echo("-" * 56 + "\n", err=True)
    for tag in sorted(tags):
        click.echo(tag)


@tag_command.command("add", help="Add tags to a run.")
@_RUN_ID
@_NAMESPACE
@click.argument("tags", nargs=-1, required=True)
@click.pass_obj
def tag_add_command(obj: dict[str, Any], /, run_id: str | None, ns: str | None, tags: tuple[str, ...]) -> int:
    """Add tags."""
    run = _run(obj["cls"], run_id, ns)
    run.add_tags(tags)
    _changed(run)
    return 0


@tag_command.command("remove", help="Remove tags from a run.")
@_RUN_ID
@_NAMESPACE
@click.argument("tags", nargs=-1, required=True)
@click.pass_obj
def tag_remove_command(obj: dict[str, Any], /, run_id: str | None, ns: str | None, tags: tuple[str, ...]) -> int:
    """Remove tags."""
    run = _run(obj["cls"], run_id, ns)
    run.remove_tags(tags)
    _changed(run)
    return 0


@tag_command.command("replace", help="Replace tags of a run.")
@_RUN_ID
@_NAMESPACE
@click.option("--add", "add", multiple=True, help="Add this tag. May be repeated.")
@click.option("--remove", "remove", multiple=True, help="Remove this tag. May be repeated.")
@click.pass_obj
def tag_replace_command(
    obj: dict[str, Any], /, run_id: str | None, ns: str | None, add: tuple[str, ...], remove: tuple[str, ...]
) -> int:
    """Remove tags, then add others."""
    if not add or not remove:
        raise CommandException("Specify both tags to add and tags to remove; else use `tag add` or `tag remove`.")
    run = _run(obj["cls"], run_id, ns)
    run.replace_tags(remove, add)
    _changed(run)
    return 0


@tag_command.command("list", help="List tags of a run.")
@_RUN_ID
@click.option("--all/--not-all", "everything", default=False, help="List tags across all runs of this flow.")
@click.option("--my-runs", is_flag=True, help="List tags across all runs of this flow under the default namespace.")
@click.option("--hide-system-tags", is_flag=True, help="Do not list system tags.")
@click.option("--group-by-tag", is_flag=True, help="Display the runs of each tag.")
@click.option("--group-by-run", is_flag=True, help="Display the tags of each run.")
@click.option("--flat", is_flag=True, help="One tag per line, nothing else.")
@click.argument("arg-run-id", required=False)
@click.pass_obj
def tag_list_command(obj: dict[str, Any], /, run_id: str | None, arg_run_id: str | None, **how: bool) -> int:
    """List tags."""
    run_id = run_id or arg_run_id
    if how["everything"]:
        namespace(None)
    several = how["everything"] or how["my_runs"]
    runs = list(Flow(obj["cls"].__name__)) if several and not run_id else [_run(obj["cls"], run_id, None)]
    tags = {run.pathspec: run.user_tags if how["hide_system_tags"] else run.tags for run in runs}
    if how["group_by_run"]:
        for name, have in tags.items():
            click.echo(f"Run {name}: {', '.join(sorted(have))}")
    elif how["group_by_tag"]:
        for tag in sorted(frozenset().union(*tags.values())):
            click.echo(f"Tag {tag}: {', '.join(name for name, have in tags.items() if tag in have)}")
    elif how["flat"]:
        for tag in sorted(frozenset().union(*tags.values())):
            click.echo(tag)
    else:
        _list(frozenset().union(*tags.values()))
    return 0


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


@click.command("output-raw", help="Return the internal representation of the flow.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_obj
def output_raw_command(obj: dict[str, Any], /, as_json: bool) -> int:
    """The graph as it was read."""
    graph = graph_of(obj["cls"])
    if as_json:
        facts = {
            node.name: {"type": node.type, "next": node.out_funcs, "line": node.func_lineno, "doc": node.doc}
            for node in graph
        }
        click.echo(json.dumps({"start_step": graph.start_step, "end_step": graph.end_step, "steps": facts}, indent=2))
        return 0
    click.echo("\n".join(str(node) for node in graph.sorted_nodes()))
    return 0


COMMANDS: list[click.Command] = [
    *(dump_command, logs_command, tag_command),
    *(output_dot_command, output_raw_command),
]
