"""What teams have in their flows besides: how a flow names itself in a log, warnings, decorators of their own."""

from __future__ import annotations

from typing import Any


def scenarios(Scenario: Any, run: Any) -> list[Any]:
    """All of this file; see ``harness.Scenario``."""
    return [
        run("team", "team"),
        Scenario("team-show", "team", (("!show",),)),
    ]
