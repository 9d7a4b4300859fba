"""Workers on this machine, forked from a server that has the flow's modules loaded."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import sys
import threading
import time
from collections import deque

from headrace.engine.ports import Executor, WorkerExit, WorkerLink
from headrace.model.policy import Resources
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.worker import randomness
from headrace.worker.forking import may_fork
from headrace.worker.server import fork_request, kill_request, parse_report, run_server

#: Workers that are kept ready, where there are as many cores.
_SPARES = 4
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PUNCH_HOLE_KEEP_SIZE = 0x03


class LocalLink:
    """A local worker. Its output is in two memory files that both sides hold."""

    def __init__(self, number: int, sock: socket.socket, logs: tuple[int, int]) -> None:
        self.number = number
        self.sock = sock
        self.pid = 0
        self._logs = logs

    def log_end(self, stream: int) -> int:
        """Bytes written so far."""
        return os.fstat(self._logs[stream]).st_size

    def read_log(self, stream: int, start: int, end: int) -> bytes:
        """The bytes from ``start`` to ``end``."""
        return os.pread(self._logs[stream], end - start, start)

    def trim_log(self, stream: int, upto: int) -> None:
        """Give the memory of everything before ``upto`` back; offsets stay as they are."""
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        libc.fallocate(self._logs[stream], _PUNCH_HOLE_KEEP_SIZE, ctypes.c_long(0), ctypes.c_long(upto))

    def memory(self) -> int:
        """Private memory in bytes: mapped artifacts are the page cache's and do not count."""
        try:
            with open(f"/proc/{self.pid}/statm", "rb") as file:  # noqa: PTH123
                fields = file.read().split()
        except OSError:
            return 0
        return (int(fields[1]) - int(fields[2])) * _PAGE

    def close_logs(self) -> None:
        """Give the memory files up."""
        for fd in self._logs:
            os.close(fd)


