"""The artifacts that Metaflow itself makes: in steps, in joins, of tasks of every kind."""

from __future__ import annotations

from typing import Any


def scenarios(Scenario: Any, run: Any) -> list[Any]:
    """All of this file; see ``harness.Scenario``."""
    loops = {"ignore": ("parents", "children")}
    return [Scenario("private", "private", (("run",), ("=ask_private.py",)), **loops)]
