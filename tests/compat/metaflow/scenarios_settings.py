"""Settings from files: ``~/.metaflowconfig``, METAFLOW_HOME, METAFLOW_PROFILE, ``.metaflow/config.json``."""

from __future__ import annotations

from typing import Any


def scenarios(Scenario: Any, run: Any) -> list[Any]:
    """All of this file; see ``harness.Scenario``."""
    return [
        Scenario("tool", "linear", (("run",), ("=ask_tool.py",)), ignore=("runs", "prints")),
        Scenario("import-helpers", "linear", (("=ask_helpers.py",),), ignore=("runs",)),
        Scenario("settings-files", "profiled", (("=ask_profiles.py",),), ignore=("runs", "prints")),
        run("settings-environment", "linear", env={"METAFLOW_DEFAULT_ENVIRONMENT": "nothing"}),
        run("settings-decospecs-wrong", "linear", env={"METAFLOW_DEFAULT_DECOSPECS": "nothing"}),
    ]
