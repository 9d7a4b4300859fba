"""What foreach hands out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def scenarios(_: Callable[..., Any], run: Callable[..., Any]) -> list[Any]:
    """Scenarios on items of foreach."""
    return [
        run("lent", "lent"),
    ]
