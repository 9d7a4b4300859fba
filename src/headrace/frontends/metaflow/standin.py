"""Where the package ``metaflow`` is that stands in for the real one."""

from __future__ import annotations

import os
import sys

SHIM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "shim")  # noqa: PTH100, PTH118, PTH120


def find_first(*folders: str) -> list[str]:
    """Let imports look in these folders first; those of them where they did not look before."""
    added = [one for one in folders if one not in sys.path]
    sys.path[:0] = added
    return added
