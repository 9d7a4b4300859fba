"""Threads that make the blocking calls of the event loop, with little between the two.

``loop.run_in_executor`` makes two futures, two conditions and two callbacks for each call, which is a fifth of what a
commit through the server takes.
"""

from __future__ import annotations

import asyncio
import itertools
import queue
import threading
from collections.abc import Callable
from typing import Any


class Threads:
    """Up to ``count`` threads, started as calls come; they end with the process.

    Args:
        count: calls that are made at once.
        name: of the threads.
    """

    def __init__(self, count: int, name: str) -> None:
        self._calls: queue.SimpleQueue[tuple[asyncio.Future[Any], Callable[..., Any], tuple[Any, ...]]]
        self._calls = queue.SimpleQueue()
        self._to_start = iter([f"{name}-{number}" for number in range(count)])

    def run(self, work: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:
        """``work(*arguments)`` in a thread. A call that was cancelled before it began is not made."""
        future = asyncio.get_running_loop().create_future()
        self._calls.put((future, work, arguments))
        for name in itertools.islice(self._to_start, 1):
            threading.Thread(target=self._serve, name=name, daemon=True).start()
        return future

    def _serve(self) -> None:
        take = self._calls.get
        while True:
            future, work, arguments = take()
            if future.cancelled():
                continue
            result, error = None, None
            try:
                result = work(*arguments)
            except BaseException as raised:
                error = raised
            try:
                future.get_loop().call_soon_threadsafe(_settle, future, result, error)
            except RuntimeError:  # the loop was closed meanwhile
                pass
            del future, work, arguments, result, error  # nothing is held while the thread waits


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
