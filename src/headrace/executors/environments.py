"""Workers of several environments in one place: each environment has an executor of its own, made when it is needed.

    EnvironmentsExecutor(base, prepare, make)

passes what concerns steps without an environment on to ``base``. ``prepare(lock, step)`` says whether an environment is
there, and else begins to build it; several are built at once. ``make(lock, run)`` then gives the executor for its
workers, started; ``run`` is what ``introduce`` told. Workers that are asked for meanwhile are links that wait.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from headrace.engine.ports import Executor, Returned, WorkerExit, WorkerLink
from headrace.model.environments import EnvironmentLock
from headrace.model.errors import HeadraceError
from headrace.model.messages import ToDriver, ToWorker
from headrace.model.policy import StepPolicy
from headrace.model.workers import GangSeat, ServedRun, WorkerSpec

if TYPE_CHECKING:
    from headrace.model.pod_history import PodHistory


class Preparation(Protocol):
    """An environment that is being built."""

    def when_done(self, tell: Callable[[], None]) -> None:
        """Let ``tell`` be called at its end, by any thread."""

    def is_done(self) -> bool:
        """Whether it has ended."""

    def problem(self) -> str:
        """Why it cannot be built; empty where it was."""

    def leave(self) -> None:
        """It is not needed any more."""


Prepare = Callable[[EnvironmentLock, str], Preparation | None]
Make = Callable[[EnvironmentLock, ServedRun | None], Executor]


class _WaitingLink:
    """The link of a worker that is made once its environment is there; what is sent meanwhile waits.

    It stays the engine's link to that worker. Its descriptor is an epoll that holds the worker's.
    """

    def __init__(self, spec: WorkerSpec, step: str) -> None:
        self.spec = spec
        self.step = step
        self.inner: WorkerLink | None = None
        self.refused = False
        self._backlog: list[ToWorker] = []
        self._epoll = select.epoll()
        self._flushing = False

    @property
    def where(self) -> tuple[str, int]:
        """See ``WorkerLink``."""
        return self.inner.where if self.inner is not None else ("", 0)

    @property
    def waits_for(self) -> str:
        """See ``WorkerLink``."""
        return self.inner.waits_for if self.inner is not None else "its environment is being built"

    def attach(self, inner: WorkerLink) -> None:
        """Speak to this worker."""
        self.inner = inner
        self._epoll.register(inner.fileno(), select.EPOLLIN)
        backlog, self._backlog = self._backlog, []
        if backlog:
            self.send(*backlog)

    def fileno(self) -> int:
        """See ``WorkerLink``."""
        return self._epoll.fileno()

    def send(self, *messages: ToWorker) -> bool:
        """See ``WorkerLink``. What cannot go at once goes with the next ``receive``."""
        if self.inner is None:
            self._backlog += messages
        elif not self.inner.send(*messages):
            self._flushing = True
            self._epoll.modify(self.inner.fileno(), select.EPOLLIN | select.EPOLLOUT)
        return True

    def flush(self) -> bool:
        """Nothing is left to the caller."""
        return True

    def receive(self) -> list[ToDriver] | None:
        """See ``WorkerLink``."""
        if self.inner is None:
            return None if self.refused else []
        if self._flushing and self.inner.flush():
            self._flushing = False
            self._epoll.modify(self.inner.fileno(), select.EPOLLIN)
        return self.inner.receive()

    def close(self) -> None:
        """See ``WorkerLink``."""
        if not self._epoll.closed:
            self._epoll.close()
            if self.inner is not None:
                self.inner.close()

    def log_end(self, stream: int) -> int:
        """See ``WorkerLink``."""
        return self.inner.log_end(stream) if self.inner is not None else 0

    def read_log(self, stream: int, start: int, end: int) -> bytes:
        """See ``WorkerLink``."""
        return self.inner.read_log(stream, start, end) if self.inner is not None else b""

    def trim_log(self, stream: int, upto: int) -> None:
        """See ``WorkerLink``."""
        if self.inner is not None:
            self.inner.trim_log(stream, upto)

    def memory(self) -> int:
        """See ``WorkerLink``."""
        return self.inner.memory() if self.inner is not None else 0


class EnvironmentsExecutor:
    """See ``Executor``."""

    def __init__(self, base: Executor, prepare: Prepare, make: Make) -> None:
        self.place = base.place
        self.capacity = base.capacity  # which all environments share
        self.forked = base.forked  # of workers without an environment
        self._base = base
        self._prepare = prepare
        self._make = make
        self._run: ServedRun | None = None
        self._locks: dict[str, EnvironmentLock] = {}
        self._specs: dict[tuple[bytes, bool], WorkerSpec] = {}
        self._children: dict[str, Executor] = {}
        self._building: dict[str, Preparation] = {}
        self._waiting: dict[str, list[_WaitingLink]] = {}
        self._problems: dict[str, str] = {}  # why an environment cannot be had in this run
        self._owners: dict[WorkerLink, Executor] = {}
        self._outer: dict[WorkerLink, _WaitingLink] = {}
        self._steps: dict[str, str] = {}  # the environment of a step by its name
        self._ended: list[WorkerExit] = []
        self._news = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.epoll()
        self._poll.register(self._news, select.EPOLLIN)

    def start(self) -> None:
        """See ``Executor``."""
        self._base.start()
        self.forked = self._base.forked
        self._poll.register(self._base.fileno(), select.EPOLLIN)

    def introduce(self, run: ServedRun) -> str:
        """See ``Executor``."""
        self._run = run
        for one in self._children.values():
            one.introduce(run)
        return self._base.introduce(run)

    def spec(self, policy: StepPolicy) -> WorkerSpec:
        """See ``Executor``."""
        lock = policy.lock
        if lock is None or not lock.python:  # a command in an image: its worker is a process of this machine
            return self._base.spec(policy)
        return self.spec_of(lock, isolated=policy.isolated)

    def spec_of(self, lock: EnvironmentLock, *, isolated: bool) -> WorkerSpec:
        """What workers of the environment or image of ``lock`` are like here."""
        key = (lock.digest, isolated)
        found = self._specs.get(key)
        if found is None:
            name = lock.digest.hex()
            self._locks[name] = lock
            found = WorkerSpec(self.place, environment=name, image=lock.image, isolated=isolated)
            self._specs[key] = found
        return found

    def provide(self, spec: WorkerSpec, step: str = "", seat: GangSeat | None = None) -> WorkerLink:
        """See ``Executor``."""
        name = self._steps[step] = spec.environment
        if not name:
            return self._base.provide(spec, step)
        if name not in self._children and name not in self._building and name not in self._problems:
            self._begin(name, step)
        child = self._children.get(name)
        if child is not None:
            link = child.provide(spec, step)
            self._owners[link] = child
            return link
        waiting = _WaitingLink(spec, step)
        self._waiting.setdefault(name, []).append(waiting)
        if name in self._problems:
            self._settle(name)
        return waiting

    def _begin(self, name: str, step: str) -> None:
        """Have the environment: at once, if it is there."""
        try:
            preparation = self._prepare(self._locks[name], step)
            if preparation is None:
                self._adopt(name)
            else:
                self._building[name] = preparation
                preparation.when_done(self._wake)
        except HeadraceError as error:
            self._problems[name] = str(error)

    def _adopt(self, name: str) -> None:
        child = self._children[name] = self._make(self._locks[name], self._run)
        self._poll.register(child.fileno(), select.EPOLLIN)

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # the run is over
            os.eventfd_write(self._news, 1)

    def _built(self) -> None:
        """Go on with environments whose preparation has ended."""
        for name, preparation in list(self._building.items()):
            if preparation.is_done():
                del self._building[name]
                problem = preparation.problem()
                preparation.leave()
                if not problem:
                    try:
                        self._adopt(name)
                    except HeadraceError as error:
                        problem = str(error)
                if problem:
                    self._problems[name] = problem
                self._settle(name)

    def _settle(self, name: str) -> None:
        """Give workers to the links that wait for an environment, or end them."""
        child = self._children.get(name)
        for link in self._waiting.pop(name, []):
            if child is None:
                link.refused = True
                self._ended.append(WorkerExit(link, -signal.SIGKILL, False, refused=self._problems[name]))
            else:
                inner = child.provide(link.spec, link.step)
                self._outer[inner], self._owners[link] = link, child
                link.attach(inner)
        if self._ended:
            self._wake()

    def pod_histories(self) -> Sequence[PodHistory]:
        """See ``Executor``."""
        return self._base.pod_histories()

    def surplus(self, spec: WorkerSpec, idle: Sequence[float]) -> int:
        """See ``Executor``."""
        child = self._children.get(spec.environment) if spec.environment else self._base
        return child.surplus(spec, idle) if child is not None else 0

    def address_of(self, link: WorkerLink) -> str:
        """See ``Executor``."""
        return self._owners.get(link, self._base).address_of(_inner(link))

    def claim(self, token: int) -> Returned | None:
        """See ``Executor``."""
        return self._base.claim(token)

    def heard(self, step: str, installed: tuple[str, ...], own: tuple[str, ...]) -> None:
        """See ``Executor``."""
        name = self._steps.get(step, "")
        child = self._children.get(name) if name else self._base
        if child is not None:
            child.heard(step, installed, own)

    def stop(self, link: WorkerLink, grace: float) -> None:
        """See ``Executor``."""
        if isinstance(link, _WaitingLink) and link.inner is None:
            for waiting in self._waiting.values():
                if link in waiting:
                    waiting.remove(link)
                    link.refused = True
                    self._ended.append(WorkerExit(link, -signal.SIGKILL if grace <= 0 else -signal.SIGTERM, False))
                    self._wake()
            return
        self._owners.get(link, self._base).stop(_inner(link), grace)

    def fileno(self) -> int:
        """See ``Executor``."""
        return self._poll.fileno()

    def exits(self) -> list[WorkerExit]:
        """See ``Executor``."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._news)
        if self._building:
            self._built()
        ended = self._base.exits()
        self.capacity, self.forked = self._base.capacity, self._base.forked
        for child in self._children.values():
            ended += child.exits()
        if self._outer:
            ended = [self._as_outer(one) for one in ended]
        if self._ended:
            ended += self._ended
            self._ended = []
        for one in ended:
            self._owners.pop(one.link, None)
        return ended

    def _as_outer(self, ended: WorkerExit) -> WorkerExit:
        outer = self._outer.pop(ended.link, None)
        return ended if outer is None else msgspec.structs.replace(ended, link=outer)

    def close(self) -> None:
        """See ``Executor``."""
        for preparation in self._building.values():
            preparation.leave()
        self._building.clear()
        for one in (*self._children.values(), self._base):
            one.close()
        self._owners.clear()
        self._outer.clear()
        self._poll.close()
        if self._news >= 0:
            os.close(self._news)
            self._news = -1


def _inner(link: WorkerLink) -> WorkerLink:
    return link.inner if isinstance(link, _WaitingLink) and link.inner is not None else link


_: type[Executor] = EnvironmentsExecutor
