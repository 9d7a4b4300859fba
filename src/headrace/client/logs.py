"""What tasks printed, put together from the pieces it was recorded in."""

from __future__ import annotations

from collections.abc import Iterable

from headrace.client.source import RunReader
from headrace.client.views import LogText
from headrace.model.records import LogChunk, TaskId
from headrace.services.logs import LogFilter, read_logs


class Printed:
    """What printed something has its output under three names."""

    def _log(self, stream: str) -> LogText:
        raise NotImplementedError

    @property
    def logs(self) -> LogText:
        """What it printed, to both streams; of a task, what its last attempt printed: ``attempts`` have the others."""
        return self._log("")

    @property
    def stdout(self) -> LogText:
        """What it printed to standard output."""
        return self._log("out")

    @property
    def stderr(self) -> LogText:
        """What it printed to standard error."""
        return self._log("err")


def task_log(run: RunReader, task: TaskId, attempt: int | None, stream: str = "") -> LogText:
    """What an attempt (None: all of them) wrote; ``stream`` is ``out``, ``err`` or both."""
    chunks = read_logs(run.metadata, run.artifacts, run.id, LogFilter(task=task, attempt=attempt, stream=stream))
    wanted = sorted(chunks, key=lambda c: (c.attempt, c.seq))
    return LogText(b"".join(chunk.data for chunk in wanted).decode(errors="replace"))


def run_log(run: RunReader) -> LogText:
    """What all tasks wrote, line by line in order of arrival, the task in front."""
    return LogText("".join(_lines(read_logs(run.metadata, run.artifacts, run.id))))


def _lines(chunks: Iterable[LogChunk]) -> Iterable[str]:
    open_lines: dict[tuple[str, int, int, str], bytes] = {}
    for chunk in chunks:
        key = (chunk.step, chunk.number, chunk.attempt, chunk.stream)
        *whole, rest = (open_lines.pop(key, b"") + chunk.data).split(b"\n")
        for line in whole:
            yield _line(chunk.step, chunk.number, line)
        if rest:
            open_lines[key] = rest
    for (step, number, _, _), rest in open_lines.items():
        yield _line(step, number, rest)


def _line(step: str, number: int, line: bytes) -> str:
    front = f"{step}/{number} | " if step else ""
    return f"{front}{line.decode(errors='replace')}\n"
