"""Driving the engine without processes: a bench for ``decide``, and a rig that runs ``Loop`` on fakes.

``Bench`` feeds events to ``decide`` under a fake clock and keeps the commands. ``Rig`` is a whole run in one process:
the real loop, a metadata store in dictionaries (or any other), blobs in memory, and ``FakeExecutor``, whose workers are
threads that speak the real protocol.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from blake3 import blake3

from headrace.engine.channel import SocketChannel
from headrace.engine.decide import decide
from headrace.engine.events import (
    AttemptFailed,
    Command,
    Event,
    Record,
    Resolve,
    Schedule,
    Start,
    Submit,
    Succeeded,
    Written,
)
from headrace.engine.loop import Loop
from headrace.engine.ports import WorkerExit, WorkerLink
from headrace.engine.state import EngineState, Recorded, RunOptions
from headrace.engine.tasks import Gang, Task
from headrace.model.calls import Call, PendingInput, PendingSource, StepInfo, StepLoad
from headrace.model.messages import (
    Define,
    Done,
    Execute,
    Failed,
    Output,
    Ready,
    Stop,
    ToDriver,
    Usage,
    frame,
    frames_from_driver,
)
from headrace.model.outcomes import outcome
from headrace.model.pod_history import PodHistory
from headrace.model.policy import Resources, StepPolicy
from headrace.model.records import (
    LEASE_SECONDS,
    ArtifactRecord,
    AttemptRecord,
    Lease,
    RunRecord,
    TaskRecord,
    lease_name,
)
from headrace.model.states import TaskState
from headrace.model.values import Packed, Preview
from headrace.model.workers import LOCAL, Capacity, GangSeat, ServedRun, WorkerSpec
from headrace.runtime.registry import HOME, register
from headrace.services.start import load_recorded
from headrace.services.stores import Stores
from headrace.stores import codecs
from headrace.stores.artifacts.memory import MemoryStore
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.metadata.protocol import MetadataStore, NewRun, Write
from headrace.testing.metadata import MemoryMetadata
from headrace.worker.attempt import run_attempt
from headrace.worker.functions import find_function

_C = TypeVar("_C", bound=Command)


class FakeClock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def advance(self, seconds: float) -> float:
        """Let time pass; returns the new time."""
        self.now += seconds
        return self.now


# --- decide alone -----------------------------------------------------------------------------------------------


def packed(text: str) -> Packed:
    """A small value, equal for equal texts."""
    return Packed("json", blake3(text.encode()).digest(), len(text), text.encode())


def output(text: str, name: str = "result") -> Output:
    """A named output with value ``packed(text)``."""
    return Output(name, packed(text), Preview("str", text))


def usage(started: float, finished: float) -> Usage:
    """What an attempt of that time cost."""
    return Usage(started, finished, finished - started, 1 << 20, (0, 0))


class Bench:
    """``decide`` with a clock and a notebook: ``commands`` are those of the last event, ``log`` all of them."""

    def __init__(self, recorded: Mapping[bytes, Recorded] | None = None, **options: Any) -> None:
        capacity = options.pop("capacity", Resources(cpu=2.0, memory=1 << 30, gpu=0))
        options.setdefault("capacities", {LOCAL: Capacity(capacity, largest=capacity)})
        options.setdefault("run_id", 1)
        self.state = EngineState(RunOptions(**options), recorded)
        self.clock = FakeClock()
        self.commands: list[Command] = []
        self.log: list[Command] = []
        self._steps = 0

    def step(self, name: str = "work", code: bytes = b"v1", seconds: float | None = None, **policy: Any) -> StepInfo:
        """A step; ``policy`` are fields of ``StepPolicy``, or of its resources."""
        self._steps += 1
        resources = {key: policy.pop(key) for key in ("cpu", "memory", "gpu") if key in policy}
        if resources:
            policy["resources"] = Resources(**resources)
        define = Define(self._steps, name)
        return StepInfo(self._steps, name, StepPolicy(**policy), define, code, load=StepLoad(seconds=seconds))

    def feed(self, event: Event) -> list[Command]:
        """Apply one event."""
        self.commands = decide(self.state, event)
        self.log += self.commands
        return self.commands

    def gang(self, step: StepInfo, *arguments: Task | str) -> list[Task]:
        """Call ``step`` as a gang: a node for each argument."""
        tasks = [Task(step, (argument("a0", value),)) for value in arguments]
        Gang(tasks)
        for task in tasks:
            self.feed(Submit(task, self.clock.now))
        return tasks

    def submit(self, step: StepInfo, *arguments: Task | str) -> Task:
        """Call ``step``; tasks among the arguments are dependencies."""
        task = Task(step, tuple(argument(f"a{n}", value) for n, value in enumerate(arguments)))
        self.feed(Submit(task, self.clock.now))
        return task

    def start(self) -> list[Task]:
        """Start what fits; returns the tasks that got a slot, in order."""
        return [start.task for start in of_kind(self.feed(Schedule(self.clock.now)), Start)]

    def succeed(self, task: Task, *outputs: Output, seconds: float = 1.0) -> list[Command]:
        """The attempt of ``task`` finishes."""
        now = self.clock.now
        made = outputs or (output(f"{task.step.name} of {task.key.hex()}"),)
        return self.feed(Succeeded(task.token, made, usage(now - seconds, now), now))

    def fail(self, task: Task, error: str = "ValueError: no", failure: str = "error", **more: Any) -> list[Command]:
        """The attempt of ``task`` fails."""
        more.setdefault("classes", ("builtins.ValueError", "builtins.Exception"))
        usage, where = more.pop("usage", None), more.pop("where", ("", 0))
        return self.feed(AttemptFailed(task.token, outcome(failure)(error, **more), self.clock.now, usage, where))

    def run(self, task: Task, *outputs: Output) -> Task:
        """Start what fits and let ``task``, which must be among it, succeed."""
        self.start()
        self.succeed(task, *outputs)
        return task

    def recorded(self) -> dict[bytes, Recorded]:
        """What a resume would find after everything in ``log`` was committed."""
        tasks: dict[tuple[str, int], TaskRecord] = {}
        artifacts: dict[tuple[str, int], list[Output]] = {}
        for record in written(self.log):
            if isinstance(record, TaskRecord):
                tasks[record.id] = record
            elif isinstance(record, ArtifactRecord):
                found = artifacts.setdefault((record.step, record.number), [])
                found.append(Output(record.name, record.value, record.preview))
        return {
            record.key: Recorded(record, tuple(artifacts[name]) if record.state is TaskState.SUCCEEDED else None)
            for name, record in tasks.items()
        }


def argument(name: str, value: Task | str) -> PendingInput:
    """An argument: a text by value, or the result of a task."""
    if isinstance(value, Task):
        return PendingInput(name, None, (PendingSource(value, "result"),))
    return PendingInput(name, packed(value))


def of_kind(commands: Sequence[Command], kind: type[_C]) -> list[_C]:
    """The commands of one kind."""
    return [command for command in commands if isinstance(command, kind)]


def written(commands: Sequence[Command]) -> list[Written]:
    """All that ``commands`` write, in order."""
    return [write for record in of_kind(commands, Record) for write in record.writes]


def attempts(commands: Sequence[Command]) -> list[AttemptRecord]:
    """The attempts that ``commands`` write, in order: those with rows of their own, and those kept with tasks."""
    rows = [row.lone_attempt if isinstance(row, TaskRecord) else row for row in written(commands)]
    return [row for row in rows if isinstance(row, AttemptRecord)]


def resolved(commands: Sequence[Command]) -> list[Task]:
    """The tasks that ``commands`` end."""
    return [command.task for command in of_kind(commands, Resolve)]


# --- a fake executor --------------------------------------------------------------------------------------------


class FakeLink(SocketChannel):
    """A worker that is a thread. ``occupied`` is what it claims to use of memory; nothing it prints is caught."""

    def __init__(self, sock: socket.socket, theirs: socket.socket, pid: int) -> None:
        super().__init__(sock)
        self.theirs = theirs
        self.pid = pid
        self.occupied = 0
        self.alive = True

    def log_end(self, stream: int) -> int:
        """See ``WorkerLink``."""
        return 0

    def read_log(self, stream: int, start: int, end: int) -> bytes:
        """See ``WorkerLink``."""
        return b""

    def trim_log(self, stream: int, upto: int) -> None:
        """See ``WorkerLink``."""

    def memory(self) -> int:
        """See ``WorkerLink``."""
        return self.occupied


#: Decides how a fake worker answers: it may call ``run`` for the real answer, return another, or the exit code (an
#: int) with which the worker dies instead.
Answer = Callable[[Execute, Callable[[], "Done | Failed"]], "Done | Failed | int"]


class FakeExecutor:
    """An ``Executor`` whose workers are threads of this process. A stopped one is out at once, whatever it does."""

    def __init__(
        self,
        capacity: Resources | None = None,
        store: ArtifactStore | None = None,
        answer: Answer | None = None,
        place: str = LOCAL,
    ) -> None:
        self.place = place
        self.forked = True
        capacity = capacity or Resources(cpu=2.0, memory=1 << 30, gpu=0)
        self.capacity = Capacity(capacity, largest=capacity)
        self.store = store if store is not None else MemoryStore()
        self.answer: Answer = answer or (lambda _, run: run())
        self.links: list[FakeLink] = []
        self.executed: list[str] = []  # "train/1/fit/2", in order of their starts
        self.takes = ("", 0)  # why workers die by no fault of their attempts, and how often these are repeated
        self._ended: list[WorkerExit] = []
        self._lock = threading.Lock()
        self._news = -1

    def start(self) -> None:
        """See ``Executor``."""
        self._news = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def introduce(self, run: ServedRun) -> str:
        """See ``Executor``."""
        return ""

    def claim(self, token: int) -> None:
        """See ``Executor``."""

    def surplus(self, spec: WorkerSpec, idle: Sequence[float]) -> int:
        """See ``Executor``."""
        return 0

    def address_of(self, link: WorkerLink) -> str:
        """See ``Executor``."""
        assert isinstance(link, FakeLink)
        return f"fake-{link.pid}"

    def heard(self, step: str, installed: tuple[str, ...], own: tuple[str, ...]) -> None:
        """See ``Executor``."""

    def pod_histories(self) -> Sequence[PodHistory]:
        """See ``Executor``."""
        return ()

    def spec(self, policy: StepPolicy) -> WorkerSpec:
        """See ``Executor``."""
        return WorkerSpec(self.place, isolated=policy.isolated)

    def provide(self, spec: WorkerSpec, step: str = "", seat: GangSeat | None = None) -> FakeLink:
        """See ``Executor``."""
        ours, theirs = socket.socketpair()
        link = FakeLink(ours, theirs, 100_000 + len(self.links))
        self.links.append(link)
        threading.Thread(target=self._serve, args=(link,), name="headrace-fake-worker", daemon=True).start()
        return link

    def stop(self, link: WorkerLink, grace: float) -> None:
        """See ``Executor``."""
        assert isinstance(link, FakeLink)
        self.die(link, -signal.SIGTERM if grace > 0 else -signal.SIGKILL)

    def die(self, link: FakeLink, code: int) -> None:
        """End a worker: with its exit code, or the negative number of a signal."""
        with self._lock:
            if not link.alive:
                return
            link.alive = False
            why, repeats = self.takes
            self._ended.append(WorkerExit(link, code, False, why, begun=not why, repeats=repeats))
            with contextlib.suppress(OSError):  # it ended by itself just now
                link.theirs.shutdown(socket.SHUT_RDWR)
            if self._news >= 0:
                os.eventfd_write(self._news, 1)

    def resize(self, capacity: Capacity) -> None:
        """Offer another capacity from now on."""
        self.capacity = capacity
        os.eventfd_write(self._news, 1)

    def fileno(self) -> int:
        """See ``Executor``."""
        return self._news

    def exits(self) -> list[WorkerExit]:
        """See ``Executor``."""
        with self._lock:
            try:
                os.eventfd_read(self._news)
            except BlockingIOError:
                pass
            ended, self._ended = self._ended, []
        return ended

    def close(self) -> None:
        """See ``Executor``."""
        for link in self.links:
            self.die(link, -signal.SIGKILL)
        with self._lock:
            news, self._news = self._news, -1
        if news >= 0:
            os.close(news)

    # --- the worker's side ------------------------------------------------------------------------------------

    def _serve(self, link: FakeLink) -> None:
        frames = frames_from_driver()
        known: dict[int, Define] = {}
        with link.theirs:
            self._say(link, Ready(link.pid, "fake"))
            while link.alive:
                try:
                    data = link.theirs.recv(1 << 20)
                except OSError:
                    data = b""
                if not data:  # stopped, or the driver is gone
                    self.die(link, 0)
                    return
                for message in frames.feed(data):
                    if isinstance(message, Define):
                        known[message.step] = message
                    elif isinstance(message, Stop):
                        self.die(link, 0)
                    elif isinstance(message, Execute) and link.alive:
                        self._execute(link, message, known[message.step])

    def _execute(self, link: FakeLink, message: Execute, define: Define) -> None:
        with self._lock:
            self.executed.append(message.task)

        def run() -> Done | Failed:
            return run_attempt(message, define, find_function(define), self.store, lambda: (0, 0))

        answer = self.answer(message, run)
        if isinstance(answer, int):
            self.die(link, answer)
        else:
            self._say(link, answer)

    def _say(self, link: FakeLink, message: ToDriver) -> None:
        with self._lock:
            if link.alive:
                try:
                    link.theirs.sendall(frame(message))
                except OSError:  # the driver is gone
                    link.alive = False


# --- a run in one process ---------------------------------------------------------------------------------------


class FailingCommits:
    """A metadata store whose ``commit`` fails: the ``fail_at``-th (from 0), and with ``always`` all after it.

    With ``written`` the writes are done all the same, as when a connection breaks before the answer arrives.
    """

    def __init__(self, store: MetadataStore, error: Exception, fail_at: int, *, written: bool = False) -> None:
        self._store = store
        self._error = error
        self._fail_at = fail_at
        self._written = written
        self.always = True
        self.commits = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def commit(
        self, writes: Sequence[Write], lease: Lease | None = None, seconds: float = 0.0, number: int = 0
    ) -> None:
        """See ``MetadataStore``."""
        at, self.commits = self.commits, self.commits + 1
        fails = at == self._fail_at or (self.always and at > self._fail_at)
        if not fails or (self._written and at == self._fail_at):
            self._store.commit(writes, lease, seconds, number)
        if fails:
            raise self._error


class Rig:
    """A run driven by the real ``Loop`` with fake workers. Close it, or use it as a context manager.

    ``metadata`` may wrap ``store``, the store that is looked at. With ``run`` it goes on with that run.
    """

    def __init__(
        self,
        *,
        store: MetadataStore | None = None,
        wrap: Callable[[MetadataStore], Any] = lambda store: store,
        artifacts: ArtifactStore | None = None,
        run: RunRecord | None = None,
        answer: Answer | None = None,
        **options: Any,
    ) -> None:
        self.store: MetadataStore = store if store is not None else MemoryMetadata()
        self.artifacts = artifacts if artifacts is not None else MemoryStore()
        self.executor = FakeExecutor(options.pop("capacity", None), self.artifacts, answer)
        import time

        now = time.time()
        recorded: Mapping[bytes, Recorded] = {}
        session = 1
        if run is None:
            new = NewRun(project="default", flow="flow", dialect="native", entry="", created=now)
            self.run = self.store.create_run(new)
        else:
            self.run = run
            session = run.session + 1
            recorded = load_recorded(Stores(self.store, self.artifacts), run.id)
        lease = self.store.acquire(lease_name(self.run.id), "rig", LEASE_SECONDS, dead="rig")
        assert lease is not None
        self.lease = lease
        state = EngineState(RunOptions(run_id=self.run.id, session=session, **options), recorded)
        self.executor.start()
        self.loop = Loop(state, wrap(self.store), self.artifacts, lease, self.run.name)
        self.loop.open_place(self.executor)
        self.loop.start()

    def __enter__(self) -> Rig:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the session; the stores stay as they are."""
        self.loop.close()
        self.store.release(self.lease)

    def step(self, function: Callable[..., Any], code: bytes = b"v1", name: str = "", **policy: Any) -> StepInfo:
        """Make ``function`` a step."""
        number = len(self.loop.steps) + 1
        name = name or function.__name__
        resources = {key: policy.pop(key) for key in ("cpu", "memory", "gpu") if key in policy}
        if resources:
            policy["resources"] = Resources(**resources)
        define = Define(number, name, HOME, register(function))
        info = StepInfo(number, name, StepPolicy(**policy), define, code)
        self.loop.steps[name] = info
        return info

    def submit(self, step: StepInfo, *arguments: Any) -> Task:
        """Call a step; tasks among the arguments are dependencies. Positional parameters are called ``""``."""
        return self.loop.submit(Call(step, tuple(self._argument(value) for value in arguments)))[0]

    def _argument(self, value: Any) -> PendingInput:
        if isinstance(value, Task):
            return PendingInput("", None, (PendingSource(value, "result"),))
        return PendingInput("", codecs.pack(value, self.artifacts))

    def result(self, task: Task, timeout: float = 20.0) -> Any:
        """Wait for a task and read its result; None when it failed (see ``task.problem``)."""
        if not self.loop.wait(task, timeout):
            raise TimeoutError(f"task {task.id} is {task.state} after {timeout:g} s")
        return None if task.problem is not None else codecs.unpack(task.output("result"), self.artifacts)

    def call(self, step: StepInfo, *arguments: Any) -> Any:
        """Call a step and wait for its result."""
        return self.result(self.submit(step, *arguments))


def resume(rig: Rig, **options: Any) -> Rig:
    """Another session of the run of ``rig``, which is closed or broken."""
    run = rig.store.run_by_id(rig.run.id)
    assert run is not None
    return Rig(store=rig.store, artifacts=rig.artifacts, run=msgspec.structs.replace(run), **options)
