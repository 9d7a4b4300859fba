"""Arithmetic of waiting before another try."""

from __future__ import annotations


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
