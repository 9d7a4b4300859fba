"""Live events: one poller per run (or project), whatever the number of listeners, and none where there is no listener.

The store is the source: a poller reads what is new there, so events of drivers on any machine and of any other server
arrive alike. A *feed* belongs to one run; it puts each event, encoded once, into the queue of every listener. The id of
an event is a position that any server process understands: a listener that comes back with the last one it saw misses
nothing (server-sent events, WHATWG HTML 9.2: ``Last-Event-ID``).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from headrace._base.logs import Log
from headrace.model.errors import HeadraceError
from headrace.server.problems import Problem

_log = Log("server")
#: Seconds between looks at something that changes, at least and at most; looking takes a tenth of the time at most.
_SHORTEST, _LONGEST = 0.15, 2.0
#: Seconds between looks at a run that has ended, at least.
_IDLE = 1.0
#: Seconds for which a feed without listeners stays, for those that come back.
_LINGER = 3.0
#: Events that wait for a slow listener; with more it is cut off, and comes back for the rest.
_WAITING = 1_000
#: Seconds after which a silent stream says that it lives, and its listener's rights are looked at again.
_BEAT = 15.0


class Event(NamedTuple):
    """What happened: ``data`` is encoded as JSON."""

    kind: str
    data: Any


class Source(Protocol):
    """What a feed is of. Its methods are called in threads, never two at a time, except ``since``."""

    def start(self) -> None:
        """Look for the first time; what is there counts as known."""

    def look(self) -> list[Event]:
        """What is new since the last look."""

    def since(self, seen: str, until: str) -> list[Event]:
        """What a listener needs that saw the event with the id ``seen`` (empty: that is new), up to the position
        ``until``; how things stand may be newer."""

    @property
    def position(self) -> str:
        """The id of the last event, for ``since`` of any process."""

    @property
    def idle(self) -> bool:
        """Whether little is expected."""

    @property
    def over(self) -> bool:
        """Whether nothing will come any more, so that listeners are sent away."""


def encode(events: list[Event], position: str) -> bytes:
    """Events as the stream has them. The last one has the id: who has seen a part of them only is told all again."""
    parts = []
    for event in events:
        data = msgspec.json.encode(event.data, enc_hook=str)  # has no line breaks
        parts.append(b"event: %s\ndata: %s\n\n" % (event.kind.encode(), data))
    return b"".join([*parts[:-1], b"id: %s\n" % position.encode(), parts[-1]])


class Listener:
    """Takes the events of a feed, one after the other."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(_WAITING)
        self._lost = False

    def put(self, data: bytes | None) -> None:
        """Hand it an event; None ends it. One that is too slow is ended."""
        try:
            self._queue.put_nowait(data)
        except asyncio.QueueFull:
            self._lost = True

    async def take(self) -> bytes | None:
        """The next event; None at the end. Raises TimeoutError after a while without any."""
        if self._lost:
            return None
        async with asyncio.timeout(_BEAT):
            return await self._queue.get()


