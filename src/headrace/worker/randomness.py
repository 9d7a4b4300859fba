"""Random numbers in forked processes: every worker, and every attempt after one that seeded, begins with fresh ones.

Workers are copies of one process. Python's own ``random`` notices a fork; numpy's global generator does not, and all
workers would draw the same numbers.
"""

from __future__ import annotations

import sys
from typing import Any


def refresh(*, forked: bool = False) -> None:
    """Leave no generator as an earlier attempt, or with ``forked`` as the process that was copied, had it.

    numpy's is only touched where it must be: to seed it takes as long as half a small task.
    """
    python = sys.modules.get("random")
    if python is not None:
        python.seed()
    numpy = sys.modules.get("numpy.random")
    if numpy is not None and (forked or is_seeded(numpy)):
        numpy.seed()


def is_seeded(numpy_random: Any) -> bool:
    """Whether somebody called ``numpy.random.seed``: the generator then forgets what entropy it was made of."""
    generator = numpy_random.mtrand._rand._bit_generator
    return getattr(generator, "_seed_seq", generator) is None
