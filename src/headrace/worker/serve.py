"""A worker's life: take attempts from the socket, run them one after the other, answer.

The main thread runs the user's code and, between attempts, reads the socket. A second thread, the steward, looks in
now and then while an attempt runs: it sends what the attempt logged, and hands back attempts that were sent ahead
when the current one takes longer than such attempts should.
"""

from __future__ import annotations

import _thread
import errno
import os
import select
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from headrace._base.contents import Contents, contents_of
from headrace._base.short_waits import ShortWaits
from headrace.model.errors import FlowLoadError, MissingSecretError
from headrace.model.messages import (
    KNOWN_STEPS,
    OWN_FILES_CLOSED,
    Define,
    Done,
    Execute,
    Failed,
    Handback,
    Imported,
    Ready,
    Secrets,
    Stop,
    ToDriver,
    ToWorker,
    frame,
    frames_from_driver,
)
from headrace.runtime import context, randomness, secrets
from headrace.runtime.registry import held_by
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.worker.attempt import run_attempt
from headrace.worker.bindings import Bindings, Setting
from headrace.worker.functions import find_function
from headrace.worker.import_hook import ImportHook
from headrace.worker.imports import ImportWatch
from headrace.worker.leftovers import Leftovers
from headrace.worker.output import Capture
from headrace.worker.surroundings import Surroundings
from headrace.worker.switches import WATCHED, Switches
from headrace.worker.threads import limit_threads

#: Less than malloc takes from the system each time.
_RECEIVE = 1 << 16
#: An attempt that runs longer than this keeps nothing waiting behind it.
_LONG = 0.02
_LOOK = 0.05


def serve(sock: socket.socket, store: ArtifactStore, capture: Capture) -> None:
    """Run attempts until the driver says stop or is gone. ``sock`` is a blocking stream to the driver."""
    _Worker(sock, store, capture).main()


class _Worker:
    def __init__(self, sock: socket.socket, store: ArtifactStore, capture: Capture) -> None:
        self._sock = sock
        self._store = store
        self._capture = capture
        self._pid = os.getpid()
        self._parent = os.getppid()
        self._inbox = _Inbox(sock)
        self._send_lock = threading.Lock()
        self._defines: dict[int, _Defined] = {}
        self._bindings = Bindings(store)
        self._since: float | None = None  # when the current attempt began
        self._busy = threading.Event()
        secrets.withhold()
        self._surroundings = Surroundings()
        self._imports = ImportWatch()
        self._step = ""
        self._switches = Switches()
        self._last = False  # whether something runs here that would print and log into other attempts

    def main(self) -> None:
        ImportHook(WATCHED | frozenset(randomness.GLOBAL), self._imported).install()
        context.folder = self._surroundings.directory
        self._send(Ready(self._pid, socket.gethostname()))
        steward = _thread.start_new_thread(self._steward, ())  # not by ``threading``, which waits until it runs
        self._leftovers = Leftovers(steward)
        while True:
            message = self._inbox.next()
            if message is None or isinstance(message, Stop):
                if self._last:
                    self._leftovers.end()
                return
            if isinstance(message, Define):
                self._define(message)
            elif isinstance(message, Secrets):
                secrets.receive(message.values, message.withheld)
            elif isinstance(message, Execute) and not self._last:  # else the driver has not heard of it yet
                self._execute(message)

    # --- talking ----------------------------------------------------------------------------------------------

    def _send(self, message: ToDriver) -> None:
        with self._send_lock:
            try:
                self._sock.sendall(frame(message))
            except OSError as error:  # the driver is gone, and so is our reason to live
                os._exit(OWN_FILES_CLOSED if error.errno == errno.EBADF else 0)

    # --- working ----------------------------------------------------------------------------------------------

    def _define(self, message: Define) -> None:
        self._defines[message.step] = _Defined(message, self._bindings)
        if len(self._defines) > 2 * KNOWN_STEPS:  # the driver tells of the oldest ones again
            del self._defines[next(iter(self._defines))]

    def _imported(self, name: str) -> None:
        randomness.imported(name)
        self._switches.imported(name)

    def _execute(self, message: Execute) -> None:
        defined = self._defines[message.step]
        define = defined.define
        is_only = self._inbox.stops_next()  # nobody comes after it
        limit_threads(define.threads)
        self._imports.begin()
        self._step = define.name
        if not self._busy.is_set():
            self._busy.set()
        current = context.AttemptContext(message.task, message.attempt, message.token, self._send, self._store)
        context.enter(current)
        function = defined.function
        try:
            variables = secrets.variables_of(define.secrets)
            self._surroundings.enter(define.env, message.gpus, define.surroundings, variables)
        except (OSError, MissingSecretError) as error:
            function = _raiser(error)
        self._bindings.enter(defined.setting)
        if not is_only:
            self._switches.begin()
        randomness.begin(message.seed)
        self._since = time.monotonic()
        answer: Done | Failed
        answer = self._switches.run(run_attempt, message, define, function, self._store, self._capture.ends)
        if os.getpid() != self._pid:
            os._exit(0)  # the step forked, and this is its child: it has no business here
        self._since = None
        self._tell_imports()
        if not is_only:
            if self._switches.restore_loggers():  # which may have printed what handlers kept
                answer = _ending(answer, self._capture.ends())
            self._last = self._leftovers.are_there()
            if self._last:
                print(self._leftovers.notice(), file=sys.stderr, flush=True)
                answer = _ending(answer, self._capture.ends())
        context.enter(None)
        current.flush()
        if not current.reusable and isinstance(answer, Done):
            answer = msgspec.structs.replace(answer, reusable=False)
        if self._last:
            answer = msgspec.structs.replace(answer, last=True)
        self._send(answer)
        # The driver records the answer meanwhile.
        self._capture.repair()
        if not is_only:
            self._surroundings.restore()
        self._bindings.leave()
        defined.renew()
        if not is_only:
            self._switches.restore()

    # --- the steward ------------------------------------------------------------------------------------------

    def _steward(self) -> None:
        idle = 0
        while True:
            if idle > 20:
                self._busy.clear()
                self._busy.wait()
                idle = 0
            time.sleep(_LOOK)
            if os.getppid() != self._parent:  # the server was killed, and we are to go with it
                os.killpg(0, signal.SIGKILL)
            since = self._since
            idle = idle + 1 if since is None else 0
            current = context.current()
            if current is not None:
                current.flush()
            if since is not None:
                self._tell_imports()
                if time.monotonic() - since > _LONG:
                    self._hand_back()

    def _tell_imports(self) -> None:
        installed, own = self._imports.look()
        if installed or own:
            self._send(Imported(self._step, installed, own))

    def _hand_back(self) -> None:
        tokens = self._inbox.take_attempts()
        if tokens:
            self._send(Handback(tokens))


