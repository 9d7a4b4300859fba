"""Options and parsers that few flows use."""

from __future__ import annotations

from typing import Any

_FILES = {"settings.yml": "model:\n  rate: 0.5\n", "needed.txt": "numpy==1.26.0\nrequests\n"}


def scenarios(Scenario: Any, run: Any) -> list[Any]:
    """All of this file; see ``harness.Scenario``."""
    return [
        run("config-parsers", "parsed", files=_FILES),
        run("config-parsers-broken", "parsed", files={**_FILES, "settings.yml": "a: ["}),
        run("config-parsers-refused", "parsed", files={**_FILES, "needed.txt": "-r other.txt\n"}),
        Scenario(
            *("top-options", "single"),
            (
                (
                    *("--metadata", "local", "--environment", "local", "--datastore", "local", "--no-pylint"),
                    *("--event-logger", "nullSidecarLogger", "--monitor", "nullSidecarMonitor"),
                    *("--package-suffixes", ".txt", "run"),
                ),
            ),
        ),
        Scenario("top-options-wrong", "single", (("--datastore", "nowhere", "run"), ("--environment", "no", "run"))),
        Scenario("top-options-metadata", "single", (("--metadata", "nowhere", "run"), ("--monitor", "no", "run"))),
        Scenario("top-options-logger", "single", (("--event-logger", "no", "run"), ("--mode", "no", "run"))),
        Scenario("top-options-quiet", "single", (("run",),), env={"METAFLOW_QUIET": "1"}),
        Scenario("top-options-variable", "single", (("run",),), env={"METAFLOW_DATASTORE": "nowhere"}),
    ]
