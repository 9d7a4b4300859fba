"""The process of a command: started, waited for, and ended together with everything that it started."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO, NamedTuple

from headrace.model.errors import CommandError
from headrace.runtime import context

#: Milliseconds between two looks at what a command logs while it runs.
_LOOK = 200
_SET_CHILD_SUBREAPER = 36
#: Processes that a message names.
_NAMED = 3
#: Bytes of what a command wrote to standard error that are looked at, and lines of them that an error shows.
_SAID, _LINES = 600, 3


class Launch(NamedTuple):
    """What to start. ``stdin`` is a file to read from; ``stdout`` a file to write to, else the output is the log."""

    name: str
    arguments: Sequence[str]
    env: Mapping[str, str]
    folder: Path
    stdin: Path | None = None
    stdout: Path | None = None
    #: Whether this is the client of a container, whose processes are not descendants of it.
    container: bool = False


class Ended(NamedTuple):
    """How a command ended: ``code`` >= 0 is its exit code, a negative one the signal; what it used.

    ``said`` is the last that it wrote to standard error, where that is a file.
    """

    code: int
    cpu_seconds: float
    peak_memory: int
    said: str = ""


def run(launch: Launch, look: Callable[[], None]) -> Ended:
    """Run a command to its end; ``look`` is called now and then. No process that it started is left behind.

    Raises:
        CommandError: the program cannot be started.
    """
    in_worker = context.current() is not None
    adopts = in_worker and not launch.container
    before = _children() if adopts else set()
    with contextlib.ExitStack() as stack:
        if adopts:  # a process of its own for each worker: what becomes an orphan meanwhile is the command's
            _adopt_orphans(True)
            stack.callback(_adopt_orphans, False)
        began = _size_of_log()
        process = _start(launch, own_group=not in_worker)
        stack.callback(_end_all, launch, process, before, adopts)
        terminated = stack.enter_context(_Terminated()) if in_worker else None
        ended = _wait(process, look)
        if ended.code:
            ended = ended._replace(said=_end_of_log(began))
        if terminated is not None and terminated.asked:
            _leave(launch, process, before, adopts)
    return ended


def _start(launch: Launch, *, own_group: bool) -> subprocess.Popen[bytes]:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(ValueError, OSError, AttributeError):  # closed or replaced by the caller
            stream.flush()
    arguments = list(launch.arguments)
    arguments[0] = _find_program(launch)
    with contextlib.ExitStack() as files:
        stdin: int | IO[bytes] = subprocess.DEVNULL
        stdout: IO[bytes] | None = None
        if launch.stdin is not None:
            stdin = files.enter_context(launch.stdin.open("rb"))
        if launch.stdout is not None:
            stdout = files.enter_context(launch.stdout.open("wb"))
        try:
            return subprocess.Popen(
                arguments,
                env=dict(launch.env),
                cwd=launch.folder,
                stdin=stdin,
                stdout=stdout,
                start_new_session=own_group,
            )
        except OSError as error:
            raise CommandError(f"command {launch.name!r}: {_why_not(launch, arguments[0], error)}") from None


def _find_program(launch: Launch) -> str:
    program = launch.arguments[0]
    if os.sep in program:  # begins in the working folder
        return str(launch.folder / program)
    import shutil

    path = launch.env.get("PATH", os.defpath)
    found = shutil.which(program, path=path)
    if found is None:
        hint = ""
        if (launch.folder / program).exists():
            hint = f"; a file of that name is in the working folder: write ./{program}"
        raise CommandError(
            f"command {launch.name!r}: program {program!r} was not found in PATH ({path}){hint or '; install it there'}"
        )
    return found


def _why_not(launch: Launch, program: str, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        if not os.path.exists(program):  # noqa: PTH110
            return f"program {launch.arguments[0]!r} does not exist in the working folder; add it with files=[...]"
        return f"program {program!r} begins with the name of an interpreter that is not there; check its first line"
    if isinstance(error, PermissionError):
        return f"program {program!r} is not executable: chmod +x it, or name its interpreter first (sh, python, ...)"
    if error.errno == 8:
        return f"program {program!r} has no executable format: begin the file with a line such as #!/bin/sh"
    if error.errno == 7:
        return "its arguments are too long for the system: pass large values as files or on standard input"
    return f"program {program!r} cannot be started: {error.strerror or error}"


def _wait(process: subprocess.Popen[bytes], look: Callable[[], None]) -> Ended:
    fd = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        while not poll.poll(_LOOK):
            look()
        _, status, usage = os.wait4(process.pid, 0)
    finally:
        os.close(fd)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Ended(process.returncode, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def _size_of_log() -> int:
    """How much has been written to standard error; -1 where that is not a file."""
    with contextlib.suppress(OSError):
        status = os.fstat(2)
        if stat.S_ISREG(status.st_mode):
            return status.st_size
    return -1


def _end_of_log(began: int) -> str:
    """The last lines that were written to standard error since it had ``began`` bytes."""
    end = _size_of_log()
    if began < 0 or end <= began:
        return ""
    try:
        data = os.pread(2, min(end - began, _SAID), max(began, end - _SAID))
    except OSError:  # it can be written alone
        return ""
    lines = [line.strip() for line in data.decode(errors="replace").replace("\0", "").splitlines()]
    return " | ".join([line for line in lines if line][-_LINES:])


class _Terminated:
    """Keeps a worker that is asked to end until its command, which gets the same signal, has ended."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> _Terminated:
        self._before = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


def _leave(launch: Launch, process: subprocess.Popen[bytes], before: set[int], adopts: bool) -> None:
    """End this worker as it was asked to, now that the command has ended."""
    _end_all(launch, process, before, adopts)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


# --- what a command leaves --------------------------------------------------------------------------------------


def _end_all(launch: Launch, process: subprocess.Popen[bytes], before: set[int], adopts: bool) -> None:
    """End the command, where it still runs, and what it has left running."""
    if process.returncode is None:
        process.kill()
        process.wait()
    if launch.container:
        return
    if not adopts:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        return
    left: list[str] = []
    count = 0
    while True:  # orphans of what is killed become children of this process in their turn
        found = _children() - before
        if not found:
            break
        for pid in found:
            name_of_it = _name_of(pid)
            if name_of_it:
                count += 1
                left += [name_of_it] if len(left) < _NAMED else []
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in found:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
    if left:
        more = f" and {count - len(left)} more" if count > len(left) else ""
        print(
            f"headrace: command {launch.name!r} ended and left {', '.join(left)}{more} running: killed", file=sys.stderr
        )


def _children() -> set[int]:
    """The processes that are children of this one, running or not waited for."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return set()
    found: set[int] = set()
    for task in os.listdir("/proc/self/task"):  # noqa: PTH208
        with contextlib.suppress(OSError), open(f"/proc/self/task/{task}/children") as file:  # noqa: PTH123
            found.update(map(int, file.read().split()))
    return found


def _name_of(pid: int) -> str:
    """The name of a process; empty if it has ended and only its exit status is left."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            before, _, after = file.read().rpartition(")")
    except OSError:
        return ""
    return "" if after.split()[0] in ("Z", "X") else f"{before.partition('(')[2]} (process {pid})"


def _adopt_orphans(on: bool) -> None:
    import ctypes

    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, int(on), 0, 0, 0)