class _Inbox:
    """Messages of the driver that are to be dealt with, in order.

    The main thread takes them out and waits for more. While it runs an attempt, the steward may take the attempts out.
    """

    __slots__ = ("_frames", "_lock", "_messages", "_poll", "_receiving", "_sock", "_waits")

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        self._waits = ShortWaits()
        self._frames = frames_from_driver()
        self._messages: deque[ToWorker] = deque()
        self._lock = threading.Lock()
        self._receiving = False  # whether the main thread reads the socket

    def next(self) -> ToWorker | None:
        """Take out the next message, or wait for one; None when the driver is gone."""
        while True:
            with self._lock:
                if self._messages:
                    return self._messages.popleft()
                self._receiving = True
            try:
                if not self._waits.wait(lambda: self._poll.poll(0), self._poll.poll):
                    continue
                data = self._sock.recv(_RECEIVE)
            except OSError:
                return None
            if not data:
                return None
            with self._lock:
                self._receiving = False
                self._messages.extend(self._frames.feed(data))

    def stops_next(self) -> bool:
        """Whether the next message is here and says to stop."""
        return bool(self._messages) and isinstance(self._messages[0], Stop)

    def take_attempts(self) -> tuple[int, ...]:
        """Take out the attempts that arrived and return their tokens; none while the main thread reads the socket."""
        with self._lock:
            if self._receiving:  # the attempt has just ended; two readers would mix up the order of the bytes
                return ()
            try:
                data = self._sock.recv(_RECEIVE, socket.MSG_DONTWAIT)
            except OSError:
                data = b""
            if data:
                self._messages.extend(self._frames.feed(data))
            tokens = tuple(m.token for m in self._messages if isinstance(m, Execute))
            if tokens:
                self._messages = deque(m for m in self._messages if not isinstance(m, Execute))
            return tokens


def _ending(answer: Done | Failed, log_ends: tuple[int, int]) -> Done | Failed:
    usage = msgspec.structs.replace(answer.usage, log_ends=log_ends)
    return msgspec.structs.replace(answer, usage=usage)


class _Defined:
    """A step as this worker has it. Where its function or names cannot be had, the function raises why."""

    __slots__ = ("_contents", "_held", "define", "function", "setting")

    def __init__(self, define: Define, bindings: Bindings) -> None:
        self.define = define
        self.setting: Setting | None = None
        self.function: Callable[..., Any]
        self._held: list[object] = []
        self._contents: list[Contents | None] = []
        try:
            self.function = find_function(define)
            randomness.look_at(self.function, define.name)
            self.setting = bindings.adopt(define)
            self._hold()
        except Exception as error:  # told to the driver when the step is called
            self.function = _raiser(error)
        except SystemExit as error:
            self.function = _raiser(
                FlowLoadError(
                    f"a worker could not import module {define.module!r}: it ends the program while it is imported "
                    f'(exit code {error.code}); put what it should do as a script under: if __name__ == "__main__":'
                )
            )

    def _hold(self) -> None:
        if self.define.body:
            self._held = held_by(self.function)
            self._contents = [contents_of(one) for one in self._held]

    def renew(self) -> None:
        """Make a function that is no module's anew, when a task has changed what it holds."""
        if not self._held:
            return
        now = held_by(self.function)
        same = len(now) == len(self._held) and all(
            one is other and (contents is None or contents.same(contents_of(one)))
            for one, other, contents in zip(now, self._held, self._contents, strict=True)
        )
        if not same:
            self.function = find_function(msgspec.structs.replace(self.define, slot=-1))
            randomness.look_at(self.function, self.define.name)
            self._hold()


def _raiser(error: Exception) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def run_worker(sock: socket.socket, store: ArtifactStore, capture: Capture) -> None:
    """``serve`` as the whole life of a process; does not return."""
    code = 0
    try:
        serve(sock, store, capture)
    except BaseException as error:
        import traceback

        if isinstance(error, OSError) and error.errno == errno.EBADF:
            print("the step closed files that are not its own, and with them its way to the run", file=sys.stderr)
            code = OWN_FILES_CLOSED
        else:
            traceback.print_exc()
            code = 70
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)
