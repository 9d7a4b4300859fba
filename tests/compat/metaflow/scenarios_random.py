"""Flows made at random (``generate.py``): run, and failing late and resumed."""

from __future__ import annotations

import sys
from typing import Any

#: Of those with ten tasks or more and not so many that the real one takes minutes.
SEEDS = (0, 2, 3, 4, 11, 14, 16, 17, 21, 23, 26, 27, 29, 32, 34, 35, 37, 42, 43, 47, 50, 52, 56, 61, 65, 67, 68)
#: Without loops: the real one numbers the tasks that it takes over as it likes.
RESUMED = (12, 28, 45, 46, 48, 49, 63, 73, 78)


def scenarios(Scenario: Any, run: Any) -> list[Any]:
    """All of this file; see ``harness.Scenario``."""
    generate = sys.modules["compat_metaflow_generate"]
    again = ("run",), ("@touch.py", "fixed"), ("resume",)
    files = {seed: {f"generated-{seed}.py": generate.flow_text(seed)} for seed in (*SEEDS, *RESUMED)}
    loops = ("parents", "children")  # the real one names all tasks of a loop there, and none of a resume
    return [
        *[run(f"random-{seed}", f"generated-{seed}", files=files[seed], ignore=loops) for seed in SEEDS],
        *[
            Scenario(f"random-resumed-{n}", f"generated-{n}", again, files[n], {"FAIL": "1"}, ignore=loops)
            for n in RESUMED
        ],
    ]
