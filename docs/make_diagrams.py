"""Write the diagrams of docs/architecture.md from the tables in the code. Run by `make docs`.

python docs/make_diagrams.py            # write
python docs/make_diagrams.py --check    # exit 1 when what is there is not what would be written

A diagram stands between ``<!-- diagram: NAME -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from headrace.engine.decide import BY_TOKEN, TABLE
from headrace.engine.events import Handback
from headrace.engine.reactions import IGNORED, IMPOSSIBLE, STATES
from headrace.model.states import (
    ATTEMPT_TRANSITIONS,
    RUN_TRANSITIONS,
    TASK_TRANSITIONS,
    AttemptState,
    RunState,
    TaskState,
)

PAGE = Path(__file__).parent / "architecture.md"
_BLOCK = re.compile(r"(<!-- diagram: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

#: What makes a state follow another, where that is not plain from their names. The tables decide which edges there are.
LABELS: dict[tuple[StrEnum, StrEnum], str] = {
    (TaskState.WAITING, TaskState.READY): "its inputs are there",
    (TaskState.WAITING, TaskState.SUCCEEDED): "recorded before, or cached",
    (TaskState.WAITING, TaskState.FAILED): "a task it needs failed",
    (TaskState.READY, TaskState.RUNNING): "there is room",
    (TaskState.RUNNING, TaskState.DELAYED): "failed, and a retry is due later",
    (TaskState.RUNNING, TaskState.READY): "handed back unstarted",
    (TaskState.RUNNING, TaskState.WAITING): "an input is gone and is made again",
    (TaskState.DELAYED, TaskState.READY): "its time has come",
    (TaskState.SUCCEEDED, TaskState.READY): "its outputs are gone, or it is asked for",
    (TaskState.SUCCEEDED, TaskState.STALE): "the last session did not call it",
    (TaskState.STALE, TaskState.SUCCEEDED): "called again",
}


def diagram(table: Mapping[StrEnum, frozenset[StrEnum]], first: StrEnum) -> str:
    """A mermaid block with every edge of ``table``; states without a way out end there."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {first}"]
    for state, followers in table.items():
        for follower in (other for other in table if other in followers and other is not state):
            label = LABELS.get((state, follower))
            lines.append(f"    {state} --> {follower}" + (f": {label}" if label else ""))
        if not followers:
            lines.append(f"    {state} --> [*]")
    return "\n".join([*lines, "```", ""])


def diagrams() -> dict[str, str]:
    """All diagrams by name.

    Raises:
        SystemExit: a label is for an edge that no table has.
    """
    tables: dict[str, tuple[Mapping[StrEnum, frozenset[StrEnum]], StrEnum]] = {
        "run": (RUN_TRANSITIONS, RunState.RUNNING),  # type: ignore[dict-item]
        "task": (TASK_TRANSITIONS, TaskState.WAITING),  # type: ignore[dict-item]
        "attempt": (ATTEMPT_TRANSITIONS, AttemptState.RUNNING),  # type: ignore[dict-item]
    }
    edges = {
        (state, other) for table, _ in tables.values() for state, followers in table.items() for other in followers
    }
    if set(LABELS) - edges:
        raise SystemExit(f"docs/make_diagrams.py: no table has the edges {sorted(set(LABELS) - edges)}")
    return {name: diagram(table, first) for name, (table, first) in tables.items()} | {"events": events()}


def events() -> str:
    """A table of what each event means for a task in each state, from ``engine.decide``."""
    lines = ["| event | " + " | ".join(STATES) + " |", "|---" * (len(STATES) + 1) + "|"]
    for kind, cells in TABLE.items():
        none = "" if kind in BY_TOKEN | {Handback} else "**impossible**"
        texts = [{IGNORED: "ignored", IMPOSSIBLE: none}.get(cell, cell.text) for cell in cells.values()]
        lines.append(f"| `{kind.__name__}` | " + " | ".join(texts) + " |")
    return "\n".join([*lines, ""])


def run(check: bool) -> int:
    """Write the page, or only compare; returns the exit code."""
    known, before = diagrams(), PAGE.read_text()
    after = _BLOCK.sub(lambda found: found[1] + known[found[2]] + found[3], before)
    if after == before:
        return 0
    if check:
        print("the diagrams of docs/architecture.md are not what the tables in the code say: run `make docs`")
        return 1
    PAGE.write_text(after)
    print("wrote docs/architecture.md")
    return 0


if __name__ == "__main__":
    sys.exit(run("--check" in sys.argv[1:]))
