"""One request to the stores over HTTP, and its answer: bodies with limits, versions, errors as problem documents.

Plain ASGI: a commit passes here for each step of a chain, so nothing is in its way that it does not need.
"""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec

from headrace._version import __version__
from headrace.model.states import IllegalTransitionError
from headrace.server.config import Limits
from headrace.server.direct_socket import direct_socket
from headrace.server.hand_over import Threads
from headrace.server.problems import Problem, problem_of
from headrace.stores.metadata.wire import MEDIA_TYPE, PROTOCOL

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
_BINARY = [(b"content-type", MEDIA_TYPE.encode())]


#: Bytes that are gathered before a thread takes them.
_GATHERED = 4 << 20
_VERSION = re.compile(r"([0-9]{1,6})\.([0-9]{1,6})\.([0-9]{1,6})")


class Exchange:
    """A request and the way back.

    Args:
        scope, receive, send: of ASGI.
        limits: what the request may take.
    """

    def __init__(self, scope: Any, receive: Any, send: Any, limits: Limits) -> None:
        self.scope: Scope = scope
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.method: str = scope["method"]
        self._receive: Receive = receive
        self._send: Send = send
        self._limits = limits
        self.began = False  # the head of the answer was sent

    def check_client(self) -> None:
        """Refuse what no client of Headrace sent, and clients that this server does not understand.

        A browser cannot be made to send the header by a page of another site.

        Raises:
            Problem: 400 without a version, 426 for another one.
        """
        version = self.headers.get(b"headrace-version", b"").decode("latin-1")
        if not version:
            raise Problem(400, "no-client", "the stores over HTTP are for clients of Headrace, which say their version")
        protocol = self.headers.get(b"headrace-protocol", str(PROTOCOL).encode())
        problem = version_problem(version) or version_problem(version, protocol.decode("latin-1"))
        if problem:
            raise Problem(426, "version", problem, error="StoreVersionError")

    def expected_size(self, limit: int) -> int:
        """What the client says that the body has; -1 when it does not say.

        Raises:
            Problem: 413, it is more than ``limit``.
        """
        text = self.headers.get(b"content-length", b"")
        size = int(text) if text.isdigit() and len(text) < 19 else -1
        if size > limit:
            raise _too_large(limit)
        return size

    async def pieces(self, limit: int) -> AsyncIterator[bytes]:
        """The body as it comes.

        Raises:
            Problem: 413, it is more than ``limit``; 408, nothing came for long.
            ConnectionError: the client left.
        """
        total, more = 0, True
        with Patience(self._limits.chunk_seconds) as patience:
            while more:
                try:
                    message = await self._receive()
                except asyncio.CancelledError:
                    if patience.is_over:
                        raise _too_slow() from None
                    raise
                patience.renew()
                if message["type"] == "http.disconnect":
                    raise ConnectionError
                piece, more = message.get("body", b""), message.get("more_body", False)
                total += len(piece)
                if total > limit:
                    raise _too_large(limit)
                if piece:
                    yield piece

    async def give_body(self, size: int, take: Callable[[memoryview], None], threads: Threads) -> None:
        """Give the body, of ``size`` bytes, to ``take`` in ``threads``, straight from the socket where that can be. A
        part is good until ``take`` returns. Raises as ``pieces`` does, and what ``take`` raises."""
        direct = direct_socket(self.scope, threads, self._limits.chunk_seconds)
        if direct is not None:
            with direct:
                try:
                    await direct.receive(size, take)
                except TimeoutError:
                    raise _too_slow() from None
            return
        held = bytearray()
        async for piece in self.pieces(size):
            held += piece
            if len(held) >= _GATHERED:
                await threads.run(take, memoryview(held))
                held = bytearray()
        await threads.run(take, memoryview(held))

    async def body(self, limit: int) -> bytes:
        """The whole body; raises as ``pieces`` does."""
        self.expected_size(limit)
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body", False):  # the usual case
            whole: bytes = message.get("body", b"")
            if len(whole) > limit:
                raise _too_large(limit)
            return whole
        if message["type"] == "http.disconnect":
            raise ConnectionError
        first: bytes = message["body"]
        return first + b"".join([piece async for piece in self.pieces(limit - len(first))])

    async def client_left(self) -> None:
        """Returns when the client has broken off; the body must have been read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    # --- the answer ---

    async def answer(self, body: bytes, status: int = 200, headers: list[tuple[bytes, bytes]] = _BINARY) -> None:
        """A whole answer."""
        await self.begin(status, [*headers, (b"content-length", str(len(body)).encode())])
        await self._send({"type": "http.response.body", "body": body})

    async def head_answer(self, size: int) -> None:
        """The answer to HEAD for something of ``size`` bytes."""
        await self.begin(200, [(b"content-length", str(size).encode()), (b"accept-ranges", b"bytes")])
        await self.end()

    async def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """The head of an answer; ``piece`` and ``end`` follow."""
        self.began = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def piece(self, body: Any) -> None:
        """A part of the body. Waits while the client is slow, and leaves one that takes nothing for long."""
        message = {"type": "http.response.body", "body": body, "more_body": True}
        with Patience(self._limits.chunk_seconds) as patience:
            try:
                await self._send(message)
            except asyncio.CancelledError:
                if patience.is_over:
                    raise ConnectionError from None
                raise

    async def file(self, descriptor: int, start: int, end: int, threads: Threads) -> bool:
        """The bytes from ``start`` to before ``end`` of a file as the whole body, after ``begin``; False, and nothing
        was sent, where they cannot go straight to the socket. Leaves a client that takes nothing for long."""
        direct = direct_socket(self.scope, threads, self._limits.chunk_seconds)
        if direct is None:
            return False
        with direct:
            await direct.send_file(descriptor, start, end)
        return True

    async def end(self) -> None:
        """The end of the body."""
        await self._send({"type": "http.response.body", "body": b""})

    async def refuse(self, error: Exception) -> None:
        """Answer with the problem that ``error`` is; raises it where it is a defect of the server, or comes too late.

        After the head of an answer nothing can be said any more: the connection is cut, so that the client notices.
        """
        problem = problem_for(error)
        if problem is None or self.began:
            raise error
        request_id = self.scope.get("request_id", "")
        response = problem.response(request_id)
        headers = [*response.raw_headers]
        self.began = True
        await self._send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        await self._send({"type": "http.response.body", "body": response.body})


def _too_slow() -> Problem:
    return Problem(408, "slow", "the body of the request did not come in time")


class Patience:
    """Cancels what the task waits for when ``seconds`` have passed since ``renew``; use it in a ``with`` statement.

    ``asyncio.timeout`` costs a timer each time; this one has a timer each ``seconds``.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self.is_over = False

    def renew(self) -> None:
        """Begin to wait again."""
        self._renewed = self._loop.time()

    def _look(self) -> None:
        left = self._renewed + self._seconds - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._look)
        elif self._task is not None:
            self.is_over = True
            self._task.cancel()

    def __enter__(self) -> Patience:
        self.renew()
        self._timer = self._loop.call_later(self._seconds, self._look)
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        if self.is_over and self._task is not None:
            self._task.uncancel()


