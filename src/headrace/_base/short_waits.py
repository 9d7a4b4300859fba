"""Waits that are expected to be short: look again and again for a moment, then sleep.

To be woken takes 50 to 100 microseconds, most of a round trip between a driver and a worker that have little to do. Who
keeps looking for that long does without. It takes a core, so it is done only after a wait that was short, and only
while no other process wants the core: the scheduler is asked each time, and once it gave the core to somebody else,
that counts as an answer for a while. Where a control group allows one core or less, as in a pod with such a limit,
what is spent on looking is missing for work afterwards; so nobody looks there.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from typing import Any

from headrace._base.cores import usable_cores

#: Seconds up to which a wait is short. A round trip with an empty step takes 0.15 to 0.4 ms.
_SHORT = 0.0005
#: Seconds that two looks are apart only where another process ran in between.
_GAP = 0.0001
#: Seconds of sleep alone once that was so: at first, and at most. They double, and shrink while nobody wants the core.
_PAUSE, _LONGEST_PAUSE, _SHRINKS = 0.01, 10.0, 0.98


_cores = functools.cache(usable_cores)


class ShortWaits:
    """The waits of one thread for one thing, each expected to take about as long as the one before."""

    __slots__ = ("_not_before", "_pause", "_short")

    def __init__(self) -> None:
        self._short = False
        self._not_before = 0.0
        self._pause = _PAUSE

    def wait(self, look: Callable[[], Any], sleep: Callable[[], Any], busy: int = 1) -> Any:
        """What ``look`` returns once that is true, or where it takes too long what ``sleep`` returns.

        Args:
            look: says at once whether what is waited for is there.
            sleep: waits for it.
            busy: how many cores are used meanwhile, by who is waited for; nobody looks where that is all of them.
        """
        begin = time.perf_counter()
        found = self._look_on(look, begin) if self._short and begin >= self._not_before and _cores() > busy else None
        if not found:
            found = sleep()
        self._short = time.perf_counter() - begin < _SHORT
        return found

    def _look_on(self, look: Callable[[], Any], begin: float) -> Any:
        last, end = begin, begin + _SHORT
        while last < end:
            found = look()
            if found:
                self._pause = max(_PAUSE, self._pause * _SHRINKS)
                return found
            os.sched_yield()
            now = time.perf_counter()
            if now - last > _GAP:
                self._not_before = now + self._pause
                self._pause = min(_LONGEST_PAUSE, self._pause * 2)
                break
            last = now
        return None
