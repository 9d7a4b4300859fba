"""Waiting before another try."""

from __future__ import annotations

import os
import time


def backoff_delay(retry: int, delay: float, factor: float, longest: float, jitter: float, roll: float) -> float:
    """Seconds before the ``retry``-th retry (from 1): exponential, capped at ``longest``, spread by ``jitter``.

    ``roll`` in [0, 1) chooses the point within ``1 - jitter .. 1 + jitter``; the caller brings it, so that this stays
    a plain function.
    """
    try:
        base = delay * factor ** (retry - 1)
    except OverflowError:
        base = longest
    return float(min(base, longest) * (1 + jitter * (2 * roll - 1)))


class Attempts:
    """Tries of something that may work later, for ``seconds`` at most; prints as how many there were and how long."""

    def __init__(self, seconds: float, *, first: float = 0.2, longest: float = 5.0) -> None:
        self._seconds, self._first, self._longest = seconds, first, longest
        self._began = time.monotonic()
        self.failed = 0

    @property
    def passed(self) -> float:
        """Seconds since the first try began."""
        return time.monotonic() - self._began

    def pause(self) -> bool:
        """Count a try that failed, and sleep before the next; False when the time for tries is over."""
        self.failed += 1
        if self.passed >= self._seconds:
            return False
        # Not from ``random``: its state belongs to the user's code. Many that failed at once come back one by one.
        roll = os.urandom(1)[0] / 256
        time.sleep(backoff_delay(self.failed, self._first, 2.0, self._longest, 0.5, roll))
        return True

    def __str__(self) -> str:
        return f"{self.failed} times in {self.passed:.0f} s" if self.failed > 1 else f"once, for {self.passed:.0f} s"
