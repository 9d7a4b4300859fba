"""``headrace mark``."""

from __future__ import annotations

import time

import click

from headrace.cli.options import RunName, as_json, open_existing
from headrace.cli.output import print_json


@click.command(name="mark")
@click.argument("run_name", type=RunName(), metavar="RUN")
@click.option("--name", "title", metavar="TEXT", help="What people call it; an empty text takes the name away.")
@click.option("--tag", "tags", multiple=True, metavar="T", help="Tag it: NAME or NAME=VALUE; may be repeated.")
@click.option("--untag", "untags", multiple=True, metavar="NAME", help="Take a tag off; may be repeated.")
@click.option("--pin/--unpin", "pinned", default=None, help="Keep it from gc and rm, or no longer.")
@click.option("--archive/--unarchive", "archived", default=None, help="Leave it out of listings, or no longer.")
@click.option("--restore", is_flag=True, help="Take back that it was deleted on a server, while that can be done.")
@as_json
def mark_command(
    run_name: str,
    title: str | None,
    tags: tuple[str, ...],
    untags: tuple[str, ...],
    pinned: bool | None,
    archived: bool | None,
    restore: bool,
    json: bool,
) -> None:
    """Name, tag, pin or archive RUN. `headrace runs --all` lists archived runs too.

    With --json: an object with the keys run, tags, pinned, archived.
    """
    from headrace.model.errors import UsageError
    from headrace.services import control, marks
    from headrace.services.names import find_run

    scope, now = open_existing(), time.time()
    metadata, actor = scope.metadata, scope.actor
    run = find_run(metadata, scope.project, run_name)
    if not (tags or untags or restore) and title is None and pinned is None and archived is None:
        raise UsageError(f"how is {run.name} to be marked? See headrace mark --help")
    if restore:
        marks.restore(metadata, run, actor, now)
    for tag in tags:
        name, _, value = tag.partition("=")
        if not name:
            raise UsageError(f"--tag wants NAME or NAME=VALUE, not {tag!r}")
        control.add_tag(metadata, run, (name, value), actor, now)
    for name in untags:
        control.remove_tag(metadata, run, name, actor, now)
    if title is not None:
        marks.rename(metadata, run, title, actor, now)
    if pinned is not None:
        marks.pin(metadata, run, actor, now, on=pinned)
    if archived is not None:
        marks.archive(metadata, run, actor, now, on=archived)
    flags = marks.flags_of(metadata, run)
    found = {tag.name: tag.value for tag in metadata.tags([run.id])}
    if json:
        print_json({"run": run.name, "tags": found, "pinned": flags.pinned, "archived": flags.archived})
    else:
        words = [word for word, on in (("pinned", flags.pinned), ("archived", flags.archived)) if on]
        words += [f"{name}={value}" if value else name for name, value in found.items()]
        click.echo(f"{run.name}: {', '.join(words) or 'no marks'}")
