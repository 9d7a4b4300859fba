"""What the engine's loop needs of an executor. Executors implement it; ``headrace.testing`` has the suite."""

from __future__ import annotations

import socket
from typing import NamedTuple, Protocol

from headrace.model.policy import Resources


class WorkerLink(Protocol):
    """A worker as the driver holds it: a non-blocking socket, and what it prints (stream 0: stdout, 1: stderr)."""

    sock: socket.socket
    pid: int

    def log_end(self, stream: int) -> int:
        """How many bytes the worker's process and its children wrote so far.

        Output is there after the worker died, too, until ``exits`` is called again after it told of that.
        """

    def read_log(self, stream: int, start: int, end: int) -> bytes:
        """Those from ``start`` to ``end``."""

    def trim_log(self, stream: int, upto: int) -> None:
        """Forget everything before ``upto``; offsets stay as they are."""

    def memory(self) -> int:
        """What the worker occupies now in bytes, 0 when unknown."""


class WorkerExit(NamedTuple):
    """How a worker ended. ``code`` >= 0: its exit code; negative: the signal. ``out_of_memory``: the system says so."""

    link: WorkerLink
    code: int
    out_of_memory: bool


class Executor(Protocol):
    """Provides, watches and stops workers in one place. Called from the driver only, under its lock."""

    capacity: Resources
    #: Whether workers begin as copies of this process as it was at ``start``; else they import what they need.
    forked: bool

    def start(self) -> None:
        """Get ready. Called once, while the process has no threads of ours yet."""

    def provide(self, step: str = "", *, once: bool = False) -> WorkerLink:
        """Ask for a worker, for ``step`` at first. Returns at once; what is written to its socket waits until it is up.

        One that serves ``once`` is to be followed by another: an executor does well to have it ready. How many are
        kept ready is the executor's policy, and so is whether those that die are replaced before they are missed.
        """

    def heard(self, step: str, installed: tuple[str, ...], own: tuple[str, ...]) -> None:
        """A worker imports these modules in ``step``; an executor may see to it that later ones begin with them."""

    def stop(self, link: WorkerLink, grace: float) -> None:
        """Ask the worker and all its processes to end, and make them after ``grace`` seconds. Its exit is reported."""

    def fileno(self) -> int:
        """Readable when ``exits`` has news."""

    def exits(self) -> list[WorkerExit]:
        """Workers that ended since the last call."""

    def close(self) -> None:
        """End all workers now and give back everything."""
