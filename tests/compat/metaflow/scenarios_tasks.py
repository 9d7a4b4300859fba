"""Tasks as their users know them: ids, ends by signals, nodes without a word, the project early, types, facts."""

from __future__ import annotations

from typing import Any


def scenarios(Scenario: Any, run: Any) -> list[Any]:
    """All of this file; see ``harness.Scenario``."""
    # The first task of a real gang has all that its tasks print.
    nodes = {"ignore": ("stdout", "prints")}
    other = {"ignore": ("runs", "prints", "headlines")}
    one = ("--max-workers", "1")
    return [
        run("numbered", "numbered", *one, ignore=("parents", "children")),
        *(run(f"gang-quiet-{who}", "gang_quiet", "--quiet", who, **nodes) for who in _QUIET),
        *(Scenario(f"dying-{how}", "dying", (("run", "--how", how), ("=ask_dying.py",)), **other) for how in _DEATHS),
        *(Scenario(f"named-{name}", "named", ((*words, "run"),)) for name, words in _NAMED.items()),
        Scenario("surface", "surface", (("run", *one), ("=ask_surface.py",)), **other),
        Scenario("surface-steps", "surface", (("run", *one),)),
        Scenario(
            "facts",
            "facts",
            (("run", *one), ("@touch.py", "touched"), ("resume",), ("=ask_facts.py", "Facts")),
            **other,
        ),
    ]


_RESUMED = (
    ("run", "--max-workers", "1"),
    ("@touch.py", "touched"),
    ("resume", "--max-workers", "1"),
    ("=ask_facts.py", "Facts"),
)
_QUIET = ("nobody", "workers", "first", "all", "elsewhere")
_DEATHS = ("raise", "segv", "null", "exit", "SIGKILL", "SIGTERM", "SIGABRT")
_NAMED = {
    "user": (),
    "branch": ("--branch", "b1"),
    "production": ("--production",),
    "both": ("--production", "--branch", "b2"),
}
