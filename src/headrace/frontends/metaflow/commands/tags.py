"""``tag add``, ``remove``, ``replace`` and ``list``."""

from __future__ import annotations

from typing import Any

import click

from headrace.frontends.metaflow.client.runs import Flow, Run, namespace
from headrace.frontends.metaflow.exceptions import (
    CommandException,
    MetaflowNamespaceMismatch,
    MetaflowNotFound,
)
from headrace.frontends.metaflow.identity import user_name

#: How wide a table of tags is, and how far its columns are apart.
_WIDTH, _GAP = 120, 4


@click.group("tag", help="Commands related to tagging.")
def tag_command() -> None:
    """Change and list tags."""


_RUN_ID = click.option("--run-id", default=None, help="Run ID of the specific run.")
_NAMESPACE = click.option("--namespace", "ns", default=None, help="Look for the run in this namespace; default: yours.")


def _run(cls: Any, run_id: str | None, ns: str | None) -> Run:
    """The run that is meant, in a namespace (None: in any).

    Raises:
        CommandException: none is named, or there is none of that name.
    """
    name = cls.__name__
    namespace(ns)
    try:
        flow = Flow(name)
    except MetaflowNotFound:
        raise CommandException(f"No run found for *{name}*. Please run the flow before tagging.") from None
    except MetaflowNamespaceMismatch:
        raise CommandException(
            f"No run found for *{name}* in namespace *{ns}*. You can switch the namespace using --namespace"
        ) from None
    if run_id is None:
        latest = flow.latest_run
        raise CommandException(
            "Please specify a run-id using --run-id.\n"
            f"*{name}*'s latest run in namespace *{ns}* has id *{latest.id if latest else 'none'}*."
        )
    if "/" in run_id:
        raise CommandException(f"Run-id *{run_id}* is not a valid run-id")
    try:
        return Run(f"{name}/{run_id}")
    except MetaflowNotFound:
        raise CommandException(f"No run *{name}/{run_id}* found for flow *{name}*") from None
    except MetaflowNamespaceMismatch:
        raise CommandException(f"Run *{name}/{run_id}* for flow *{name}* does not belong to namespace *{ns}*") from None


def _to_change(obj: dict[str, Any], run_id: str | None, ns: str | None) -> Run:
    return _run(obj["cls"], run_id, f"user:{user_name()}" if ns is None else ns)


def _changed(obj: dict[str, Any], run: Run, *, err: bool = True) -> None:
    if not obj["quiet"]:
        click.echo("Operation successful. New tags:", err=err)
    _print_by_run(obj, {run.pathspec: (run.system_tags, run.tags)})


@tag_command.command("add", help="Add tags to a run.")
@_RUN_ID
@_NAMESPACE
@click.argument("tags", nargs=-1, required=True)
@click.pass_obj
def tag_add_command(obj: dict[str, Any], /, run_id: str | None, ns: str | None, tags: tuple[str, ...]) -> int:
    """Add tags."""
    run = _to_change(obj, run_id, ns)
    run.add_tags(tags)
    _changed(obj, run, err=False)
    return 0


@tag_command.command("remove", help="Remove tags from a run.")
@_RUN_ID
@_NAMESPACE
@click.argument("tags", nargs=-1, required=True)
@click.pass_obj
def tag_remove_command(obj: dict[str, Any], /, run_id: str | None, ns: str | None, tags: tuple[str, ...]) -> int:
    """Remove tags."""
    run = _to_change(obj, run_id, ns)
    run.remove_tags(tags)
    _changed(obj, run)
    return 0


@tag_command.command("replace", help="Replace tags of a run; removals are applied first, then additions.")
@_RUN_ID
@_NAMESPACE
@click.option("--add", "add", multiple=True, help="Add this tag. May be repeated.")
@click.option("--remove", "remove", multiple=True, help="Remove this tag. May be repeated.")
@click.pass_obj
def tag_replace_command(
    obj: dict[str, Any], /, run_id: str | None, ns: str | None, add: tuple[str, ...], remove: tuple[str, ...]
) -> int:
    """Remove tags, then add others."""
    if not add and not remove:
        raise CommandException("Specify at least one tag to add (--add) and one tag to remove (--remove)")
    if not remove:
        raise CommandException("Specify at least one tag to remove; else please use *tag add*.")
    if not add:
        raise CommandException("Specify at least one tag to add, else please use *tag remove*.")
    run = _to_change(obj, run_id, ns)
    run.replace_tags(remove, add)
    _changed(obj, run)
    return 0


# --- listing --------------------------------------------------------------------------------------------------------


