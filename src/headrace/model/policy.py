"""What a step asks for: resources, retries, time, cache, isolation. Frozen values, checked when made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from headrace._base.sizes import parse_duration
from headrace.model.environments import Environment, EnvironmentLock
from headrace.model.errors import DefinitionError
from headrace.model.pods import PodSettings


class Resources(msgspec.Struct, frozen=True, array_like=True):
    """What one attempt occupies while it runs: ``cpu`` cores, ``memory`` bytes (0: not bounded), ``gpu`` devices.

    An attempt that uses more memory is ended if it is ``enforced``; else the figure only decides what runs at once.
    """

    cpu: float = 1.0
    memory: int = 0
    gpu: int = 0
    enforced: bool = True

    def __post_init__(self) -> None:
        if self.cpu < 0 or self.memory < 0 or self.gpu < 0:
            raise DefinitionError(f"resources cannot be negative: cpu={self.cpu}, memory={self.memory}, gpu={self.gpu}")


class Retry(msgspec.Struct, frozen=True, array_like=True):
    """When a failed attempt is followed by another.

    Up to ``count`` more attempts. The n-th retry waits ``min(delay * backoff**(n-1), max_delay)``, changed by up to
    ``jitter`` (a fraction); ``delay`` and ``max_delay`` are seconds or texts such as ``"10s"``. ``on`` restricts it to
    some exceptions, given as classes or names (empty: all); a crash counts as ``headrace.TaskCrashedError``, a time-out
    as ``headrace.TaskTimeoutError``. After running out of memory the next attempt asks for ``memory_factor`` times the
    memory.
    """

    count: int = 0
    delay: Any = 0.0
    backoff: float = 2.0
    jitter: float = 0.0
    max_delay: Any = 600.0
    on: Any = ()
    memory_factor: float = 1.0

    def __post_init__(self) -> None:
        force = msgspec.structs.force_setattr
        on: Any = self.on
        on = on if isinstance(on, (tuple, list)) else (on,)
        force(self, "on", tuple([_class_name(one) for one in on]))
        for name in ("delay", "max_delay"):
            try:
                force(self, name, parse_duration(getattr(self, name)))
            except ValueError as error:
                raise DefinitionError(f"retries: {name}: {error}") from None
        if self.count < 0:
            raise DefinitionError(f"retries: count is {self.count}, it cannot be negative")
        if self.delay < 0 or self.max_delay < 0 or self.backoff < 1 or not 0 <= self.jitter <= 1:
            raise DefinitionError(
                "retries: delay and max_delay must be >= 0, backoff >= 1 and jitter between 0 and 1; "
                f"got delay={self.delay}, max_delay={self.max_delay}, backoff={self.backoff}, jitter={self.jitter}"
            )
        if self.memory_factor < 1:
            raise DefinitionError(f"retries: memory_factor is {self.memory_factor}, it must be at least 1")


def _class_name(one: Any) -> str:
    if isinstance(one, str):
        return one
    if not (isinstance(one, type) and issubclass(one, BaseException)):
        raise DefinitionError(f"retries: on={one!r}: it must be an exception class or the name of one")
    # The running script has another name in its workers, so its own classes go by their names alone.
    return one.__name__ if one.__module__ == "__main__" else f"{one.__module__}.{one.__qualname__}"


class StepPolicy(msgspec.Struct, frozen=True, array_like=True):
    """All that ``@step(...)`` may say beside its function.

    ``timeout`` in seconds (0: none) is per attempt. ``place`` says where attempts run (empty: where the run's do),
    ``environment`` with which interpreter and packages (None: those of the run). A session puts the ``lock`` there.
    ``image`` is the container image that attempts run in (empty: none), and ``pod`` what their pods are like beside
    that, in a place that has pods.
    """

    resources: Resources = Resources()
    retry: Retry = Retry()
    timeout: float = 0.0
    isolated: bool = False
    cache: bool = False
    env: tuple[tuple[str, str], ...] = ()
    tags: tuple[str, ...] = ()
    max_parallel: int = 0
    place: str = ""
    secrets: tuple[str, ...] = ()  # names; values are environment variables of its tasks
    environment: Environment | None = None
    lock: EnvironmentLock | None = None
    image: str = ""
    pod: PodSettings | None = None

    @property
    def env_vars(self) -> Mapping[str, str]:
        """The environment variables an attempt runs with, beside those of the driver."""
        return dict(self.env)
