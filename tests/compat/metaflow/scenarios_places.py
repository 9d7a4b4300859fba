"""Runs that are kept where a setting says."""

from __future__ import annotations

from typing import Any


def scenarios(Scenario: Any, run: Any) -> list[Any]:
    """All of this file; see ``harness.Scenario``."""
    there = {"METAFLOW_DATASTORE_SYSROOT_LOCAL": "there", "HEADRACE_HOME": ""}
    return [
        run("place", "around", env=there),
        Scenario("place-asked", "linear", (("run",), ("=ask_place.py", "there", ".", "nowhere")), env=there),
    ]
