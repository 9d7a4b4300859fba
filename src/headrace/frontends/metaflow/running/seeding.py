"""What a flow file seeds when it is imported. Under Metaflow every task imports the file and so begins with that.

Import this before the file seeds anything: whether it did is told by what generators were like before.
"""

from __future__ import annotations

import random
import sys
from typing import Any

from headrace.worker.randomness import is_seeded

_BEFORE = random.getstate()
#: Numbers that Python's generator makes at a time, and how many times that a file may draw while it is imported.
_ROUND, _ROUNDS = 624, 50


def seeded() -> dict[str, Any]:
    """The states of the generators that were seeded, by the module they are of."""
    states: dict[str, Any] = {}
    now = random.getstate()
    if not _only_drawn(now):
        states["random"] = now
    numpy = sys.modules.get("numpy.random")
    if numpy is not None and is_seeded(numpy):
        states["numpy.random"] = numpy.get_state()
    return states


def seed_again(states: dict[str, Any]) -> None:
    """Put them back, at the beginning of a task."""
    if "random" in states:
        random.setstate(states["random"])
    if "numpy.random" in states:
        import numpy.random

        numpy.random.set_state(states["numpy.random"])


def _only_drawn(now: tuple[Any, ...]) -> bool:
    """Whether the generator comes to ``now`` by making numbers."""
    copy = random.Random()
    copy.setstate(_BEFORE)
    for _ in range(_ROUNDS):
        if copy.getstate()[1][:-1] == now[1][:-1]:
            return True
        copy.getrandbits(32 * _ROUND)
    return False
