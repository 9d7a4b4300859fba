"""Where steps ask from: another folder, threads, forked processes, the moments after a step."""

from __future__ import annotations

from typing import Any


def scenarios(Scenario: Any, run: Any) -> list[Any]:
    """All of this file; see ``harness.Scenario``."""
    return [run("places", "places"), run("seeded", "seeded")]
