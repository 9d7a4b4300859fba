"""What a step asks for: resources, retries, time, cache, isolation. Frozen values, checked when made."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from headrace.model.errors import DefinitionError


class Resources(msgspec.Struct, frozen=True, array_like=True):
    """What one attempt occupies while it runs: ``cpu`` cores, ``memory`` bytes (0: not bounded), ``gpu`` devices."""

    cpu: float = 1.0
    memory: int = 0
    gpu: int = 0

    def __post_init__(self) -> None:
        if self.cpu < 0 or self.memory < 0 or self.gpu < 0:
            raise DefinitionError(f"resources cannot be negative: cpu={self.cpu}, memory={self.memory}, gpu={self.gpu}")


class Retry(msgspec.Struct, frozen=True, array_like=True):
    """When a failed attempt is followed by another.

    Up to ``count`` more attempts; the n-th retry waits ``min(delay * backoff**(n-1), max_delay)`` seconds, changed by
    up to ``jitter`` (a fraction) at random. ``on`` restricts it to exceptions whose class, or a base of it, has one
    of these qualified names (empty: all); a crash or a time-out counts as ``headrace.TaskCrashedError`` and so on.
    After running out of memory the next attempt asks for ``memory_factor`` times the memory.
    """

    count: int = 0
    delay: float = 0.0
    backoff: float = 2.0
    jitter: float = 0.0
    max_delay: float = 600.0
    on: tuple[str, ...] = ()
    memory_factor: float = 1.0

    def __post_init__(self) -> None:
        if self.count < 0:
            raise DefinitionError(f"retries: count is {self.count}, it cannot be negative")
        if self.delay < 0 or self.max_delay < 0 or self.backoff < 1 or not 0 <= self.jitter <= 1:
            raise DefinitionError(
                "retries: delay and max_delay must be >= 0, backoff >= 1 and jitter between 0 and 1; "
                f"got delay={self.delay}, max_delay={self.max_delay}, backoff={self.backoff}, jitter={self.jitter}"
            )
        if self.memory_factor < 1:
            raise DefinitionError(f"retries: memory_factor is {self.memory_factor}, it must be at least 1")


class StepPolicy(msgspec.Struct, frozen=True, array_like=True):
    """All that ``@step(...)`` may say beside its function. ``timeout`` in seconds (0: none) is per attempt."""

    resources: Resources = Resources()
    retry: Retry = Retry()
    timeout: float = 0.0
    isolated: bool = False
    cache: bool = False
    env: tuple[tuple[str, str], ...] = ()
    tags: tuple[str, ...] = ()
    max_parallel: int = 0

    @property
    def env_vars(self) -> Mapping[str, str]:
        """The environment variables an attempt runs with, beside those of the driver."""
        return dict(self.env)
