"""The hidden options of ``resume``, for schedulers; ``integration/test_metaflow_taken_over.py`` has what they make."""

from __future__ import annotations

from typing import Any

_CLONE = ("resume", "--clone-only")
#: With local metadata, the real client finds no step in a run that was cloned only, and fails.
_CODES = {"ignore": ("runs", "prints")}


def scenarios(Scenario: Any, run: Any) -> list[Any]:
    """All of this file; see ``harness.Scenario``."""
    named = ("--reentrant", "--resume-identifier", "third-4")
    wrong = (("resume", "--reentrant"), ("resume", "--run-id", "7"))
    return [
        Scenario("clone-only-finished", "hooked", (("run",), _CLONE, ("=show_file.py", "hooks.txt")), **_CODES),
        Scenario("clone-only-named", "resumed", (("run",), (*_CLONE, *named), (*_CLONE, "second")), **_CODES),
        Scenario("resume-wrong-options", "resumed", (("run",), *wrong), ignore=("runs", "prints", "headlines")),
    ]
