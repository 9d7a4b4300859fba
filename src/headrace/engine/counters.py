"""Counters of one loop: what it heard, decided and wrote, and how long that took."""

from __future__ import annotations

import msgspec


class LoopCounters(msgspec.Struct):
    """Changed by the loop under its lock. Times are in seconds.

    A *round* is one batch of what workers said, from when it was read until it was recorded and told. ``waiting`` and
    ``running`` count tasks, ``workers`` those that live; ``waits_for`` says, by step, what the attempts wait for that
    have been given to a worker which is not up. These four are as of the snapshot.
    """

    rounds: int = 0
    round_seconds: float = 0.0
    longest_round: float = 0.0
    commits: int = 0
    commit_seconds: float = 0.0
    longest_commit: float = 0.0
    submits: int = 0
    starts: int = 0
    retries: int = 0
    waiting: int = 0
    running: int = 0
    workers: int = 0
    waits_for: dict[str, str] = {}

    def note_round(self, seconds: float) -> None:
        """A round took ``seconds``."""
        self.rounds += 1
        self.round_seconds += seconds
        if seconds > self.longest_round:
            self.longest_round = seconds

    def note_commit(self, seconds: float) -> None:
        """A commit took ``seconds``."""
        self.commits += 1
        self.commit_seconds += seconds
        if seconds > self.longest_commit:
            self.longest_commit = seconds
