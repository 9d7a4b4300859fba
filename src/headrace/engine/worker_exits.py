"""What the end of a worker means for the attempt that it had in hand."""

from __future__ import annotations

import signal

from headrace.engine.placement import Slot
from headrace.engine.ports import WorkerExit
from headrace.model.messages import OWN_FILES_CLOSED
from headrace.model.outcomes import Crashed, Exited, Killed, NotSetUp, OutOfMemory, Problem, TimedOut

#: Names of the exception that the flow gets, and of its base, where it is not a crash.
RAISED_AS: dict[type[Problem], tuple[str, str]] = {
    NotSetUp: ("EnvironmentSetupError", "Exception"),
    TimedOut: ("TaskTimeoutError", "TimeoutError"),
    OutOfMemory: ("TaskOutOfMemoryError", "MemoryError"),
}


def cause_of(ended: WorkerExit, slot: Slot | None, timeout: float, memory: int) -> tuple[type[Problem], str]:
    """The kind of the problem and one line on it.

    ``timeout``: the seconds that the step allows; ``memory``: the bytes that the attempt was last found to use.
    """
    reason = slot.reason if slot is not None else None
    if reason is TimedOut:
        return TimedOut, f"ran longer than the {timeout:g} s that its step allows"
    if reason is OutOfMemory:
        limit = (slot.resources.memory if slot else 0) / 2**20
        used = memory / 2**20
        return OutOfMemory, f"used {used:,.0f} MiB of memory, more than the {limit:,.0f} MiB that it asked for"
    if reason is not None:
        return Killed, str(reason.failure)
    if ended.refused:
        return NotSetUp, ended.refused
    if ended.out_of_memory and ended.lost:
        return OutOfMemory, ended.lost
    if ended.lost:
        return Killed, ended.lost
    code = ended.code
    if code == OWN_FILES_CLOSED:
        return Exited, "closed files that are not its own (file descriptors), and with them its way to the run"
    if code >= 0:
        return Exited, f"ended its process with os._exit({code})"
    if ended.out_of_memory:
        return OutOfMemory, "the machine ran out of memory and the system killed the worker"
    if -code == signal.SIGKILL:
        return Killed, "its worker was killed with SIGKILL from outside"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    text = signal.strsignal(-code) if -code < signal.NSIG else None
    return Crashed, f"its worker died of {name} ({(text or name).lower()})"
