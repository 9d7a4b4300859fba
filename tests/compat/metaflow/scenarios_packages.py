"""What mutators, options and settings put into the package of a flow."""

from __future__ import annotations

from typing import Any

_FILES = {"notes.txt": "n", "conf.yaml": "a: 1", "one.json": "1", "two.CFG": "2", "words.sorted": "w", "run.R": "r"}


def scenarios(Scenario: Any, run: Any) -> list[Any]:
    """All of this file; see ``harness.Scenario``."""
    kinds = ("missing", "out", "alone", "two", "default", "twice")
    ask = "=ask_packed.py"
    setting = {"METAFLOW_DEFAULT_PACKAGE_SUFFIXES": ".py,.txt"}
    return [
        Scenario("packed", "packed", ((ask,), ("run",)), files=_FILES),
        *[Scenario(f"packed-{kind}", "packed", ((ask,),), files=_FILES, env={"KIND": kind}) for kind in kinds],
        Scenario("packed-suffixes", "packed", ((ask, "--package-suffixes", ".yaml,.sorted"),), files=_FILES),
        Scenario("packed-setting", "packed", ((ask,),), files=_FILES, env={**setting, "KIND": "default"}),
    ]
