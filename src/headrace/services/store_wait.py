"""Waiting for stores that are away when a run starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from headrace._base.retry import Attempts
from headrace._base.sizes import format_duration
from headrace.model.errors import StoreAwayError
from headrace.services.notices import print_notice

R = TypeVar("R")

#: Seconds between two tries of a start: at first, and at most.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 1.0


class StoreWait:
    """Calls a function until the store that it needs answers, for ``seconds`` in all; prints when it begins to wait."""

    def __init__(self, seconds: float, tell: Callable[[str], None] = print_notice) -> None:
        self._seconds = seconds
        self._tell = tell

    def __call__(self, call: Callable[[], R]) -> R:
        """What ``call`` returns.

        Raises:
            StoreAwayError: the store did not answer in time.
        """
        try:
            return call()
        except StoreAwayError as error:
            if self._seconds <= 0:
                raise
            attempts = Attempts(self._seconds, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE)
            limit = format_duration(self._seconds)
            self._tell(f"the run starts as soon as its store answers, and is given up after {limit}: {error}")
            last = error
        while attempts.pause():
            try:
                found = call()
            except StoreAwayError as error:
                last = error
                continue
            self._tell(f"the store answers, after {format_duration(attempts.passed)}; the run starts")
            self._seconds -= attempts.passed
            return found
        self._seconds = 0.0
        raise StoreAwayError(
            f"the run was not started, because its store did not answer for {limit} (setting store_wait): {last}"
        ) from last
