"""Seconds between two looks of a driver at what is not reported to it.

Tests stretch them by the environment variable ``HEADRACE_TEST_LOOK``, to show that nothing else waits for a look.
"""

from __future__ import annotations

import os

_given = os.environ.get("HEADRACE_TEST_LOOK")

#: While tasks are live, and while none is.
look: float = float(_given) if _given else 0.1
slow_look: float = float(_given) if _given else 1.0