class LocalExecutor:
    """See ``Executor``. ``preload`` names modules to import when the server cannot be forked from this process."""

    def __init__(
        self, capacity: Resources, store: ArtifactStore, preload: tuple[str, ...] = (), *, debug: bool = False
    ) -> None:
        self.capacity = capacity
        self.forked = False
        self._store = store
        self._preload = preload
        self._debug = debug
        self._links: dict[int, LocalLink] = {}
        self._finished: list[LocalLink] = []
        self._spares: deque[LocalLink] = deque()
        self._number = 0
        self._deadlines: dict[int, threading.Timer] = {}
        self._oom_kills = _oom_kills()
        self._control: socket.socket | None = None
        self._server_pid = 0

    def start(self) -> None:
        """Make the server: by forking while this process can be forked safely, else as a fresh interpreter."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if may_fork():
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:  # typeshed does not know: the process was started with it closed
                    stream.flush()
            pid = os.fork()
            if pid == 0:
                ours.close()
                run_server(theirs, self._store, debug=self._debug)
            self._server_pid = pid
            self.forked = True
        else:
            self._spawn(theirs)
        theirs.close()
        ours.setblocking(False)
        self._control = ours
        self._make_spares()

    def _make_spares(self) -> None:
        """Have workers ready before anybody asks: while others run, or while nothing is to do."""
        for _ in range(min(_SPARES, max(1, int(self.capacity.cpu))) - len(self._spares)):
            self._spares.append(self._fork())

    def _spawn(self, theirs: socket.socket) -> None:
        prelude = {
            "path": sys.path,
            "argv": sys.argv,
            "store": pickle.dumps(self._store),
            "modules": self._preload,
            "seeded": randomness.seeded(),
            "debug": self._debug,
        }
        loading = os.memfd_create("headrace-prelude")
        os.write(loading, pickle.dumps(prelude))
        for fd in (theirs.fileno(), loading):
            os.set_inheritable(fd, True)
        argv = [sys.executable, "-m", "headrace.worker.server", str(theirs.fileno()), str(loading)]
        self._server_pid = os.posix_spawn(sys.executable, argv, os.environ)
        os.close(loading)

    def provide(self, *, once: bool = False) -> LocalLink:
        """A spare worker, or one that is not up yet when this returns."""
        link = self._spares.popleft() if self._spares else self._fork()
        if once:  # and so will be the next ones
            self._make_spares()
        return link

    def _fork(self) -> LocalLink:
        """Ask the server for a worker."""
        assert self._control is not None
        self._number += 1
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        logs = tuple(_memory_file(f"headrace-{name}") for name in ("out", "err"))
        link = LocalLink(self._number, ours, (logs[0], logs[1]))
        self._links[link.number] = link
        self._ask(fork_request(link.number), [theirs.fileno(), *logs])
        theirs.close()
        ours.setblocking(False)
        return link

    def _ask(self, data: bytes, fds: list[int]) -> None:
        assert self._control is not None
        with contextlib.suppress(OSError):  # the server is gone, which ``exits`` reports
            socket.send_fds(self._control, [data], fds)

    def stop(self, link: WorkerLink, grace: float) -> None:
        """SIGTERM, then SIGKILL after ``grace`` seconds; at once without grace."""
        assert isinstance(link, LocalLink)
        if link.number not in self._links:
            return
        if grace <= 0:
            self._ask(kill_request(link.number, signal.SIGKILL), [])
            return
        self._ask(kill_request(link.number, signal.SIGTERM), [])
        if link.number not in self._deadlines:
            timer = threading.Timer(grace, self._ask, (kill_request(link.number, signal.SIGKILL), []))
            timer.daemon = True
            timer.start()
            self._deadlines[link.number] = timer

    def fileno(self) -> int:
        """The control socket."""
        assert self._control is not None
        return self._control.fileno()

    def exits(self) -> list[WorkerExit]:
        """Workers that ended. When the server itself is gone, all of them."""
        assert self._control is not None
        self._forget_finished()
        ended: list[WorkerExit] = []
        while True:
            try:
                data = self._control.recv(64)
            except BlockingIOError:
                return ended
            except OSError:
                data = b""
            if not data:
                return ended + self._server_died()
            kind, number, value = parse_report(data)
            if kind == b"S" and number in self._links:
                self._links[number].pid = value
            elif kind == b"X" and number in self._links:
                ended += self._ended(number, os.waitstatus_to_exitcode(value))

    def _ended(self, number: int, code: int) -> list[WorkerExit]:
        link = self._links.pop(number)
        if link in self._spares:  # nobody has heard of it
            self._spares.remove(link)
            link.sock.close()
            link.close_logs()
            return []
        timer = self._deadlines.pop(number, None)
        if timer is not None:
            timer.cancel()
        self._finished.append(link)
        out_of_memory = False
        if code == -signal.SIGKILL:
            before, self._oom_kills = self._oom_kills, _oom_kills()
            out_of_memory = self._oom_kills > before
        return [WorkerExit(link, code, out_of_memory)]

    def _server_died(self) -> list[WorkerExit]:
        """Its workers go with it. Start another, so that the run goes on."""
        lost = [one for number in list(self._links) for one in self._ended(number, -signal.SIGKILL)]
        assert self._control is not None
        control = self._control
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._reap()
        self.forked = False
        self._spawn(theirs)
        theirs.close()
        os.dup2(ours.fileno(), control.fileno(), inheritable=False)
        ours.close()
        control.setblocking(False)
        self._make_spares()
        return lost

    def _forget_finished(self) -> None:
        for link in self._finished:
            link.close_logs()
        self._finished.clear()

    def close(self) -> None:
        """End the server and with it all workers."""
        for timer in self._deadlines.values():
            timer.cancel()
        if self._control is not None:
            self._control.close()
            self._reap()
        for link in self._spares:
            link.sock.close()
        self._spares.clear()
        self._finished += self._links.values()
        self._links.clear()
        self._forget_finished()

    def _reap(self) -> None:
        """Wait for the server's end; it kills its workers first."""
        deadline = time.monotonic() + 5
        while True:
            try:
                pid, _ = os.waitpid(self._server_pid, os.WNOHANG)
            except ChildProcessError:
                return
            if pid:
                return
            if time.monotonic() > deadline:
                os.kill(self._server_pid, signal.SIGKILL)
            time.sleep(0.0005)


def _memory_file(name: str) -> int:
    import fcntl

    fd = os.memfd_create(name)
    fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND | os.O_RDWR)
    return fd


def _oom_kills() -> int:
    """How many processes the kernel has killed for lack of memory since it started."""
    try:
        with open("/proc/vmstat") as file:  # noqa: PTH123
            for line in file:
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0


_: type[Executor] = LocalExecutor
