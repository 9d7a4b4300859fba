"""The signals of one run as its driver heard them: requests to cancel, answers to questions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from headrace.model.records import Signal


class Inbox:
    """Keeps every signal of the run. Any thread may put one in, look, and wait; ``wake`` is called for each new one."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._changed = threading.Condition()
        self._all: list[Signal] = []
        self._taken = 0
        #: Whether ``take`` would return something.
        self.has_new = False

    def begin(self, before: Iterable[Signal]) -> int:
        """Start with what was said to earlier sessions, which ``take`` does not return; the greatest id of these."""
        self._all = list(before)
        self._taken = len(self._all)
        return self._all[-1].id if self._all else 0

    def put(self, signal: Signal) -> None:
        """Add the newest signal."""
        with self._changed:
            self._all.append(signal)
            self.has_new = True
            self._changed.notify_all()
        self._wake()

    def take(self) -> list[Signal]:
        """Signals since the last call."""
        self.has_new = False  # before the look: what comes during it is looked for again
        new = self._all[self._taken :]
        self._taken += len(new)
        return new

    def answer(self, name: str, place: int) -> Signal | None:
        """The answer number ``place``, from 0, to the question ``name``."""
        answers = [one for one in list(self._all) if one.kind == "answer" and one.name == name]
        return answers[place] if len(answers) > place else None

    def wait(self, seconds: float) -> None:
        """Return when a signal comes, ``stir`` is called, or after ``seconds``."""
        with self._changed:
            self._changed.wait(seconds)

    def close(self) -> None:
        """Hear nothing more; this drops the reference back to the loop."""
        self._wake = lambda: None

    def stir(self) -> None:
        """Let those look again that wait."""
        with self._changed:
            self._changed.notify_all()
