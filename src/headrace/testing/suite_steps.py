"""What workers are asked to do by the suite of executors. Needs nothing but Headrace where the workers are."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
from collections.abc import Callable

from headrace.runtime import context


def double(value: int) -> int:
    """Twice ``value``."""
    return 2 * value


def fail() -> None:
    """Raise."""
    raise ValueError("no")


def nap(seconds: float) -> None:
    """Take that long."""
    time.sleep(seconds)


def pid() -> int:
    """Which process this is."""
    return os.getpid()


def leave(code: int) -> None:
    """End the process."""
    os._exit(code)


def die(signum: int) -> None:
    """Die of a signal."""
    faulthandler.disable()  # which a test runner may have enabled
    os.kill(os.getpid(), signum)
    time.sleep(60)


def say(out: str, err: str) -> None:
    """Write to both streams, also from a child and past Python."""
    os.system(f"printf '{out}'")
    print(err, end="", file=sys.stderr)


def say_after(seconds: float, text: str) -> None:
    """Take that long, and write."""
    time.sleep(seconds)
    os.write(1, text.encode())


def flood(mebibytes: int, last: str) -> None:
    """Write that much, then ``last``, and die where that is not empty."""
    faulthandler.disable()
    for _ in range(mebibytes):
        os.write(1, b"flood..\n" * (1 << 17))
    if last:
        os.write(1, last.encode())
        os.kill(os.getpid(), signal.SIGSEGV)


def say_and_die(text: str) -> None:
    """Write, and die before anything could be flushed by anybody."""
    faulthandler.disable()
    os.write(1, text.encode())
    os.kill(os.getpid(), signal.SIGSEGV)


def deaf(seconds: float) -> None:
    """Do not listen to SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.write(1, b"deaf\n")
    time.sleep(seconds)


def keep_to_itself(value: int) -> int:
    """``value``, which the cache is not to keep."""
    context.do_not_reuse()
    return value


def with_child(seconds: float) -> int:
    """Start a process that outlives the step."""
    import subprocess

    return subprocess.Popen(["sleep", str(seconds)]).pid


def with_daemon(seconds: float) -> int:
    """Start a process that leaves its parent and its session, as daemons do."""
    import subprocess

    start = "import subprocess; print(subprocess.Popen(['sleep', '{}'], start_new_session=True, stdout=2).pid)"
    done = subprocess.run([sys.executable, "-c", start.format(seconds)], stdout=subprocess.PIPE, check=True)
    return int(done.stdout)


def hold(size: int, seconds: float) -> None:
    """Hold that many bytes for so long."""
    held = bytearray(b"x") * size
    time.sleep(seconds)
    del held


def variable(name: str) -> str:
    """An environment variable; empty where it is not set."""
    return os.environ.get(name, "")


FUNCTIONS: tuple[Callable[..., object], ...] = (
    double, fail, nap, pid, leave, die, say, say_and_die, deaf, with_child, hold,
    keep_to_itself, with_daemon, variable, say_after,
    flood,
)  # fmt: skip
