"""Workers of several environments in one place: each environment has an executor of its own, made when it is needed.

    EnvironmentsExecutor(base, make)

passes what concerns steps without an environment on to ``base``. ``make(lock, run)`` gives the executor for those of an
environment, started.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable, Sequence

from headrace.engine.ports import Executor, Returned, WorkerExit, WorkerLink
from headrace.model.environments import EnvironmentLock
from headrace.model.errors import HeadraceError
from headrace.model.messages import ToDriver, ToWorker
from headrace.model.policy import StepPolicy
from headrace.model.workers import ServedRun, WorkerSpec

Make = Callable[[EnvironmentLock, ServedRun], Executor]


class _Stillborn:
    """The link of a worker that could not be made; its exit says why."""

    where = ("", 0)

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """See ``WorkerLink``; never readable."""
        return self._fd

    def send(self, *messages: ToWorker) -> bool:
        """See ``WorkerLink``."""
        return True

    def flush(self) -> bool:
        """See ``WorkerLink``."""
        return True

    def receive(self) -> list[ToDriver] | None:
        """See ``WorkerLink``."""
        return None

    def close(self) -> None:
        """See ``WorkerLink``."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

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
        return 0


class EnvironmentsExecutor:
    """See ``Executor``."""

    def __init__(self, base: Executor, make: Make) -> None:
        self.place = base.place
        self.capacity = base.capacity  # which all environments share
        self.forked = base.forked  # of workers without an environment
        self._base = base
        self._make = make
        self._run: ServedRun | None = None
        self._locks: dict[str, EnvironmentLock] = {}
        self._specs: dict[tuple[bytes, bool], WorkerSpec] = {}
        self._children: dict[str, Executor] = {}
        self._owners: dict[WorkerLink, Executor] = {}
        self._steps: dict[str, str] = {}  # the environment of a step by its name
        self._refused: list[WorkerExit] = []
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
        key = (lock.digest, policy.isolated)
        found = self._specs.get(key)
        if found is None:
            name = lock.digest.hex()
            self._locks[name] = lock
            found = WorkerSpec(self.place, environment=name, image=lock.image, isolated=policy.isolated)
            self._specs[key] = found
        return found

    def provide(self, spec: WorkerSpec, step: str = "") -> WorkerLink:
        """See ``Executor``."""
        self._steps[step] = spec.environment
        try:
            child = self._of(spec.environment)
        except HeadraceError as error:
            return self._refuse(str(error))
        link = child.provide(spec, step)
        if child is not self._base:
            self._owners[link] = child
        return link

    def _of(self, environment: str) -> Executor:
        if not environment:
            return self._base
        child = self._children.get(environment)
        if child is None:
            assert self._run is not None
            child = self._children[environment] = self._make(self._locks[environment], self._run)
            self._poll.register(child.fileno(), select.EPOLLIN)
        return child

    def _refuse(self, why: str) -> WorkerLink:
        """A worker that ends before it began."""
        link = _Stillborn()
        self._refused.append(WorkerExit(link, -signal.SIGKILL, False, why))
        os.eventfd_write(self._news, 1)
        return link

    def surplus(self, spec: WorkerSpec, idle: Sequence[float]) -> int:
        """See ``Executor``."""
        return self._of(spec.environment).surplus(spec, idle)

    def address_of(self, link: WorkerLink) -> str:
        """See ``Executor``."""
        return self._owners.get(link, self._base).address_of(link)

    def claim(self, token: int) -> Returned | None:
        """See ``Executor``."""
        return self._base.claim(token)

    def heard(self, step: str, installed: tuple[str, ...], own: tuple[str, ...]) -> None:
        """See ``Executor``."""
        self._of(self._steps.get(step, "")).heard(step, installed, own)

    def stop(self, link: WorkerLink, grace: float) -> None:
        """See ``Executor``."""
        self._owners.get(link, self._base).stop(link, grace)

    def fileno(self) -> int:
        """See ``Executor``."""
        return self._poll.fileno()

    def exits(self) -> list[WorkerExit]:
        """See ``Executor``."""
        ended = self._base.exits()
        if self._refused:
            ended = [*ended, *self._refused]
            self._refused.clear()
            os.eventfd_read(self._news)
        self.capacity, self.forked = self._base.capacity, self._base.forked
        for child in self._children.values():
            ended += child.exits()
        for one in ended:
            self._owners.pop(one.link, None)
        return ended

    def close(self) -> None:
        """See ``Executor``."""
        for one in (*self._children.values(), self._base):
            one.close()
        self._owners.clear()
        self._poll.close()
        if self._news >= 0:
            os.close(self._news)
            self._news = -1


_: type[Executor] = EnvironmentsExecutor
