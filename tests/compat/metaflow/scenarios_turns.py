"""Turns that flows take in practice, and that the other files do not have."""

from __future__ import annotations

from typing import Any


def scenarios(Scenario: Any, run: Any) -> list[Any]:
    """All of this file; see ``harness.Scenario``."""
    given = "environment:vars={'GIVEN': 'yes'}"
    show = ("!--with", "timeout:seconds=50", "show")
    return [
        run("own-name", "own_name", "--options", "null"),
        Scenario("own-name-resumed", "own_name", (("run",), ("resume", "pick")), ignore=("parents", "children")),
        Scenario("seen-by-mutators", "seen_by_mutators", (("run",), show)),
        run("seen-by-mutators-with", "seen_by_mutators", "--with", "retry:times=1,minutes_between_retries=0"),
        Scenario("show-loop", "bad_graphs", (("!show",),), env={"BAD": "cycle"}),
        run("seen-by-mutators-given", "seen_by_mutators", "--with", "timeout:seconds=60", "--with", given),
    ]
