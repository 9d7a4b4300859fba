"""The process that workers are forked from: everything is imported once, and a new worker costs milliseconds.

It has one thread, runs none of the user's steps, and ends all its workers when the driver is gone, with every process
that any of them, or an import, started. It is forked from the driver while that has one thread, or started afresh
(``python -m headrace.worker.server``) and told what to import.

It hears and tells what ``server_messages`` says. A driver that is forked imports this module in the child alone.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import sys
import time

from headrace.model.messages import frames_from_driver
from headrace.runtime import context, randomness
from headrace.stores import codecs
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.worker import functions
from headrace.worker.fork_safety import may_fork
from headrace.worker.output import Capture
from headrace.worker.serve import run_worker
from headrace.worker.server_messages import NUMBER, NUMBERS
from headrace.worker.threads import limit_threads

#: The name of keepers of containers (``runtime.containers.keeper.NAME``, which need not be loaded for it).
KEEPER = b"headrace-keeper"
#: Milliseconds between looks whether the driver is still there.
_LOOK = 1000
#: Workers that are made before the server loads what values of all kinds need; few runs have more and need nothing.
_UNPREPARED = 2
#: Seconds to wait at the end for processes that were killed to be gone, and at most between two looks.
_PATIENCE, _BETWEEN = 3.0, 0.001
_SET_CHILD_SUBREAPER = 36


def run_server(control: socket.socket, store: ArtifactStore, *, debug: bool = False) -> None:
    """Serve until the driver closes ``control``; then end all workers and the process.

    With ``debug`` workers keep the terminal, so that a step can stop in a debugger; nothing they print is recorded.
    """
    try:
        _Server(control, store, debug).main()
    finally:
        os._exit(0)


class _Server:
    def __init__(self, control: socket.socket, store: ArtifactStore, debug: bool = False) -> None:
        self._debug = debug
        self._control = control
        self._store = store
        self._pids: dict[int, int] = {}  # number -> pid of workers not yet reaped
        self._numbers: dict[int, int] = {}
        self._made = 0

    def main(self) -> None:
        with contextlib.suppress(OSError):  # a leader already, when started afresh
            if not self._debug:
                os.setsid()
        read, write = os.pipe()
        os.set_blocking(read, False)
        os.set_blocking(write, False)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        frames_from_driver()  # makes what all workers need
        limit_threads(1)  # as most steps have it, so that most workers need not
        randomness.look_ahead()
        gc.freeze()  # no collection here or in a worker shall touch, and so copy, what came from the driver
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(read, select.POLLIN)
        parent = os.getppid()
        while True:
            for fd, _ in poll.poll(_LOOK):
                if fd == read:
                    with contextlib.suppress(BlockingIOError):
                        os.read(read, 4096)
                    self._reap()
                elif not self._obey((read, write)):
                    self._end_all()
                    return
            if os.getppid() != parent:  # a child that the flow forked may hold the socket open
                self._end_all()
                return

    def _obey(self, pipe: tuple[int, int]) -> bool:
        try:
            data, fds, _, _ = socket.recv_fds(self._control, 64, 3)
        except OSError:  # the driver left without reading all that it was told
            return False
        if not data:
            return False
        if data[:1] in (b"F", b"T"):
            kind, number = NUMBER.unpack(data)
            self._fork(number, fds, pipe, template=kind == b"T")
        else:
            _, number, signum = NUMBERS.unpack(data)
            pid = self._pids.get(number)
            if pid is not None:
                _signal_group(pid, signum)
        return True

    def _fork(self, number: int, fds: list[int], pipe: tuple[int, int], *, template: bool) -> None:
        if self._made == _UNPREPARED:
            codecs.prepare()
            gc.freeze()
        self._made += 1
        pid = os.fork()
        if pid == 0:
            self._leave(pipe)
            if template:
                self._become_template(fds[0])
            self._become_worker(fds)
        for fd in fds:
            os.close(fd)
        self._pids[number] = pid
        self._numbers[pid] = number
        if self._made == 1:  # here, because the first worker does not wait for it
            adopt_orphans()

    def _leave(self, pipe: tuple[int, int]) -> None:
        """Be the server no more, in the process that was just forked from it."""
        if not self._debug:
            os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # as in any Python
        self._control.close()
        for fd in pipe:
            os.close(fd)

    def _become_template(self, fd: int) -> None:
        from headrace.worker.template import prepare

        control = socket.socket(fileno=fd)
        output = os.memfd_create("headrace-imports")
        try:
            if not self._debug:
                Capture(output, output).install()
            if prepare(control, output):
                _Server(control, self._store, self._debug).main()
        finally:
            os._exit(0)

    def _become_worker(self, fds: list[int]) -> None:
        capture = Capture(fds[1], fds[2])
        if not self._debug:
            capture.install()
        run_worker(socket.socket(fileno=fds[0]), self._store, capture)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            number = self._numbers.pop(pid, None)
            if number is not None:
                _signal_group(pid, signal.SIGKILL)  # what it left behind
                del self._pids[number]
                self._tell(NUMBERS.pack(b"X", number, status))

    def _tell(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # the driver is gone; the main loop is about to see it
            self._control.send(data)

    def _end_all(self) -> None:
        """Kill the workers, then what is left of all that they and imports started: orphans are our children."""
        for pid in self._pids.values():
            _signal_group(pid, signal.SIGKILL)
        deadline = time.monotonic() + _PATIENCE
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})  # it stays until it is waited for
        ending = set(self._numbers)
        late = False
        while not late:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            ending.discard(pid)
            if pid:
                continue
            late = time.monotonic() >= deadline
            if late or not ending:  # to look for others takes milliseconds, and most runs have none
                for child in _to_kill(_children(), late):
                    _signal_group(child, signal.SIGKILL)
            signal.sigtimedwait({signal.SIGCHLD}, _BETWEEN)


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose own parent ends, in whatever session it is."""
    import _ctypes  # what ``ctypes`` is built on: that takes four times as long to import, at the start of each run

    class Function(_ctypes.CFuncPtr):
        _flags_ = _ctypes.FUNCFLAG_CDECL
        _restype_ = None

    libc = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]
    Function(_ctypes.dlsym(libc, "prctl"))(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _to_kill(children: dict[int, bytes], late: bool) -> list[int]:
    """The children that are left to be killed: keepers of containers remove these first, with the engine's help."""
    spared: tuple[bytes, ...] = ()
    if KEEPER in children.values():
        spared = (KEEPER,) if late else (KEEPER, b"conmon", b"podman", b"runc", b"crun")
    return [pid for pid, name in children.items() if name not in spared]


def _children() -> dict[int, bytes]:
    """The processes whose parent this one is, with their names."""
    me = str(os.getpid()).encode()
    found = {}
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                before, _, after = file.read().rpartition(b")")
                if after.split()[1] == me:
                    found[int(name)] = before.partition(b"(")[2]
    return found


def _signal_group(pid: int, signum: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signum)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signum)  # between fork and setsid there is no group yet


