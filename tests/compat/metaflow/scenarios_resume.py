"""What resume takes over when the flow was edited, and of a resume of a resume; artifacts with odd names."""

from __future__ import annotations

from typing import Any

_AGAIN = {"ignore": ("parents", "children")}  # tasks that were taken over are none to the real client


def scenarios(Scenario: Any, run: Any) -> list[Any]:
    """All of this file; see ``harness.Scenario``."""
    kinds = ("renamed", "renamed-late", "added", "added-early", "removed", "parameter", "longer")
    broken = ("run",), ("resume",)
    return [
        run("odd-names", "odd_names"),
        *[
            Scenario(f"reshaped-{kind}", "reshaped", (("run",), ("@reshape.py", kind), ("resume",)), **_AGAIN)
            for kind in kinds
        ],
        Scenario("reshaped-step", "reshaped", (("run",), ("@reshape.py", "longer"), ("resume", "start")), **_AGAIN),
        Scenario(
            "reshaped-both", "reshaped", (("run",), ("@reshape.py", "added", "renamed"), ("resume", "join")), **_AGAIN
        ),
        Scenario("resumed-thrice", "reshaped", (*broken, ("resume",), ("@reshape.py",), ("resume",)), **_AGAIN),
        Scenario(
            "resumed-of-resume",
            "reshaped",
            (*broken, ("@reshape.py",), ("=commands.py", "resume", "--origin")),
            **_AGAIN,
        ),
    ]
