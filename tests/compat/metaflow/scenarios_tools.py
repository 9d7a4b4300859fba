"""What tools and tests around flows read and change: graphs, decorators by name, texts of flows."""

from __future__ import annotations

from typing import Any

_OTHER = {"ignore": ("runs",)}
#: Where the real one has each step look at the flow again, in a process of its own.
_ONCE = ("stdout", "prints")


def scenarios(Scenario: Any, run: Any) -> list[Any]:
    """All of this file; see ``harness.Scenario``."""
    return [
        Scenario("tools-graph", "layered", (("=ask_graph.py",),), **_OTHER),
        Scenario("tools-graph-commands", "layered", (("!output-dot",), ("!show",)), **_OTHER),
        Scenario("tools-flow-text", "layered", (("run",),), ignore=("parents", "children")),
        Scenario("tools-specs", "added", (("!check",),), **_OTHER),
        run("tools-with-own", "added", "--with", "announce:word=w", "--with", "added.Count", ignore=_ONCE),
        run("tools-with-own-wrong", "added", "--with", "Nothing", ignore=_ONCE),
        run("tools-with-own-flow-mutator", "added", "--with", "Looks", ignore=_ONCE),
        run("leaves", "leaves"),
        run("leaves-exit", "leaves", env={"WAYS": "exit base"}),
        run("gang-beside", "gang_beside", ignore=("stdout", "prints", "parents", "children")),
        run("gang-absent", "gang_absent"),
        Scenario("passed-by", "passed_by", (("run",), ("resume", "right"), ("resume", "left"))),
    ]
