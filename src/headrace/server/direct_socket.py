"""Large bodies that pass between a socket and a file in a few calls of the kernel, beside the parser of requests.

An asynchronous server copies a body three times and wakes the application for each 64 KiB. Here the event loop only
waits until the socket is ready. A thread then receives or sends until the socket has no more, or ``_BURST`` bytes have
passed, so a slow client holds no thread. With TLS there is no such way: what the socket carries is encrypted.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from headrace.server.hand_over import Threads

#: Where the ASGI scope has the protocol of the connection with what it does for this request; and bytes sent beside it.
PROTOCOL, SENT = "headrace.protocol", "headrace.sent"
#: Bytes that are received at once: they stay in the processor's cache until they are hashed and written.
_BUFFER = 1 << 20
#: Bytes after which a thread is free for others.
_BURST = 16 << 20
#: Bytes of a body that nobody wants which are still read, so that the client sees the answer.
_DRAINED = 64 << 20


class DirectSocket:
    """The socket of the request that ``http`` handles now; use it in a ``with`` statement.

    Args:
        http: the protocol of the connection.
        threads: where bytes are received and sent.
        seconds: how long a client may send, or take, nothing.
    """

    def __init__(self, http: HttpToolsProtocol, threads: Threads, seconds: float) -> None:
        self._http = http
        self._cycle = http.cycle
        self._threads = threads
        self._seconds = seconds
        self._left = 0  # bytes of the body that are to come, or to go
        # A descriptor of its own: the transport may close the other one at any moment.
        self._socket = socket.socket(fileno=os.dup(http.transport.get_extra_info("socket").fileno()))
        self._socket.setblocking(False)

    async def receive(self, size: int, take: Callable[[memoryview], None]) -> None:
        """Give the body of ``size`` bytes to ``take``, in parts that are good until it returns, in a thread.

        If ``take`` raises, the rest of the body is read and forgotten, as far as it is worth it.

        Raises:
            ConnectionError: the client left.
            TimeoutError: nothing came for long.
        """
        self._http.transport.pause_reading()
        held, self._cycle.body = memoryview(self._cycle.body), bytearray()
        self._left = size - len(held)
        try:
            await self._threads.run(take, held)
            await self._receive_rest(take)
        except (ConnectionError, TimeoutError):
            self._cycle.keep_alive = False
            raise
        except BaseException:
            await self._drain()
            raise
        self._end_body()

    async def _receive_rest(self, take: Callable[[memoryview], None]) -> None:
        buffer = memoryview(bytearray(min(_BUFFER, self._left)))

        def burst(stopped: Callable[[], bool]) -> bool:
            """Returns whether the socket may have more at once."""
            end = self._left - _BURST
            while self._left > max(end, 0) and not stopped():
                try:
                    count = self._socket.recv_into(buffer[: self._left])
                except BlockingIOError:
                    return False
                if not count:
                    raise ConnectionError
                self._left -= count
                take(buffer[:count])
            return True

        while self._left:
            if not await self._burst(burst):
                await self._ready(reading=True)

    async def _drain(self) -> None:
        """Read what is left; of a very long body the connection is closed after the answer instead."""
        try:
            if self._left <= _DRAINED:
                await self._receive_rest(lambda _: None)
                self._end_body()
                return
        except (ConnectionError, TimeoutError):
            pass
        self._cycle.keep_alive = False

    def _end_body(self) -> None:
        """Let the connection go on with the next request."""
        http = self._http
        if self._cycle.more_body:
            http.parser = httptools.HttpRequestParser(http)
            http.on_message_complete()
        http.flow.read_paused = True
        http.flow.resume_reading()

    async def send_file(self, descriptor: int, start: int, end: int) -> None:
        """Send the bytes from ``start`` to before ``end`` of a file; the head of the answer was sent.

        Raises:
            ConnectionError: the client left, or took nothing for long.
        """
        while self._http.transport.get_write_buffer_size():  # of the head
            await asyncio.sleep(0.001)
        self._left = end - start

        def burst(stopped: Callable[[], bool]) -> bool:
            until = self._left - _BURST
            while self._left > max(until, 0) and not stopped():
                try:
                    count = os.sendfile(self._socket.fileno(), descriptor, end - self._left, min(self._left, _BUFFER))
                except BlockingIOError:
                    return False
                if not count:
                    raise ConnectionError  # the file is shorter than it was
                self._left -= count
            return True

        try:
            while self._left:
                if not await self._burst(burst):
                    await self._ready(reading=False)
        except TimeoutError:
            raise ConnectionError from None
        self._cycle.scope[SENT] = end - start  # type: ignore[literal-required]
        self._cycle.expected_content_length = 0

    # --- the socket ---

    async def _burst(self, burst: Callable[[Callable[[], bool]], bool]) -> bool:
        """``burst(stopped)`` in a thread, which has ended when this returns or raises."""
        stopped = False
        running = self._threads.run(burst, lambda: stopped)
        try:
            return bool(await asyncio.shield(running))
        finally:
            stopped = True
            if not running.done():
                await asyncio.wait([running])

    async def _ready(self, reading: bool) -> None:
        """Wait until the socket has something to read, or takes something.

        Raises:
            TimeoutError: it took long.
        """
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        (loop.add_reader if reading else loop.add_writer)(self._socket, _set, ready)
        try:
            async with asyncio.timeout(self._seconds):
                await ready
        finally:
            (loop.remove_reader if reading else loop.remove_writer)(self._socket)

    def __enter__(self) -> DirectSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def direct_socket(scope: Any, threads: Threads, seconds: float) -> DirectSocket | None:
    """The socket of a request, for its body or its answer; None where both must go through the transport: with TLS, in
    other servers, and where the client has sent the next request already or waits for a word before it sends the body.
    """
    http, cycle = scope.get(PROTOCOL, (None, None))
    if http is None or http.cycle is not cycle or http.pipeline or http.transport.is_closing():
        return None
    if cycle.waiting_for_100_continue or http.transport.get_extra_info("sslcontext") is not None:
        return None
    if any(name == b"transfer-encoding" for name, _ in scope["headers"]):
        return None
    return DirectSocket(http, threads, seconds)
