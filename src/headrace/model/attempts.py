"""What an observer of a run is told of its attempts as they run, and how their logs are kept."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from headrace.model.calls import TaskHandle
from headrace.model.outcomes import Problem

#: Bytes of output of one attempt and stream that are kept; the rest is dropped, and a marker says so.
LOG_LIMIT = 10 * 1024 * 1024


class AttemptStarted(msgspec.Struct, frozen=True):
    """Process ``pid`` of a worker began with an attempt of ``task``, the ``number``-th of this session."""

    task: TaskHandle
    number: int
    pid: int


class AttemptPrinted(msgspec.Struct, frozen=True):
    """An attempt of ``task`` wrote ``data`` to ``stream`` (0: standard output, 1: standard error)."""

    task: TaskHandle
    stream: int
    data: bytes


class AttemptFailure(msgspec.Struct, frozen=True):
    """Attempt ``number`` of ``task`` failed; ``text`` is what ``LogRules.failed`` says of that."""

    task: TaskHandle
    number: int
    text: str


AttemptEvent = AttemptStarted | AttemptPrinted | AttemptFailure


class LogRules(msgspec.Struct, frozen=True):
    """How logs of attempts are kept: ``limit`` bytes of each stream, or as many as the session says.

    ``cut`` stands where the rest was dropped (empty: a line of Headrace's); ``killed`` ends the standard error of an
    attempt that was cancelled (empty: nothing does), and what ``failed`` says that of one that failed. ``failed`` is
    called with its problem.
    """

    limit: int = LOG_LIMIT
    cut: str = ""
    killed: str = ""
    failed: Callable[[Problem], str] | None = None

    @property
    def cut_line(self) -> bytes:
        """What stands where the rest was dropped."""
        return f"\n{self.cut or f'[headrace: output past {self.limit >> 20} MiB was dropped]'}\n".encode()
