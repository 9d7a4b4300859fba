"""``headrace gc``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from headrace.cli.options import as_json, complete_flow, complete_state, open_existing
from headrace.cli.output import print_json

if TYPE_CHECKING:
    from headrace.services.garbage import Plan


@click.command(name="gc")
@click.option("--older-than", metavar="AGE", help="Runs that ended longer ago than this: 30d, 12h.")
@click.option("--keep", type=click.IntRange(0), metavar="N", help="Keep the newest N runs of each flow.")
@click.option("--flow", shell_complete=complete_flow, metavar="F", help="Only runs of this flow.")
@click.option("--tag", metavar="T", help="Only runs with this tag (name or name=value).")
@click.option("--without-tag", metavar="T", help="Keep runs with this tag (name or name=value).")
@click.option(
    "--status",
    "states",
    multiple=True,
    metavar="S",
    shell_complete=complete_state,
    help="Only runs in this state; may be repeated.",
)
@click.option("--grace", metavar="AGE", default="1h", show_default=True, help="Keep bytes stored within this time.")
@click.option("--delete", is_flag=True, help="Do it. Without this, only say what would go.")
@as_json
def gc_command(
    older_than: str | None,
    keep: int | None,
    flow: str | None,
    tag: str | None,
    without_tag: str | None,
    states: tuple[str, ...],
    grace: str,
    delete: bool,
    json: bool,
) -> None:
    """Remove runs that match all conditions given, and bytes that no run needs.

    Nothing is removed without --delete. Without conditions no run goes, only unneeded bytes. Running runs stay, and
    so do bytes that were stored since the first of them began, because they may need them, and bytes stored within the
    last hour; when nothing runs or is being imported, --grace 0 takes these too.

    Environments of steps that no run has used for 30 days, or for --older-than, go as well; a run that needs one again
    builds it from its lock.

    With --json: an object with the keys runs, blobs, bytes, young, live, deleted, environments, environment_bytes.
    """
    from headrace.services import garbage
    from headrace.services.run_rows import parse_states

    age = None if older_than is None else _seconds("--older-than", older_than)
    spare = _seconds("--grace", grace)
    policy = garbage.Policy(
        older_than=age, keep=keep, flow=flow, tag=tag, without_tag=without_tag, states=parse_states(states)
    )
    scope = open_existing()
    now = time.time()
    runs = garbage.choose_runs(scope.metadata, scope.project, policy, now)
    whole = scope.workspace.metadata
    if delete:
        from headrace.runtime.code_folder import remove_folders

        done = garbage.collect(whole, scope.artifacts, runs, now, spare, scope.actor)
        remove_folders(scope.workspace.code_cache, {blob.hex for blob in whole.code_packages()}, now - spare)
    else:
        done = garbage.plan(whole, scope.artifacts, runs, now, spare)
    done = _with_environments(done, scope.workspace.environments.cache, now, age, delete=delete)
    if json:
        print_json(done)
    else:
        _print_outcome(done, spare, delete=delete)


def _with_environments(done: Plan, cache: str, now: float, age: float | None, *, delete: bool) -> Plan:
    import msgspec

    from headrace.services.environments.kept import UNUSED, remove_environment, unused

    going = unused(cache, now, UNUSED if age is None else age)
    if delete:
        going = [one for one in going if remove_environment(one)]
    size = sum(one.size for one in going)
    return msgspec.structs.replace(done, environments=len(going), environment_bytes=size)


def _seconds(option: str, text: str) -> float:
    """The duration that ``option`` was given."""
    from headrace._base.sizes import parse_duration
    from headrace.model.errors import UsageError

    if text.strip() != "0" and text.strip().replace(".", "", 1).isdigit():  # 30 for 30d would remove everything
        raise UsageError(f"{option}: {text!r} has no unit; write {text}d for days or {text}h for hours")
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None


def _print_outcome(done: Plan, spare: float, *, delete: bool) -> None:
    """Say what was removed, or would be, and what was left alone."""
    from headrace._base.sizes import format_duration, format_size

    verb = "Removed" if delete else "Would remove"
    runs_ = f"{len(done.runs)} run{'s' * (len(done.runs) != 1)}"
    blobs = f"{done.blobs} blob{'s' * (done.blobs != 1)}"
    click.echo(f"{verb} {runs_} and {blobs}, {format_size(done.bytes)}.")
    if done.environments:
        environments = f"{done.environments} environment{'s' * (done.environments != 1)}"
        click.echo(f"{verb} {environments} of steps, {format_size(done.environment_bytes)}.")
    if done.runs:
        more = f" and {len(done.runs) - 20} more" if len(done.runs) > 20 else ""
        click.echo(f"Runs: {', '.join(done.runs[:20])}{more}")
    if done.young:
        since = f" or since {done.live[0]} began, which is running" if done.live else ""
        young = "1 blob was" if done.young == 1 else f"{done.young} blobs were"
        click.echo(f"{young} left alone: stored within the last {format_duration(spare)}{since}; see --grace.")
    if done.live and delete and done.runs:
        click.echo("The database file was not made smaller, because runs are live.")
    if not delete and (done.runs or done.blobs or done.environments):
        click.echo("Nothing was changed; add --delete to do it.")
