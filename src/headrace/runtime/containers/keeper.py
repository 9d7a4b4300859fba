"""Ends the containers of a process that dies: a process of its own that waits for that at the other end of a pipe.

A container is not a descendant of the process that asked for it, so whatever ends that process and its descendants
leaves the container. The keeper is told which containers there are; when the pipe closes, because its process has ended
in whatever way, it removes those that are left. ``worker.server`` spares it, by its name.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator

from headrace.runtime.containers.engine import Engine

#: The name of keeper processes, in 15 characters as the kernel keeps them.
NAME = "headrace-keeper"

_pipe: tuple[int, int] | None = None  # the process that has a keeper, and the pipe to it


@contextlib.contextmanager
def kept(engine: Engine, name: str) -> Iterator[None]:
    """While the container ``name`` may exist: if this process dies meanwhile, the container is ended and removed."""
    if not engine.removal([name]):  # it ends with the process that runs it
        yield
        return
    pipe = _keeper(engine)
    os.write(pipe, f"+{name}\n".encode())
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.write(pipe, f"-{name}\n".encode())


def _keeper(engine: Engine) -> int:
    global _pipe
    if _pipe is None or _pipe[0] != os.getpid():  # a fork has the pipe of its parent
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                _become_keeper(engine, read)
            finally:
                os._exit(0)
        os.close(read)
        os.waitpid(child, 0)
        _pipe = (os.getpid(), write)
    return _pipe[1]


def _become_keeper(engine: Engine, pipe: int) -> None:
    """The rest of the life of a process that was just forked."""
    os.setsid()
    if os.fork():  # no child of the worker, which looks whether steps leave any
        return
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.dup2(pipe, 0)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (1, 2):
        os.dup2(null, fd)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    with open("/proc/self/comm", "w") as file:  # noqa: PTH123
        file.write(NAME)
    names: set[str] = set()
    rest = b""
    while data := os.read(0, 1 << 16):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            (names.add if line[:1] == b"+" else names.discard)(line[1:].decode())
    if names:
        _remove(engine, sorted(names))


def _remove(engine: Engine, names: list[str]) -> None:
    """Remove containers, also those that are only just being made: their makers die at about this time."""
    arguments = engine.removal(names)
    for pause in (0.0, 0.3, 0.6):
        time.sleep(pause)
        os.waitpid(os.posix_spawn(arguments[0], arguments, os.environ), 0)
