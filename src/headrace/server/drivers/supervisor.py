"""The process that starts drivers for a server: ``python -m headrace.server.drivers.supervisor HOME``.

It has a session of its own, and so has each driver: a server that is stopped, restarted or killed takes none of them
along, nor does a supervisor that is killed. There is one for a home, which ends when nothing is left to do; a server
starts another one with the next order, and when it starts itself. It imports no code of users, nor the server.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from headrace.server.drivers.orders import ORDER_TAG, Order, Orders, try_lock

#: Seconds between two looks, and without anything to do after which the supervisor ends.
_LOOK, _IDLE = 0.1, 5.0
_LOCK = "supervisor.lock"
#: What a driver's process runs first: it claims the order, and ends if that was done before.
_CLAIM = (
    "import os, sys\n"
    "try:\n"
    "    os.close(os.open(sys.argv[1], os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))\n"
    "except FileExistsError:\n"
    "    sys.exit(0)\n"
    "os.execv(sys.argv[2], sys.argv[2:])\n"
)


def ensure(home: str, variables: dict[str, str]) -> None:
    """See to it that a supervisor of ``home`` is there; ``variables`` say where its stores are."""
    orders = Orders(home)
    orders.folder.mkdir(0o700, parents=True, exist_ok=True)
    held = try_lock(orders.folder / _LOCK)
    if held is None:
        return
    os.close(held)
    environ = {name: value for name, value in os.environ.items() if name not in ("HEADRACE_SERVER", "HEADRACE_TOKEN")}
    with (orders.folder / "supervisor.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, home],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environ | variables,
            start_new_session=True,
            close_fds=True,
        )
    _unwaited.append(process)
    _unwaited[:] = [one for one in _unwaited if one.poll() is None]


#: Supervisors that this process has started, to be waited for now and then.
_unwaited: list[subprocess.Popen[bytes]] = []


class Supervisor:
    """Carries out the orders of a home."""

    def __init__(self, home: str) -> None:
        self._orders = Orders(home)
        self._home = home
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def run(self) -> None:
        """Do it until nothing is left to do; at once, if another process does it."""
        while True:
            held = try_lock(self._orders.folder / _LOCK)
            if held is None:
                return
            self._serve()
            os.close(held)
            if not any(self._orders.open()):  # one that came just now found the lock taken
                return

    def _serve(self) -> None:
        idle_since = time.monotonic()
        self._orders.tidy(time.time())
        seen = 0
        while time.monotonic() - idle_since < _IDLE or self._children:
            changed = self._orders.folder.stat().st_mtime_ns
            if changed != seen or self._children:
                seen = changed
                self._reap()
                if self._look():
                    idle_since = time.monotonic()
            time.sleep(_LOOK)

    def _look(self) -> bool:
        """Start what was ordered; whether some order is open."""
        busy = False
        for order in self._orders.open():
            busy = True
            if order.id in self._children:
                continue
            held = self._orders.lock(order.id)
            if held is None:  # its driver was started by an earlier supervisor, and lives
                continue
            try:
                if self._orders.path(order.id, "begun").exists():
                    self._orders.end(order.id, None)
                else:
                    self._start(order, held)
            finally:
                os.close(held)  # the driver has it too
        return busy

    def _start(self, order: Order, held: int) -> None:
        begun, log = self._orders.path(order.id, "begun"), self._orders.path(order.id, "log")
        command = [sys.executable, "-I", "-S", "-c", _CLAIM, str(begun), *command_of(order, self._orders)]
        environ = os.environ | {
            "HEADRACE_PROJECT": order.project,
            "LOGNAME": order.user,
            "PYTHONUNBUFFERED": "1",
        }
        folder = order.folder if order.folder and Path(order.folder).is_dir() else str(Path(self._home).parent)
        with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as out:  # noqa: PTH123
            self._children[order.id] = subprocess.Popen(
                command,
                cwd=folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                pass_fds=(held,),
                start_new_session=True,
            )

    def _reap(self) -> None:
        for order, process in list(self._children.items()):
            code = process.poll()
            if code is not None:
                del self._children[order]
                self._orders.end(order, code)


def command_of(order: Order, orders: Orders) -> list[str]:
    """The command line of an order's driver. Values are in a file, or each in one argument; no shell reads them."""
    command = [sys.executable, "-m", "headrace", *order.words]
    if order.action == "start":
        command += ["--tag", f"{ORDER_TAG}={order.id}", "--"]
    if order.as_options:
        return [*command, *(f"--{name}={_text(value)}" for name, value in order.parameters.items())]
    return [*command, f"--params-file={orders.path(order.id, 'params')}"] if order.parameters else command


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def main() -> None:
    """Carry out the orders of the home that the command line names."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(FileNotFoundError):  # the home was removed
        Supervisor(sys.argv[1]).run()


if __name__ == "__main__":
    main()
