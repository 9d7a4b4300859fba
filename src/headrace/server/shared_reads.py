"""Equal requests for reading share one reading, which began after each of them had come: no answer is older than that.

A page that many look at is read as often as it can be read, not once for each of them.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

R = TypeVar("R")


class _Reading(Generic[R]):
    """One reading; ``begun`` is set by its thread before it looks at anything."""

    def __init__(self, read: Callable[[], R], threads: concurrent.futures.Executor, ended: asyncio.Future[R]) -> None:
        self._read = read
        self.threads = threads
        self.ended = ended
        self.begun = False

    def __call__(self) -> R:
        self.begun = True
        return self._read()


class SharedReads(Generic[R]):
    """The readings that are under way, by what they read. Used on the loop alone.

    Of each key at most one reading runs and one waits for it to end. A request joins the running one if that has not
    begun yet, else the waiting one.
    """

    def __init__(self) -> None:
        self._running: dict[Hashable, _Reading[R]] = {}
        self._waiting: dict[Hashable, _Reading[R]] = {}

    async def get(self, key: Hashable, read: Callable[[], R], threads: concurrent.futures.Executor) -> R:
        """What ``read`` returns or raises in a thread of ``threads``, or the same of an equal request that is answered
        with this one."""
        running = self._running.get(key)
        if running is None:
            reading = self._begin(key, _Reading(read, threads, asyncio.get_running_loop().create_future()))
        elif not running.begun:
            reading = running
        else:
            reading = self._waiting.get(key) or _Reading(read, threads, asyncio.get_running_loop().create_future())
            self._waiting[key] = reading
        return await asyncio.shield(reading.ended)  # one request that is broken off leaves the others theirs

    def _begin(self, key: Hashable, reading: _Reading[R]) -> _Reading[R]:
        self._running[key] = reading
        asyncio.get_running_loop().run_in_executor(reading.threads, reading).add_done_callback(
            lambda done: self._end(key, reading, done)
        )
        return reading

    def _end(self, key: Hashable, reading: _Reading[R], done: asyncio.Future[R]) -> None:
        following = self._waiting.pop(key, None)
        if following is None:
            del self._running[key]
        else:
            self._begin(key, following)
        if done.cancelled():
            reading.ended.cancel()
        elif (error := done.exception()) is not None:
            reading.ended.set_exception(error)
            reading.ended.exception()  # nobody may wait for it any more
        else:
            reading.ended.set_result(done.result())
