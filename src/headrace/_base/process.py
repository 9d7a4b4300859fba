"""Who a process is, so that another one can tell whether it still lives: ``"host:pid:start"``; and its streams.

``start`` is the time the kernel started it, with a mark of the boot and the process namespace: host names are not
unique (containers, ``localhost``), process ids are used again.
"""

from __future__ import annotations

import errno
import os
import sys

#: What writing to a stream fails with where it cannot be written to, whatever is written.
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EBADF, errno.EPIPE)

_cached: dict[int, str] = {}


def host_name() -> str:
    """The name of this machine."""
    return os.uname().nodename


def process_owner() -> str:
    """The owner string of this process; a child made by ``fork`` has its own."""
    pid = os.getpid()
    owner = _cached.get(pid)
    if owner is None:
        _cached.clear()
        owner = _cached[pid] = f"{host_name()}:{pid}:{start_ticks(pid)}-{_realm()}"
    return owner


def owner_alive(owner: str) -> bool | None:
    """Whether the process that ``owner`` names lives; None when this process cannot know."""
    host, _, rest = owner.partition(":")
    pid, _, start = rest.partition(":")
    ticks, _, realm = start.partition("-")
    if host != host_name() or realm != _realm() or not pid.isdigit() or not ticks:
        return None
    return start_ticks(int(pid)) == ticks


def start_ticks(pid: int) -> str:
    """When ``pid`` started, in ticks since boot; ``""`` if there is no such process, or only its unread exit status.

    Also ``""`` where there is no ``/proc``.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - pathlib costs more than the reading
            content = file.read()
    except OSError:
        return ""
    # The second field, the command in parentheses, may hold anything: fields count from its last parenthesis.
    fields = content[content.rindex(b")") + 2 :].split()
    return "" if fields[0] in (b"Z", b"X") else fields[19].decode()


def _realm() -> str:
    """A mark of this boot of this machine and of the namespace in which process ids are counted."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:  # noqa: PTH123
            boot = file.read(8)
        return f"{boot}{os.stat('/proc/self/ns/pid').st_ino:x}"  # noqa: PTH116
    except OSError:
        return ""


def claim_standard_descriptors() -> None:
    """Open what the process was started without, before a database or a socket gets one of these numbers."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def claim_standard_streams() -> None:
    """The same, and streams of Python's that lead there, for code that prints without asking."""
    claim_standard_descriptors()
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115, PTH123


def is_unwritable(error: BaseException) -> bool:
    """Whether ``error`` says that a stream takes nothing any more: no reader, a full disk, closed."""
    if isinstance(error, ValueError):
        return "closed file" in str(error)
    return isinstance(error, OSError) and error.errno in _UNWRITABLE and error.filename is None


def output_failed(error: BaseException) -> str:
    """Why nothing can be printed any more, where that is what ``error`` means; what is printed from now on is lost."""
    if not isinstance(error, OSError) or not is_unwritable(error):
        return ""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # so that the interpreter does not try it again at its end
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123
    return f"the output cannot be written: {error.strerror}"


def user_name() -> str:
    """Who runs this process; a number where the user has no name."""
    for variable in ("LOGNAME", "USER"):
        if os.environ.get(variable):
            return os.environ[variable]
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