@tag_command.command("list", help="List tags of a run.")
@_RUN_ID
@click.option("--all", "everything", is_flag=True, help="List tags across all runs of this flow.")
@click.option("--my-runs", is_flag=True, help="List tags across all runs of the flow under the default namespace.")
@click.option("--hide-system-tags", is_flag=True, help="Hide system tags.")
@click.option("--group-by-tag", is_flag=True, help="Display results by showing runs grouped by tags.")
@click.option("--group-by-run", is_flag=True, help="Display tags grouped by run.")
@click.option("--flat", is_flag=True, hidden=True, help="List tags, one line per tag, no groupings.")
@click.argument("arg-run-id", required=False)
@click.pass_obj
def tag_list_command(obj: dict[str, Any], /, run_id: str | None, arg_run_id: str | None, **how: bool) -> int:
    """List tags."""
    _refuse(run_id, arg_run_id, how)
    runs = _listed(obj["cls"], run_id or arg_run_id, how["my_runs"])
    hidden = how["hide_system_tags"]
    tags = {
        run.pathspec: (frozenset() if hidden else run.system_tags, run.user_tags if hidden else run.tags)
        for run in runs
    }
    if how["group_by_run"]:
        _print_by_run(obj, tags)
    elif how["group_by_tag"]:
        _print_by_tag(obj, tags)
    else:
        system = frozenset().union(*[one for one, _ in tags.values()])
        everything = frozenset().union(*[one for _, one in tags.values()])
        if how["flat"]:
            for tag in sorted(everything):
                click.echo(tag, err=True)
        else:
            _print_by_run(obj, {",".join(tags): (system, everything)})
    return 0


def _refuse(run_id: str | None, arg_run_id: str | None, how: dict[str, bool]) -> None:
    """Refuse options that exclude each other.

    Raises:
        CommandException: they do.
    """
    if how["everything"] and how["my_runs"]:
        raise CommandException("Option --all cannot be used together with --my-runs.")
    if run_id is not None and arg_run_id is not None:
        raise CommandException("Specify a run either using --run-id or as an argument but not both")
    if how["group_by_run"] and how["group_by_tag"]:
        raise CommandException("Option --group-by-tag cannot be used with --group-by-run")
    if how["flat"] and (how["group_by_run"] or how["group_by_tag"]):
        raise CommandException("Option --flat cannot be used with any --group-by-* option")


def _listed(cls: Any, run_id: str | None, mine: bool) -> list[Run]:
    if run_id is not None:
        return [_run(cls, run_id, None)]
    namespace(f"user:{user_name()}" if mine else None)
    try:
        return list(Flow(cls.__name__))
    except MetaflowNotFound:
        raise CommandException(f"Cannot list tags because the flow {cls.__name__} has never been run.") from None


_HEAD = f"\nSystem tags and tags; only tags can be modified\n{'-' * 56}\n"


def _print_by_run(obj: dict[str, Any], tags: dict[str, tuple[frozenset[str], frozenset[str]]]) -> None:
    """Print the tags of runs. ``--quiet``: a line for each run, for programs."""
    if obj["quiet"]:
        for run, (system, everything) in sorted(tags.items()):
            line = " ; ".join([run, ",".join(sorted(system)), ",".join(sorted(everything - system))])
            click.echo(line, err=True)
        return
    click.echo(_HEAD)
    for run, (system, everything) in sorted(tags.items()):
        title = f"For run {run}" if len(tags) > 1 else ""
        _print_table(title, sorted(everything), everything - system)


def _print_by_tag(obj: dict[str, Any], tags: dict[str, tuple[frozenset[str], frozenset[str]]]) -> None:
    """Print the runs that have each tag."""
    system = frozenset().union(*[one for one, _ in tags.values()])
    everything = frozenset().union(*[one for _, one in tags.values()])
    if not obj["quiet"]:
        click.echo(_HEAD)
    for tag in sorted(everything):
        runs = [run for run, (_, have) in tags.items() if tag in have]
        if obj["quiet"]:
            click.echo(f"{'system' if tag in system else 'user'}:{tag} ; {','.join(runs)}", err=True)
        else:
            _print_table(f"For tag {tag}", sorted(runs), frozenset())


def _print_table(title: str, items: list[str], bold: frozenset[str]) -> None:
    """Print texts in columns, one column after the other; those of ``bold`` stand out on a terminal."""
    longest = max([len(one) for one in items], default=0)
    columns = max(1, (_WIDTH + _GAP) // (longest + _GAP))
    rows = -(-len(items) // columns)
    if title:
        click.echo(title)
    for row in range(rows):
        cells = items[row::rows]
        padded = [f"{one:<{longest}}" for one in cells]
        shown = [click.style(text, bold=True) if one in bold else text for one, text in zip(cells, padded, strict=True)]
        click.echo((" " * _GAP).join(shown))
    click.echo("")


COMMANDS: list[click.Command] = [tag_command]
