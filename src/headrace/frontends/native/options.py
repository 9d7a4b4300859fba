"""What a flow says of itself, for the code that runs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from headrace.model.environments import Environment


class FlowOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What ``@flow(...)`` may say."""

    tags: tuple[str, ...] = ()
    max_parallel: int = 0
    keep_going: bool = False
    seed: int | None = None
    cleanup: float | None = None
    environment: Environment | None = None
    on_success: Callable[..., Any] | None = None
    on_failure: Callable[..., Any] | None = None


class Runnable(Protocol):
    """A flow, as launching it needs it."""

    __wrapped__: Callable[..., Any]
    __qualname__: str
    __module__: str
    name: str
    settings: FlowOptions

    @property
    def is_async(self) -> bool:
        """Whether the function is a coroutine function."""
