"""``logs show`` and ``logs scrub``: what tasks printed, and taking back what they should not have printed."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import click

from headrace.frontends.metaflow.client.runs import Task
from headrace.frontends.metaflow.commands.artifact_commands import tasks_at, title_of
from headrace.frontends.metaflow.exceptions import CommandException
from headrace.model.records import AttemptRecord, LogChunk
from headrace.model.states import Failure
from headrace.stores.metadata.protocol import DropLog, Write

#: Failures after which a task is done all the same: its process lived to say so.
_ORDERLY = ("", Failure.ERROR, Failure.EXIT)
_SHORT = {"stdout": "out", "stderr": "err"}


class _ShowByDefault(click.Group):
    """``logs RUN/STEP`` means ``logs show RUN/STEP``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put ``show`` in front when no command is named."""
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = ["show", *args]
        return super().parse_args(ctx, args)


@click.group("logs", cls=_ShowByDefault, help="Commands related to logs.")
def logs_command() -> None:
    """Show and scrub logs."""


def _stream_options(verb: str) -> Callable[[Any], Any]:
    def add(command: Any) -> Any:
        for name in ("both", "stderr", "stdout"):
            what = "both stdout and stderr" if name == "both" else name
            option = click.option(f"--{name}/--no-{name}", default=name == "both", help=f"{verb} {what} of the task.")
            command = option(command)
        text = f"Attempt number of a task to {verb.lower()}, from 0; default: the latest."
        return click.option("--attempt", default=None, type=int, help=text)(command)

    return add


def _streams(stdout: bool, stderr: bool, both: bool) -> list[str]:
    chosen = [name for name, on in (("stdout", stdout), ("stderr", stderr)) if on]
    return chosen or (["stdout", "stderr"] if both else [])


_NO_TASKS = "No Tasks found at the given path -- either none exist or none have started yet"


def _tasks(cls: Any, path: str, trouble: str) -> list[Task]:
    try:
        return tasks_at(cls, path)
    except CommandException:
        if path.count("/") not in (1, 2):
            raise
        raise CommandException(trouble) from None


@logs_command.command("show", help="Show stdout/stderr produced by a task or all tasks in a step.")
@click.argument("input-path")
@_stream_options("Show")
@click.option("--timestamps/--no-timestamps", default=False, help="Show timestamps.")
@click.pass_obj
def logs_show_command(
    obj: dict[str, Any], /, input_path: str, timestamps: bool, attempt: int | None, **streams: bool
) -> int:
    """Print what tasks wrote."""
    for task in _tasks(obj["cls"], input_path, _NO_TASKS):
        title_of("logs", task)
        task._attempt = attempt
        for stream in _streams(**streams):
            click.echo(stream, err=True)
            for when, line in task.loglines(stream):
                click.echo(f"{_local(when)} {line}" if timestamps else line)
    return 0


def _local(when: datetime) -> str:
    return f"{when.replace(tzinfo=timezone.utc).astimezone():%Y-%m-%d %H:%M:%S.%f}"[:-3]


# --- scrubbing ------------------------------------------------------------------------------------------------------


@logs_command.command("scrub", help="Scrub stdout/stderr produced by a task or all tasks in a step.")
@click.argument("input-path")
@_stream_options("Scrub")
@click.option("--latest/--all", default=True, help="Scrub latest/all attempts of a step or task.")
@click.option("--include-not-done", is_flag=True, help="Also scrub attempts that did not come to an end.")
@click.pass_obj
def logs_scrub_command(
    obj: dict[str, Any], /, input_path: str, attempt: int | None, latest: bool, include_not_done: bool, **streams: bool
) -> int:
    """Replace what tasks wrote by a line that says so."""
    nothing = (
        "No Tasks found at the given path -- either none exist or they have not finished yet.\n"
        "If you know the task has finished, you can supply --include-not-done to force scrub it."
    )
    found = []
    for task in _tasks(obj["cls"], input_path, nothing):
        records = task._run.metadata.attempts(task._run.id, task._id)
        last = attempt if attempt is not None else task.current_attempt
        wanted = [one for one in records if one.attempt - 1 == last or (not latest and one.attempt - 1 < last)]
        found += [(task, one) for one in wanted if include_not_done or _is_done(one)]
    if not found:
        raise CommandException(nothing)
    for task, record in found:
        _scrub(task, record.attempt, _streams(**streams))
        path = "/".join(task.path_components[1:])
        if not obj["quiet"]:
            click.echo(f"Logs have been scrubbed for {path} - attempt {record.attempt - 1}", err=True)
    return 0


def _is_done(attempt: AttemptRecord) -> bool:
    return attempt.finished is not None and attempt.failure in _ORDERLY


def _scrub(task: Task, attempt: int, streams: list[str]) -> None:
    run, (step, number) = task._run, task._id
    chunks = run.metadata.logs(run.id, task._id, attempt)
    free = max((one.last_seq for one in chunks), default=-1) + 1
    writes: list[Write] = []
    for at, stream in enumerate(streams):
        writes.append(DropLog(run.id, step, number, attempt, _SHORT[stream]))
        writes.append(
            LogChunk(
                run_id=run.id,
                step=step,
                number=number,
                attempt=attempt,
                seq=free + at,
                stream=_SHORT[stream],
                time=time.time(),
                data=f"[REDACTED runtime {stream}]\n".encode(),
            )
        )
    run.metadata.commit(writes)


COMMANDS: list[click.Command] = [logs_command]
