"""What the person at the terminal is told of a place: once in a while, however often it happens."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Seconds after which the same notice is given again.
_AGAIN = 60.0


class Notices:
    """Tells of one place. ``tell`` gives a notice."""

    def __init__(self, place: str, tell: Callable[[str], None]) -> None:
        self._place = place
        self._tell = tell
        self._told: dict[str, float] = {}  # notices, and when they were given

    def give(self, key: str, text: str) -> None:
        """Give a notice, unless one with the same key was given within a minute."""
        now = time.monotonic()
        if now - self._told.get(key, -_AGAIN) >= _AGAIN:
            self._told[key] = now
            self._tell(f"place {self._place!r}: {text}")
