"""What tasks do to the process they run in, which under Metaflow is theirs alone."""

from __future__ import annotations

from typing import Any


def scenarios(Scenario: Any, run: Any) -> list[Any]:
    """All of this file; see ``harness.Scenario``."""
    return [
        run("alone", "alone", "--max-workers", "1"),
        run("alone-together", "alone"),
        run("odd-texts", "odd_texts"),
    ]
