"""What foreach hands out, and what gangs are told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def scenarios(_: Callable[..., Any], run: Callable[..., Any]) -> list[Any]:
    """Scenarios on items of foreach."""
    return [
        run("lent", "lent"),
        run("gang-place", "gang_place", ignore=("stdout", "prints")),
        run("gang-place-narrow", "gang_place", "--max-num-splits", "1", ignore=("stdout", "prints")),
    ]
