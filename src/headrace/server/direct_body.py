"""Large bodies that go from the socket into the memory of the application, past the parser of requests.

A parser of an asynchronous server copies a body three times and wakes the application for each part. For one that is
sent with its length nothing is to be parsed: until its end the socket fills buffers of the application.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: Where the ASGI scope has it.
DIRECT_BODY = "headrace.body"
#: Bytes of a body that nobody wants which are still read, so that the client sees the answer.
_DRAINED = 64 << 20


class DirectBody(asyncio.BufferedProtocol):
    """The body of the request that ``http`` handles now, of ``size`` bytes."""

    def __init__(self, http: HttpToolsProtocol, size: int) -> None:
        self._http = http
        self._transport = http.transport
        self._cycle = http.cycle
        self._left = size
        self._held: memoryview | None = None  # what the parser got; None: nothing was taken yet
        self._view = memoryview(b"")
        self._filled = 0
        self._waiting: asyncio.Future[None] | None = None
        self._lost = False

    async def read_into(self, view: memoryview, progress: Callable[[], None]) -> int:
        """Fill ``view``; returns the number of bytes, which is less at the end alone.

        Args:
            progress: called whenever something came.

        Raises:
            ConnectionError: the client left.
        """
        if self._held is None:
            self._take_over()
        assert self._held is not None
        done = min(len(self._held), len(view))
        view[:done] = self._held[:done]
        self._held = self._held[done:]
        self._left -= done
        rest = view[done : done + self._left]
        if not rest or self._held:
            self._finish()
            return done
        if self._lost:
            raise ConnectionError
        self._view, self._filled, self._progress = rest, 0, progress
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.resume_reading()
        try:
            await self._waiting
        finally:
            self._waiting = None
        self._finish()
        return done + len(rest)

    async def drain(self, progress: Callable[[], None]) -> None:
        """Read what is left and forget it; of a very long body the connection is closed after the answer instead."""
        if self._left > _DRAINED:
            self.abandon()
            return
        scratch = memoryview(bytearray(1 << 20))
        while self._left:
            await self.read_into(scratch, progress)

    def abandon(self) -> None:
        """Leave the rest unread: the connection is closed after the answer."""
        self._cycle.keep_alive = False

    def _take_over(self) -> None:
        self._transport.pause_reading()
        self._held = memoryview(bytes(self._cycle.body))
        self._cycle.body = bytearray()
        if len(self._held) < self._left:
            self._transport.set_protocol(self)

    def _finish(self) -> None:
        """At the end of the body, let the connection go on with the next request."""
        if self._left:
            return
        if self._cycle.more_body:
            self._transport.set_protocol(self._http)
            self._http.parser = httptools.HttpRequestParser(self._http)
            self._http.on_message_complete()
        self._http.flow.read_paused = True
        self._http.flow.resume_reading()

    # --- what the transport calls ---

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._view[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes came."""
        self._filled += nbytes
        self._left -= nbytes
        self._progress()
        if self._filled == len(self._view):
            self._transport.pause_reading()
            if self._waiting is not None and not self._waiting.done():
                self._waiting.set_result(None)

    def eof_received(self) -> None:
        """The client sends no more; the transport closes."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The client left, within the body."""
        self._lost = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionError())
        self._http.connection_lost(exc)

    def pause_writing(self) -> None:
        """The client takes nothing of what it is sent."""
        self._http.pause_writing()

    def resume_writing(self) -> None:
        """It does again."""
        self._http.resume_writing()


def offer_direct_body(http: Any) -> None:
    """Put a ``DirectBody`` into the scope of the request whose headers just came, where it can have one."""
    headers = dict(http.scope["headers"])
    length = headers.get(b"content-length", b"")
    if http.scope["method"] != "PUT" or not length.isdigit() or http.expect_100_continue:
        return
    if http.cycle.scope is http.scope and not http.pipeline and b"transfer-encoding" not in headers:
        http.scope[DIRECT_BODY] = DirectBody(http, int(length))
