"""Workers on this machine, forked from a server that has the flow's modules loaded."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import socket
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from headrace._base.logs import Log
from headrace.engine.channel import SocketChannel
from headrace.engine.ports import Executor, WorkerExit, WorkerLink
from headrace.model.code import CodePackage
from headrace.model.policy import Resources, StepPolicy
from headrace.model.workers import LOCAL, Capacity, GangSeat, ServedRun, WorkerSpec
from headrace.runtime import randomness
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.worker.fork_safety import may_fork
from headrace.worker.learned import Learned
from headrace.worker.server_messages import MESSAGE, fork_request, kill_request, parse_exit, template_request

if TYPE_CHECKING:
    from headrace.model.pod_history import PodHistory

_log = Log("workers")

#: Workers that are kept ready, where there are as many cores.
_SPARES = 4
#: Templates of one run, names that one of them is told, and seconds that it may take.
_TEMPLATES, _NAMES, _IMPORT_SECONDS = 8, 1000, 120.0
#: Seconds that the server has to end its workers and itself.
_END_SECONDS = 5
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PUNCH_HOLE_KEEP_SIZE = 0x03
#: How the interpreter of an environment finds Headrace: behind all that is its own.
_BOOT = (
    "import os, sys; sys.path[:1] = []; sys.path += sys.argv.pop(1).split(os.pathsep); "
    "from headrace.worker.server import main; main(sys.argv[1:])"
)
#: Variables that say where this process's Python finds things.
_PYTHONS = frozenset({"PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONPLATLIBDIR", "CONDA_PREFIX", "UV_PYTHON"})


class LocalLink(SocketChannel):
    """A local worker. Its output is in two memory files that both sides hold."""

    def __init__(self, number: int, sock: socket.socket, theirs: socket.socket, logs: tuple[int, int]) -> None:
        super().__init__(sock)
        self.number = number
        self.logs: tuple[int, ...] = logs
        self.theirs: socket.socket | None = theirs  # until it is asked for
        self.server: _Server | None = None  # once it is
        self.spare = False  # whether it ends without having been handed out

    def close(self) -> None:
        """Close the socket and the memory files."""
        super().close()
        logs, self.logs = self.logs, ()
        for fd in logs:
            os.close(fd)
        if self.theirs is not None:
            self.theirs.close()

    def log_end(self, stream: int) -> int:
        """Bytes written so far."""
        return os.fstat(self.logs[stream]).st_size

    def read_log(self, stream: int, start: int, end: int) -> bytes:
        """The bytes from ``start`` to ``end``."""
        return os.pread(self.logs[stream], end - start, start)

    def trim_log(self, stream: int, upto: int) -> None:
        """Give the memory of everything before ``upto`` back; offsets stay as they are."""
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        libc.fallocate(self.logs[stream], _PUNCH_HOLE_KEEP_SIZE, ctypes.c_long(0), ctypes.c_long(upto))

    def memory(self) -> int:
        """Private memory in bytes, with that of its processes; mapped artifacts do not count."""
        return _private_memory(self.where[1])


class _Server:
    """A process that workers are forked from, as the driver holds it: its control socket."""

    __slots__ = ("control",)

    def __init__(self, control: socket.socket) -> None:
        control.setblocking(False)
        self.control = control

    def ask(self, data: bytes, fds: Iterable[int] = ()) -> None:
        """Say what the process is to do."""
        with contextlib.suppress(OSError):  # it is gone, which ``exits`` reports
            socket.send_fds(self.control, [data], list(fds))

    def hear(self) -> Iterator[bytes]:
        """What it said; empty bytes when it is gone."""
        while True:
            try:
                data = self.control.recv(MESSAGE)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            yield data
            if not data:
                return


class _Template(_Server):
    """One that still imports. ``held`` are workers that are to be forked from it, with their descriptors."""

    __slots__ = ("at", "held", "names", "number", "parent")

    def __init__(self, control: socket.socket, parent: _Server, number: int, names: list[str]) -> None:
        super().__init__(control)
        self.parent = parent
        self.number = number
        self.names = frozenset(names)
        self.at = ""
        self.held: list[LocalLink] = []


class FreshStart(msgspec.Struct, frozen=True):
    """What workers begin with that share no process with their driver: the flow's code, its arguments, its seeded
    generators.

    ``interpreter`` is the one of their environment (empty: that of this process), ``beside`` the folders that have
    Headrace there, and ``variables`` are set in addition. With a ``container``, the command line that makes one, the
    interpreter is the program of its image, and descriptors 3 and 4 are passed on into it.
    ``paths`` are folders for imports before those of this process.
    """

    folder: str
    package: CodePackage
    argv: tuple[str, ...]
    seeded: bytes
    interpreter: str = ""
    beside: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    container: tuple[str, ...] = ()
    environment: str = ""  # in a few words, for messages
    paths: tuple[str, ...] = ()

    def prelude(self) -> dict[str, object]:
        """As the server is told."""
        found: dict[str, object] = {"code": (self.folder, self.package), "argv": list(self.argv)}
        if self.environment:
            found["environment"] = self.environment
        if self.paths:
            found["path"] = [*self.paths, *sys.path]
        if self.seeded:
            import pickle

            found["seeded"] = pickle.loads(self.seeded)  # a worker believes its driver
        return found


class LocalExecutor:
    """See ``Executor``. ``preload`` names modules to import when the server cannot be forked from this process.

    ``warm`` workers are kept ready (None: as many as there are cores, up to four), in the place ``local`` from the
    start, elsewhere once the first was asked for. An idle worker beyond these is let go after ``idle`` seconds (None:
    never). With ``fresh`` the server is a fresh interpreter in any case, which begins with what that says.
    ``learned`` says what steps import. A template, forked from the newest server, imports what that one has not; then
    it is the newest. It begins at the start, with what an earlier run told, and while workers run that are more than
    one or serve once. Steps that need what is being imported wait for it.
    """

    def __init__(
        self,
        capacity: Resources,
        store: ArtifactStore,
        preload: tuple[str, ...] = (),
        *,
        place: str = LOCAL,
        debug: bool = False,
        learned: Learned | None = None,
        warm: int | None = None,
        idle: float | None = None,
        fresh: FreshStart | None = None,
    ) -> None:
        self.place = place
        self._shared, self._alone = WorkerSpec(place), WorkerSpec(place, isolated=True)
        self._warm = min(_SPARES, max(1, int(capacity.cpu))) if warm is None else warm
        self._idle = idle
        self.capacity = Capacity(capacity, largest=capacity)
        self.forked = False
        self._store = store
        self._preload = preload
        self._debug = debug
        self._learned = learned or Learned()
        self._fresh = fresh
        self._links: dict[int, LocalLink] = {}
        self._spares: deque[LocalLink] = deque()
        self._number = 0
        self._deadlines: dict[int, threading.Timer] = {}
        self._oom_kills = _oom_kills()
        self._poll = select.epoll()
        self._servers: list[_Server] = []  # the newest last; that one forks
        self._coming: _Template | None = None
        self._templates = 0
        self._loaded: set[str] = set()
        self._once = False  # whether workers are asked for that serve once
        self._server_pid = 0

    def start(self) -> None:
        """Make the server: by forking while this process can be forked safely, else as a fresh interpreter."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if self._fresh is None and may_fork():
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:  # typeshed does not know: the process was started with it closed
                    stream.flush()
            self._loaded.update(sys.modules)
            pid = os.fork()
            if pid == 0:
                ours.close()
                from headrace.worker.server import run_server  # here, where it takes no time from the driver

                run_server(theirs, self._store, debug=self._debug)
            self._server_pid = pid
            self.forked = True
        else:
            self._spawn(theirs)
        theirs.close()
        self._add_server(_Server(ours))
        if self.place == LOCAL:  # in other places it is not known yet whether there will be work
            self._import_ahead()  # what an earlier run told, while the driver makes itself ready
            if self._coming is None:
                self._make_spares()

    def _spawn(self, theirs: socket.socket) -> None:
        import pickle

        prelude = {
            "path": sys.path,
            "argv": sys.argv,
            "store": pickle.dumps(self._store),
            "modules": self._preload,
            "seeded": randomness.seeded(),
            "debug": self._debug,
        }
        if self._fresh is not None:
            prelude |= self._fresh.prelude()
            if self._fresh.interpreter:
                del prelude["path"]  # it has its own
        loading = os.memfd_create("headrace-prelude")
        os.write(loading, pickle.dumps(prelude))
        if self._fresh is not None and self._fresh.container:
            self._server_pid = _start_container(self._fresh, theirs.fileno(), loading)
            os.close(loading)
            return
        for fd in (theirs.fileno(), loading):
            os.set_inheritable(fd, True)
        program, start, variables = sys.executable, ["-m", "headrace.worker.server"], dict(os.environ)
        if self._fresh is not None and self._fresh.interpreter:
            program, start = self._fresh.interpreter, ["-c", _BOOT, os.pathsep.join(self._fresh.beside)]
            variables = _inside(program, variables)
        if self._fresh is not None:
            variables.update(self._fresh.variables)
        argv = [program, *start, str(theirs.fileno()), str(loading)]
        self._server_pid = os.posix_spawn(program, argv, variables)
        os.close(loading)

    def _add_server(self, server: _Server) -> None:
        self._servers.append(server)
        _log.info("server.ready", "workers are forked from it", pid=self._server_pid, count=len(self._servers))
        if server is not self._coming:
            self._poll.register(server.control.fileno(), select.EPOLLIN)

    # --- providing --------------------------------------------------------------------------------------------

    def spec(self, policy: StepPolicy) -> WorkerSpec:
        """See ``Executor``: all steps that are not isolated share workers."""
        return self._alone if policy.isolated else self._shared

    def introduce(self, run: ServedRun) -> str:
        """See ``Executor``; these workers have what this process has."""
        return ""

    def claim(self, token: int) -> None:
        """See ``Executor``; these workers end with their driver."""

    def pod_histories(self) -> Sequence[PodHistory]:
        """See ``Executor``."""
        return ()

    def surplus(self, spec: WorkerSpec, idle: Sequence[float]) -> int:
        """See ``Executor``."""
        if self._idle is None:
            return 0
        limit = self._idle
        return sum(seconds > limit for seconds in idle[: max(0, len(idle) - self._warm)])

    def provide(self, spec: WorkerSpec, step: str = "", seat: GangSeat | None = None) -> LocalLink:
        """A spare worker, or one that is not up yet when this returns."""
        self._once |= spec.isolated
        self._import_ahead()
        coming = self._coming
        if coming is not None and any(name in coming.names for name in self._learned.needs(step)):
            link = self._new_link()  # it would import the same at the same time
            coming.held.append(link)
        else:
            link = self._spares.popleft() if self._spares else self._fork(self._new_link())
        if spec.isolated:  # and so will be the next ones
            self._make_spares()
        return link

    def _make_spares(self) -> None:
        """Have workers ready before anybody asks: while others run, or while nothing is to do."""
        for _ in range(self._warm - len(self._spares)):
            self._spares.append(self._fork(self._new_link()))

    def _new_link(self) -> LocalLink:
        self._number += 1
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        logs = tuple(_memory_file(f"headrace-{name}") for name in ("out", "err"))
        link = LocalLink(self._number, ours, theirs, (logs[0], logs[1]))
        self._links[link.number] = link
        return link

    def _fork(self, link: LocalLink) -> LocalLink:
        """Let the newest server make the process."""
        assert link.theirs is not None
        link.server = self._servers[-1]
        link.server.ask(fork_request(link.number), [link.theirs.fileno(), *link.logs])
        link.theirs.close()
        link.theirs = None
        return link

    def stop(self, link: WorkerLink, grace: float) -> None:
        """SIGTERM, then SIGKILL after ``grace`` seconds; at once without grace."""
        assert isinstance(link, LocalLink)
        if link.number not in self._links:
            return
        if self._coming is not None and link in self._coming.held:
            self._coming.held.remove(link)
            self._fork(link)
        if grace <= 0:
            self._kill(link, signal.SIGKILL)
            return
        self._kill(link, signal.SIGTERM)
        _log.debug("worker.killed", "it gets a signal, and SIGKILL later", pid=link.where[1], seconds=grace)
        if link.number not in self._deadlines:
            timer = threading.Timer(grace, self._kill, (link, signal.SIGKILL))
            timer.daemon = True
            timer.start()
            self._deadlines[link.number] = timer

    @staticmethod
    def _kill(link: LocalLink, signum: int) -> None:
        assert link.server is not None
        link.server.ask(kill_request(link.number, signum))

    # --- importing ahead --------------------------------------------------------------------------------------

    def address_of(self, link: WorkerLink) -> str:
        """See ``Executor``: all workers are on this machine."""
        return "127.0.0.1"

    def heard(self, step: str, installed: tuple[str, ...], own: tuple[str, ...]) -> None:
        """See ``Executor``."""
        self._learned.heard(step, installed, own)
        self._import_ahead()

    def _import_ahead(self) -> None:
        """Make a template for what is known and not imported yet, where it takes no processor from tasks."""
        if self._coming is not None or self._templates >= _TEMPLATES:
            return
        names = [name for name in self._learned.all() if name not in self._loaded]
        in_use = len(self._links) - len(self._spares)
        if not names or not (self._once or (in_use != 1 and in_use < self.capacity.resources.cpu)):
            return  # one worker alone has imported all that it needs
        self._templates += 1
        self._number += 1
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._coming = _Template(ours, self._servers[-1], self._number, names[:_NAMES])
        self._poll.register(ours.fileno(), select.EPOLLIN)
        self._coming.ask("\n".join(names[:_NAMES]).encode())
        self._coming.parent.ask(template_request(self._number), [theirs.fileno()])
        theirs.close()
        timer = threading.Timer(_IMPORT_SECONDS, self._coming.parent.ask, (kill_request(self._number, signal.SIGKILL),))
        timer.daemon = True
        timer.start()
        self._deadlines[self._number] = timer

    def _on_template(self, template: _Template, data: bytes) -> None:
        """What a template says: that it begins with a module, that it cannot be shared, that all are there."""
        if data[:1] == b"I":
            template.at = data[1:].decode()
        elif data[:1] == b"R":
            self._learned.imported(data[1:].decode().split("\n"), template.names)
            self._add_server(template)
            self._over(template)
            for link in self._spares:
                link.spare = True
                self._kill(link, signal.SIGKILL)
            self._spares.clear()
            self._make_spares()

    def _over(self, template: _Template) -> None:
        """A template is ready, or gone: what waited for it goes on."""
        self._coming = None
        self._loaded |= template.names
        self._deadlines.pop(template.number).cancel()
        for link in template.held:
            self._fork(link)
        template.held.clear()
        self._import_ahead()

    def _template_died(self, template: _Template) -> None:
        """Do without the module that it was at, and try the others again."""
        self._poll.unregister(template.control.fileno())
        template.control.close()
        if template.at:
            self._learned.refused.add(template.at)
            template.names = frozenset([template.at])
        self._over(template)

    # --- hearing ----------------------------------------------------------------------------------------------

    def fileno(self) -> int:
        """Readable when a server has said something."""
        return self._poll.fileno()

    def exits(self) -> list[WorkerExit]:
        """Workers that ended. When their server is gone, all of them."""
        ended: list[WorkerExit] = []
        for server in [*self._servers, *([self._coming] if self._coming else [])]:
            for data in server.hear():
                if data[:1] == b"X":
                    number, status = parse_exit(data)
                    ended += self._ended(number, os.waitstatus_to_exitcode(status))
                elif isinstance(server, _Template) and server is self._coming:
                    if data[:1] in (b"I", b"R"):
                        self._on_template(server, data)
                    elif not data:
                        self._template_died(server)
                elif not data:
                    ended += self._server_died(server)
        return ended

    def _ended(self, number: int, code: int) -> list[WorkerExit]:
        link = self._links.pop(number, None)
        if link is None:
            return []
        if link in self._spares:
            self._spares.remove(link)
            link.spare = True
        if link.spare:  # it was not handed out
            link.close()
            return []
        timer = self._deadlines.pop(number, None)
        if timer is not None:
            timer.cancel()
            timer.join()  # its thread holds what it was started from
        out_of_memory = False
        if code == -signal.SIGKILL:
            before, self._oom_kills = self._oom_kills, _oom_kills()
            out_of_memory = self._oom_kills > before
        return [WorkerExit(link, code, out_of_memory)]

    def _server_died(self, server: _Server) -> list[WorkerExit]:
        """Its workers go with it. When it was the first, start another, so that the run goes on."""
        first = server is self._servers[0]
        self._poll.unregister(server.control.fileno())
        server.control.close()
        self._servers.remove(server)
        if first:  # and those that were forked from it
            self._reap()
            self.forked = False
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._spawn(theirs)
            theirs.close()
            self._servers.insert(0, _Server(ours))
            self._poll.register(ours.fileno(), select.EPOLLIN)
        lost = [number for number, link in self._links.items() if link.server is server]
        ended = [one for number in lost for one in self._ended(number, -signal.SIGKILL)]
        self._make_spares()
        return ended

    def close(self) -> None:
        """End the server and with it all workers."""
        for timer in self._deadlines.values():
            timer.cancel()
        for server in [*self._servers, *([self._coming] if self._coming else [])]:
            server.control.close()
        if self._servers:
            self._reap()
        self._learned.save()
        for link in self._links.values():
            if link.spare or link in self._spares:
                link.close()
            elif link.theirs is not None:
                link.theirs.close()
                link.theirs = None
        for timer in self._deadlines.values():
            timer.join()
        self._deadlines.clear()
        self._spares.clear()
        self._servers.clear()
        self._links.clear()
        self._poll.close()

    def _reap(self) -> None:
        """Wait for the server's end; it kills its workers first."""
        try:
            end = os.pidfd_open(self._server_pid)
        except OSError:  # reaped already
            return
        try:
            poll = select.poll()
            poll.register(end, select.POLLIN)
            if not poll.poll(_END_SECONDS * 1000):
                os.kill(self._server_pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):  # somebody else was faster
                os.waitpid(self._server_pid, 0)
        finally:
            os.close(end)