def main(descriptors: list[str]) -> None:
    """Start afresh. ``descriptors``: of the control socket and of a file that says what to load."""
    import importlib
    import pickle

    control, loading = socket.socket(fileno=int(descriptors[0])), int(descriptors[1])
    os.lseek(loading, 0, os.SEEK_SET)
    with open(loading, "rb", closefd=False) as file:
        prelude = pickle.load(file)  # from the driver that started us
    if "path" in prelude:
        sys.path[:] = prelude["path"]
    if "code" in prelude:
        from headrace.runtime.code_folder import enter_code

        enter_code(*prelude["code"])
    adopt_orphans()  # before an import starts something
    functions.environment = prelude.get("environment", "")
    sys.argv[:] = prelude["argv"]  # a file may look at them when it is imported
    context.Reading.active = True  # in all threads: a script that calls its flow when imported would run it here
    store = pickle.loads(prelude["store"])
    for name in prelude["modules"] if len(descriptors) == 2 else ():
        # A worker will meet the same error, or the same end of the program, and report it with its task.
        with contextlib.suppress(Exception, SystemExit):
            importlib.import_module(name)
    if not may_fork() and len(descriptors) == 2:
        # Something started threads on import and would not survive a fork: load it in each worker instead.
        os.execv(sys.executable, [*sys.orig_argv, "bare"])
    os.close(loading)
    randomness.expect(prelude["seeded"])
    if len(descriptors) == 2:
        randomness.capture()
    run_server(control, store, debug=prelude["debug"])


if __name__ == "__main__":
    main(sys.argv[1:])
