"""Steps that tests of several files call."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from headrace import step


@step
def add(a: int, b: int = 1) -> int:
    """Add."""
    return a + b


@step(cpu=0.5, tags=("slow",))
def nap(seconds: float, value: Any = None) -> Any:
    time.sleep(seconds)
    return seconds if value is None else value


@step
def total(values: Any) -> int:
    return sum(values)


@step
def explode(message: str = "no") -> int:
    raise ValueError(message)


@step
async def later(value: int) -> int:
    await asyncio.sleep(0.01)
    return value * 10


@step
def make(n: int) -> bytes:
    return b"x" * n


@step
def size(data: Any) -> int:
    return len(data)


@step
def give(value: Any) -> Any:
    return value