def _start_container(fresh: FreshStart, control: int, loading: int) -> int:
    """Start a server in a container; returns the process of the engine's command line."""
    command = [*fresh.container, fresh.interpreter, "-c", _BOOT, os.pathsep.join(fresh.beside), "3", "4"]
    null = os.open(os.devnull, os.O_RDWR)
    high = [os.dup(control), os.dup(loading)]  # so that neither is where the other goes
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in high] + high
    actions = [(os.POSIX_SPAWN_DUP2, null, fd) for fd in (0, 1)]
    actions += [(os.POSIX_SPAWN_DUP2, high[0], 3), (os.POSIX_SPAWN_DUP2, high[1], 4)]
    try:  # in a group of its own: an interrupt at the terminal is for the driver, which ends the server
        return os.posix_spawn(command[0], command, os.environ, file_actions=actions, setpgroup=0)
    finally:
        for fd in (null, *high):
            os.close(fd)


def _inside(interpreter: str, variables: dict[str, str]) -> dict[str, str]:
    """``variables`` as they are where an environment is in use, without those that concern this process's Python."""
    folder = os.path.dirname(interpreter)  # noqa: PTH120
    kept = {name: text for name, text in variables.items() if name not in _PYTHONS}
    kept["VIRTUAL_ENV"] = os.path.dirname(folder)  # noqa: PTH120
    kept["PATH"] = os.pathsep.join([folder, *filter(None, [kept.get("PATH", "")])])
    return kept


def _private_memory(pid: int) -> int:
    """Private memory in bytes of a process and of those that it, and they, have started from their main threads."""
    total, todo = 0, [pid]
    while todo:
        one = todo.pop()
        try:
            with open(f"/proc/{one}/statm", "rb") as file:  # noqa: PTH123
                fields = file.read().split()
            with open(f"/proc/{one}/task/{one}/children", "rb") as file:  # noqa: PTH123
                todo += map(int, file.read().split())
        except OSError:  # it has ended
            continue
        total += (int(fields[1]) - int(fields[2])) * _PAGE
    return total


def _memory_file(name: str) -> int:
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