def problem_for(error: Exception) -> Problem | None:
    """The problem that an error is: those of any route, and those of typed arguments."""
    if isinstance(error, msgspec.ValidationError):
        return Problem(422, "arguments", f"the arguments do not fit: {error}", error="UsageError")
    if isinstance(error, (msgspec.DecodeError, UnicodeDecodeError, RecursionError)):
        return Problem(400, "encoding", "the body is not MessagePack", error="UsageError")
    if isinstance(error, OverflowError) or isinstance(error.__cause__, OverflowError):
        return Problem(422, "arguments", f"a number is too large for the database: {error}", error="UsageError")
    if isinstance(error, IllegalTransitionError):
        return Problem(409, "illegal-transition", str(error), error="IllegalTransitionError")
    return problem_of(error)


def _too_large(limit: int) -> Problem:
    return Problem(
        413, "too-large", f"the body of this request has more than {limit:,} bytes, which this server allows"
    )


@functools.lru_cache(64)
def version_problem(client: str, protocol: str = str(PROTOCOL), server: str = __version__) -> str:
    """Why a client of version ``client`` is not understood; empty if it is.

    Clients of the same minor version are, up to the server's own patch version: records of a newer client may have
    fields that the server does not know.
    """
    theirs, own = _numbers(client), _numbers(server)
    if theirs is None or own is None or protocol != str(PROTOCOL) or theirs[:2] != own[:2]:
        shown = client[:40] if client.isascii() and client.isprintable() else "of an unknown version"
        return (
            f"the server is Headrace {server}, this is Headrace {shown}; both must be of the same minor version: "
            f"install headrace=={server} here, or update the server"
        )
    if theirs[2] > own[2]:
        return (
            f"the server is Headrace {server}, this is the newer Headrace {client[:40]}; update the server first, or "
            f"install headrace=={server} here"
        )
    return ""


def _numbers(version: str) -> tuple[int, int, int] | None:
    """Major, minor and patch number; what follows them does not count."""
    found = _VERSION.match(version)
    return None if found is None else (int(found[1]), int(found[2]), int(found[3]))
