"""What the engine's loop needs of an executor. Executors implement it; ``headrace.testing`` has the suite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from headrace.model.messages import ToDriver, ToWorker
from headrace.model.policy import StepPolicy
from headrace.model.workers import Capacity, GangSeat, ServedRun, WorkerSpec

if TYPE_CHECKING:
    from headrace.model.pod_history import PodHistory


class ProtocolError(Exception):
    """A worker sent bytes that are not a message. It is stopped, because nothing after them can be understood."""


class WorkerLink(Protocol):
    """The driver's channel to one worker, and the output that the worker has produced (stream 0: stdout, 1: stderr).

    A link never blocks. It is the executor's business what lies behind it: a socket pair, TLS over TCP, a thread.
    """

    @property
    def where(self) -> tuple[str, int]:
        """Host and process id of the worker, for showing alone; ``("", 0)`` until there is one, 0 until it is up."""

    @property
    def waits_for(self) -> str:
        """Why the worker is not up yet, as a sentence; empty once it is, or where that takes a moment only."""

    def fileno(self) -> int:
        """A descriptor of this process that polls as readable when ``receive`` has something to return."""

    def send(self, *messages: ToWorker) -> bool:
        """Send messages in this order, or keep what cannot be sent yet.

        Returns:
            Whether there is nothing left to do for the caller. If not, call ``flush`` when the descriptor polls as
            writable. A link may also see to the rest itself, in ``receive``.
        """

    def flush(self) -> bool:
        """Send what earlier calls kept; returns whether everything has been sent."""

    def receive(self) -> list[ToDriver] | None:
        """The messages that arrived since the last call; None once the worker has closed its end.

        Raises:
            ProtocolError: the bytes that arrived are not messages.
        """

    def close(self) -> None:
        """Release the channel and the output, once the worker's exit was reported or the executor was closed."""

    def log_end(self, stream: int) -> int:
        """How many bytes the worker's process and its children have written so far, also after its death."""

    def read_log(self, stream: int, start: int, end: int) -> bytes:
        """The bytes from ``start`` to ``end``."""

    def trim_log(self, stream: int, upto: int) -> None:
        """Forget everything before ``upto``; offsets stay as they are."""

    def memory(self) -> int:
        """What the worker occupies now in bytes; 0 when unknown."""


class WorkerExit(msgspec.Struct, frozen=True):
    """How a worker ended. ``code`` >= 0: its exit code; negative: the signal. ``out_of_memory``: the system says so.

    ``lost`` says why the worker cannot be reached, or what is known of its end beside that. A worker that was never
    there has not ``begun``, nor one whose end is no attempt's fault: its attempts are given to others, those of one
    task up to ``repeats`` times (0: as often as that happens). ``refused`` says why there can be no worker.
    """

    link: WorkerLink
    code: int
    out_of_memory: bool
    lost: str = ""
    begun: bool = True
    refused: str = ""
    repeats: int = 0


class Returned(msgspec.Struct, frozen=True):
    """A worker that came back with an attempt of an earlier session. ``began``: where the attempt's output begins.

    ``machine`` as in ``WorkerSpec``.
    """

    link: WorkerLink
    began: tuple[int, int]
    machine: str = ""


class Executor(Protocol):
    """Provides, watches and stops workers in one place. Called from the driver only, under its lock.

    How many workers are kept warm, whether those that die are replaced before they are missed, and how long an idle one
    lives, is the executor's policy. The engine asks for a worker only when an attempt is there for it.
    """

    #: The name of the place.
    place: str
    #: What the place offers now. Another value takes its place when that changes, and ``fileno`` polls as readable.
    capacity: Capacity
    #: Whether workers begin as copies of this process as it was at ``start``; else they import what they need.
    forked: bool

    def start(self) -> None:
        """Get ready. Called once, while Headrace has no threads in the process yet."""

    def introduce(self, run: ServedRun) -> str:
        """Learn what the run is. Called once, after ``start`` and before the first attempt.

        Returns:
            ``HOST:PORT`` where workers of the place find this driver; empty if they need not.
        """

    def spec(self, policy: StepPolicy) -> WorkerSpec:
        """What a worker must be like here for steps with this policy. Called for every attempt, so it must be quick."""

    def provide(self, spec: WorkerSpec, step: str = "", seat: GangSeat | None = None) -> WorkerLink:
        """Ask for a worker like ``spec``, at first for the step named ``step``.

        Returns at once; what is sent through the link waits until the worker is up. ``seat``: the worker is for that
        node of a gang alone; the other nodes' are asked for before anything is sent.
        """

    def surplus(self, spec: WorkerSpec, idle: Sequence[float]) -> int:
        """How many idle workers of a spec are to leave now. The engine asks about once in a second.

        Args:
            spec: the spec that the workers were provided for.
            idle: for how many seconds each has been idle, the longest first; those leave first.
        """

    def address_of(self, link: WorkerLink) -> str:
        """Where other workers of the place reach this one, for gangs: a host name or address; empty when unknown."""

    def claim(self, token: int) -> Returned | None:
        """The worker that has come back with an attempt of an earlier session; None while it has not.

        ``fileno`` polls as readable when it comes. Which attempts are waited for ``introduce`` said.
        """

    def heard(self, step: str, installed: tuple[str, ...], own: tuple[str, ...]) -> None:
        """A worker imports these modules in ``step``; an executor may see to it that later ones begin with them."""

    def pod_histories(self) -> Sequence[PodHistory]:
        """Where workers are in pods: those of which more is known than at the last call, 0.1 s before."""

    def stop(self, link: WorkerLink, grace: float) -> None:
        """Ask the worker and all its processes to end, and make them after ``grace`` seconds. Its exit is reported."""

    def fileno(self) -> int:
        """A descriptor that polls as readable when ``exits`` has news or the capacity has changed."""

    def exits(self) -> list[WorkerExit]:
        """Workers that ended since the last call."""

    def close(self) -> None:
        """End all workers now and release everything but the links that were provided."""
