"""Programs around flows: ``Runner``, ``spin``."""

from __future__ import annotations

from typing import Any

_FILES = {
    "words.txt": "some words",
    "limits.json": '{"word": "from a file"}',
    "not_python.py": "this is not Python\n",
}


def scenarios(Scenario: Any, run: Any) -> list[Any]:
    """All of this file; see ``harness.Scenario``."""
    return [
        # Runs of ``single`` are compared; what a run reached that is ended after a second is a matter of moments.
        Scenario("runner-checks", "single", (("=use_runner_checks.py",),), files=_FILES),
    ]
