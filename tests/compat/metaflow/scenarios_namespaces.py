"""Where tasks look for objects of the Client API."""

from __future__ import annotations

from typing import Any


def scenarios(Scenario: Any, run: Any) -> list[Any]:
    """All of this file; see ``harness.Scenario``."""
    return [
        run("namespaces", "namespaces"),
        Scenario("namespaces-given", "namespaces", (("run", "--namespace", "user:bob"),)),
        Scenario("namespaces-all", "namespaces", (("run", "--namespace="),)),
    ]
