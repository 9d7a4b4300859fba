"""A step of a run in progress, as the live view sees it."""

from __future__ import annotations

_NOT_BEGUN = ("ready", "waiting")
_LIVE = ("running", "ready", "waiting", "delayed")


class Progress:
    """A step as seen from outside: counts by state, when its first task began, when it last changed."""

    __slots__ = ("changed", "counts", "reported", "since")

    def __init__(self, now: float) -> None:
        self.counts: dict[str, int] = {}
        self.since = now
        self.changed = now
        self.reported = (0, now)

    def see(self, counts: dict[str, int], now: float) -> None:
        """Take in new counts."""
        if all(state in _NOT_BEGUN for state in counts):
            self.since = now
        if counts != self.counts:
            self.counts = counts
            self.changed = now

    @property
    def total(self) -> int:
        """All its tasks so far."""
        return sum(self.counts.values())

    @property
    def done(self) -> int:
        """Tasks that succeeded or were reused."""
        return self.counts.get("succeeded", 0)

    @property
    def failed(self) -> int:
        """Tasks that failed for good."""
        return self.counts.get("failed", 0)

    @property
    def open(self) -> int:
        """Tasks that are not over."""
        return sum(self.counts.get(state, 0) for state in _LIVE)

    def elapsed(self, now: float) -> float:
        """Seconds since its first task began, up to its last change when nothing of it is open."""
        return (now if self.open else self.changed) - self.since