class Feed:
    """One poller and its listeners."""

    def __init__(self, source: Source, threads: ThreadPoolExecutor, ended: Callable[[], None]) -> None:
        self._source = source
        self._threads = threads
        self._ended = ended
        self._listeners: set[Listener] = set()
        self._left_alone = time.monotonic()
        self._started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run())

    def __len__(self) -> int:
        return len(self._listeners)

    async def join(self, seen: str) -> tuple[Listener, bytes]:
        """A listener, and what it needs that saw the event ``seen`` last (empty: none)."""
        await asyncio.shield(self._started)
        listener = Listener()
        self._listeners.add(listener)  # first, so that nothing falls between
        position = self._source.position
        try:
            events = await self._in_thread(lambda: self._source.since(seen, position))
        except BaseException:
            self.leave(listener)
            raise
        return listener, encode(events, position) if events else b""

    def leave(self, listener: Listener) -> None:
        """Take a listener off."""
        self._listeners.discard(listener)
        self._left_alone = time.monotonic()

    def stop(self) -> None:
        """End the poller and all listeners."""
        self._task.cancel()
        for listener in self._listeners:
            listener.put(None)

    async def _in_thread(self, call: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    async def _run(self) -> None:
        try:
            await self._in_thread(self._source.start)
            self._started.set_result(None)
            away = False
            while self._listeners or time.monotonic() - self._left_alone < _LINGER:
                began = time.monotonic()
                try:
                    events = await self._in_thread(self._source.look)
                except HeadraceError as error:  # the store is away: the stream stays, and goes on after it
                    if not away:
                        _log.warning("server.feed", str(error))
                    away = True
                    await asyncio.sleep(_LONGEST)
                    continue
                away = False
                self._send(events)
                if self._source.over:
                    break
                took = time.monotonic() - began
                least = _IDLE if self._source.idle else _SHORTEST
                await asyncio.sleep(min(_LONGEST, max(least, 10 * took)))
        except Exception as error:
            if not self._started.done():
                self._started.set_exception(error)
            else:
                _log.error("server.feed", f"{type(error).__name__}: {error}")
        finally:
            self._ended()
            for listener in self._listeners:
                listener.put(None)

    def _send(self, events: list[Event]) -> None:
        if events and self._listeners:
            data = encode(events, self._source.position)
            for listener in self._listeners:
                listener.put(data)


class EventHub:
    """The feeds of this process."""

    def __init__(self, threads: ThreadPoolExecutor, most: int) -> None:
        self._threads = threads
        self._most = most
        self._feeds: dict[Hashable, Feed] = {}

    @property
    def listeners(self) -> int:
        """Streams that are open."""
        return sum(len(feed) for feed in self._feeds.values())

    @property
    def pollers(self) -> int:
        """Feeds that look at the store."""
        return len(self._feeds)

    def check(self) -> None:
        """Raise Problem (503) where no more streams fit."""
        if self.listeners >= self._most:
            raise Problem(503, "listeners", f"{self._most:,} streams are open, and no more fit", headers=_LATER)

    async def listen(self, key: Hashable, source: Callable[[], Source], seen: str) -> AsyncIterator[bytes | None]:
        """Events of the feed ``key``; None every few seconds where there is nothing to say.

        Args:
            source: makes what the feed is of, where there is none yet.
            seen: the id of the last event that the listener saw; empty: none.
        """
        feed = self._feeds.get(key)
        if feed is None:
            feed = self._feeds[key] = Feed(source(), self._threads, lambda: self._forget(key))
        listener, known = await feed.join(seen)
        try:
            if known:
                yield known
            while True:
                try:
                    found = await listener.take()
                except TimeoutError:
                    yield None
                    continue
                if found is None:
                    return
                yield found
        finally:
            feed.leave(listener)

    def _forget(self, key: Hashable) -> None:
        self._feeds.pop(key, None)

    def stop(self) -> None:
        """End all streams; those who listened come back, to this server or another."""
        for feed in list(self._feeds.values()):
            feed.stop()


_LATER = {"Retry-After": "10"}


class EventStream(Response):
    """A stream of events that ends when its reader goes, takes nothing for a while, or may not see it any more.

    Args:
        events: what to send; None where there is nothing to say.
        allowed: raises Problem where the reader may not go on.
        patience: seconds for which a reader may take nothing.
    """

    def __init__(
        self, events: AsyncIterator[bytes | None], allowed: Callable[[], Awaitable[None]], patience: float
    ) -> None:
        super().__init__(None, 200, {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}, "text/event-stream")
        self._events = events
        self._allowed = allowed
        self._patience = patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the end."""
        headers = [one for one in self.raw_headers if one[0] != b"content-length"]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        sending = asyncio.create_task(self._send(send))
        leaving = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, leaving):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sending

    async def _send(self, send: Send) -> None:
        try:
            await self._piece(send, b"retry: 1000\n\n")
            async with contextlib.aclosing(self._events) as events:  # type: ignore[type-var]
                async for data in events:
                    if data is None:
                        await self._allowed()
                    await self._piece(send, data or b": alive\n\n")
        except (Problem, HeadraceError, TimeoutError) as error:  # it comes back, and is told why then
            _log.info("server.stream", f"ended: {type(error).__name__}: {error}")
        await send({"type": "http.response.body", "body": b""})

    async def _piece(self, send: Send, data: bytes) -> None:
        async with asyncio.timeout(self._patience):
            await send({"type": "http.response.body", "body": data, "more_body": True})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def last_seen(request: Request) -> str:
    """The id of the last event that a listener saw; what is not an id counts as none."""
    text = request.headers.get("last-event-id") or request.query_params.get("after", "")
    return text if len(text) <= 200 and text.isascii() else ""
