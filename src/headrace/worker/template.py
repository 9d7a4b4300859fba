"""A process that imports what steps import, and then takes the place of the server that workers are forked from.

It is forked from that server, so that an import that hangs, crashes or cannot be shared costs nothing: then it is
thrown away, and workers come from the server as before. What cannot be shared is what a fork does not carry, or what
each task is to have for itself: threads, processes, devices, output, handlers of signals and of the root logger,
another working directory; of a module of the user's own, also variables that it sets.

Over the socket that will be its control it is told the names, one on each line. Before each import it says ``I<name>``;
at the end ``R<names>``, those that it had to import, or ``B<name>``, the one that cannot be shared.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import socket
import sys
from typing import Any, NamedTuple

from headrace._base.usercode import find_user_module
from headrace.runtime import context
from headrace.worker.fork_safety import may_fork
from headrace.worker.server_messages import MESSAGE

_DEVICES = ("/dev/nvidia", "/dev/dri", "/dev/kfd", "/dev/accel")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGCHLD, signal.SIGUSR1, signal.SIGUSR2)


def prepare(control: socket.socket, output: int) -> bool:
    """Import what ``control`` names; whether the process may be forked from. ``output`` is what 1 and 2 point at."""
    names = [name for name in control.recv(MESSAGE).decode().split("\n") if name]
    context.reading.active = True  # a module that calls its flow when imported must not start it here
    imported = []
    for name in names:
        if name in sys.modules:
            continue
        control.send(b"I" + name.encode())
        before = _state(output)
        with contextlib.suppress(Exception):  # the step that needs it will see the same
            importlib.import_module(name)
            imported.append(name)
        if _state(output).differs(before, own=bool(find_user_module(name))):
            control.send(b"B" + name.encode())
            return False
    context.reading.active = False
    control.send(b"R" + "\n".join(imported).encode())
    return True


class _State(NamedTuple):
    shareable: bool
    printed: int
    folder: str
    handlers: tuple[Any, ...]
    loggers: tuple[Any, ...]
    variables: dict[str, str]

    def differs(self, before: _State, *, own: bool) -> bool:
        """Whether a task that is forked now would differ from one that imports for itself."""
        return not self.shareable or self[1:5] != before[1:5] or (own and self.variables != before.variables)


def _state(output: int) -> _State:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return _State(
        may_fork() and not _has_children() and not _has_devices(),
        os.lseek(output, 0, os.SEEK_END),
        os.getcwd(),  # noqa: PTH109
        tuple(signal.getsignal(one) for one in _SIGNALS),
        _root_handlers(),
        dict(os.environ),
    )


def _root_handlers() -> tuple[Any, ...]:
    logging: Any = sys.modules.get("logging")  # where it is not imported, there are none
    return tuple(logging.getLogger().handlers) if hasattr(logging, "getLogger") else ()


def _has_children() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


def _has_devices() -> bool:
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}").startswith(_DEVICES):  # noqa: PTH115
                return True
    return False
