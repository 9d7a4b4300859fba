"""What acts beside a run or not at all: exit hooks, schedules; flows that are made in ways of their own."""

from __future__ import annotations

from typing import Any

_HOOKS = ("=show_file.py", "hooks.txt")


def scenarios(Scenario: Any, run: Any) -> list[Any]:
    """All of this file; see ``harness.Scenario``."""
    kinds = ("hourly", "weekly", "off", "cron", "several", "nothing", "odd-cron")
    again = {"ignore": ("parents", "children")}
    inits = ("rich", "plain", "early", "typed", "levels", "silent")
    return [
        *[run(f"own-init-{kind}", "own_init", env={"KIND": kind}) for kind in inits],
        Scenario("own-init-resumed", "own_init", (("run",), ("resume", "body")), env={"KIND": "rich"}, **again),
        Scenario("own-init-check", "own_init", (("check",), ("!show",), ("run", "--beta")), env={"KIND": "levels"}),
        run("published", "published", files={"words.txt": "words", "data.bin": "x" * 3000}),
        run("plain-decorators", "plain_decorators"),
        run("plain-decorators-hidden", "plain_decorators", env={"HIDE": "1"}),
        Scenario("plain-decorators-shown", "plain_decorators", (("check",), ("!show",), ("run", "--with", "retry"))),
        *[run(f"schedule-{kind}", "scheduled", env={"KIND": kind}) for kind in kinds],
        Scenario("schedule-check", "scheduled", (("check",), ("!show",)), env={"KIND": "cron"}),
        Scenario("hooks-fail", "hooked_badly", (("run", "--tag", "mine"), _HOOKS)),
        Scenario("hooks-fail-error", "hooked_badly", (("run", "--how", "raise"), _HOOKS)),
        Scenario("hooks-resume", "hooked_badly", (("run",), ("resume", "end"), _HOOKS), **again),
        Scenario("hooks-check", "hooked_badly", (("check",), _HOOKS)),
    ]
