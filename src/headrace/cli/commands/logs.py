"""``headrace logs``."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from headrace.cli.options import RunName, as_json, open_existing
from headrace.cli.output import colours

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headrace.model.records import LogChunk, RunRecord


@click.command(name="logs")
@click.argument("name", type=RunName(parts=True), default="", metavar="[RUN[/STEP[/N]]]")
@click.option("-f", "--follow", is_flag=True, help="Go on printing until the run is over.")
@click.option("--stdout", "only_out", is_flag=True, help="Only what was written to stdout.")
@click.option("--stderr", "only_err", is_flag=True, help="Only what was written to stderr.")
@click.option("--attempt", type=click.IntRange(1), help="Only of this attempt.")
@click.option("--timestamps", is_flag=True, help="Begin each line with its time.")
@as_json
def logs_command(
    name: str, follow: bool, only_out: bool, only_err: bool, attempt: int | None, timestamps: bool, json: bool
) -> None:
    """Print what a run (default: the newest), a step or a task wrote.

    Lines of several tasks begin with the task's name. With --json: one object per line with the keys task, attempt,
    stream (out or err), time and text.
    """
    from headrace.model.records import TaskId
    from headrace.services.logs import LogFilter, follow_logs, read_logs
    from headrace.services.names import find_run, find_step, find_task, parse_name

    if only_out and only_err:
        only_out = only_err = False
    parsed = parse_name(name)
    scope = open_existing()
    run = find_run(scope.metadata, scope.project, name)
    task: TaskId | None = None
    if parsed.step and parsed.task is not None:
        task = find_task(scope.metadata, run, parsed).id
    elif parsed.step and not follow:  # which waits for what a live run may come to
        find_step(scope.metadata, run, parsed.step, limit=1)
    stream = "out" if only_out else "err" if only_err else ""
    want = LogFilter(task=task, step=parsed.step, attempt=attempt, stream=stream)
    printer = _Json(run) if json else _Lines(run, prefix=task is None, timestamps=timestamps)
    stores = (scope.metadata, scope.artifacts)
    chunks = follow_logs(stores, run, want) if follow else [read_logs(*stores, run.id, want)]
    for batch in chunks:
        printer.write(batch)
        sys.stdout.flush()
    printer.close()
    if not json and not printer.wrote:
        click.echo(f"{name or run.name}: nothing was written.", err=True)


def _name(step: str, number: int) -> str:
    from headrace.model.records import TaskId

    return str(TaskId(step, number))


class _Json:
    def __init__(self, run: RunRecord) -> None:
        self._run = run
        self.wrote = False

    def write(self, chunks: Iterable[LogChunk]) -> None:
        import msgspec

        from headrace.services.logs import view_chunk

        for chunk in chunks:
            click.echo(msgspec.json.encode(view_chunk(self._run, chunk)))

    def close(self) -> None:
        """Nothing is held back."""


class _Lines:
    """Whole lines per task and stream; bytes of one task alone go through as they came."""

    def __init__(self, run: RunRecord, *, prefix: bool, timestamps: bool) -> None:
        self._run = run
        self._prefix = prefix
        self._timestamps = timestamps
        self._open: dict[tuple[str, int, int, str], bytes] = {}
        self.wrote = False

    def write(self, chunks: Iterable[LogChunk]) -> None:
        for chunk in chunks:
            self.wrote = True
            if not self._prefix and not self._timestamps:
                _emit(chunk.data)
                continue
            key = (chunk.step, chunk.number, chunk.attempt, chunk.stream)
            *lines, rest = (self._open.pop(key, b"") + chunk.data).split(b"\n")
            head = self._head(chunk)
            for line in lines:
                _emit(head + line + b"\n")
            if rest:
                self._open[key] = rest

    def _head(self, chunk: LogChunk) -> bytes:
        head = ""
        if self._timestamps:
            whole = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(chunk.time))
            head += f"{whole}.{int(chunk.time % 1 * 1000):03d} "
        if self._prefix:
            task = _name(chunk.step, chunk.number) if chunk.step else "flow"
            head += f"{task} "
            if colours():
                head = click.style(head, fg="red" if chunk.stream == "err" else "cyan")
        return head.encode()

    def close(self) -> None:
        for (step, number, _, _), rest in self._open.items():
            task = f"{_name(step, number)} " if self._prefix else ""
            _emit(task.encode() + rest + b"\n")


def _emit(data: bytes) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
