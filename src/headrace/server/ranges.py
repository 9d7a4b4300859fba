"""Bytes as answers, whole or the range that was asked for, in pieces that a slow reader takes at its own pace."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from headrace.server.problems import Problem
from headrace.stores.artifacts.protocol import Buffer

_PIECE = 256 * 1024
_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


def read_range(header: str, size: int) -> tuple[int, int] | None:
    """The first byte and the one behind the last that ``Range: header`` asks for; None: all of them.

    Several ranges, other units and what is not a range are answered whole, as RFC 9110 (14.2) allows.

    Raises:
        Problem: 416 where it lies behind the end.
    """
    found = _RANGE.fullmatch(header.strip().lower())
    if found is None or found[0] == "bytes=-":
        return None
    first, last = found[1], found[2]
    if not first:
        count = min(int(last), size)
        start, end = size - count, size
    else:
        start, end = int(first), min(int(last) + 1 if last else size, size)
        if last and int(last) < int(first):
            return None
    if start >= end:
        unit = {"Content-Range": f"bytes */{size}"}
        raise Problem(416, "range", f"there are {size} bytes; {header[:60]!r} is none of them", headers=unit)
    return start, end


def slices(parts: Sequence[Buffer], start: int, end: int) -> Iterator[memoryview]:
    """The bytes from ``start`` to before ``end`` of ``parts`` after each other, in pieces."""
    at = 0
    for part in parts:
        view = memoryview(part).cast("B")
        low, high = max(0, start - at), min(len(view), end - at)
        for place in range(low, high, _PIECE):
            yield view[place : min(place + _PIECE, high)]
        at += len(view)


class BytesResponse(Response):
    """Bytes that are in memory, or mapped into it.

    Args:
        request: what is answered; its ``Range``, ``If-Range`` and ``If-None-Match`` count.
        parts: the bytes, in pieces.
        tag: names the content: the same bytes have the same, others another.
        headers: of the answer; the media type too.
        patience: seconds for which a reader may take nothing before it is cut off.
    """

    def __init__(
        self,
        request: Request,
        parts: Sequence[Buffer],
        tag: str,
        headers: Mapping[str, str],
        patience: float = 30.0,
    ) -> None:
        size = sum(memoryview(part).nbytes for part in parts)
        etag = f'"{tag}"'
        own = {"ETag": etag, "Accept-Ranges": "bytes", "Cache-Control": "private, no-cache", **headers}
        asked = None
        if request.headers.get("if-range", etag) == etag:
            asked = read_range(request.headers.get("range", ""), size)
        seen = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
        self._parts = parts
        self._patience = patience
        self._span = asked or (0, size)
        if etag in seen:
            self._span, status = (0, 0), 304
        else:
            status = 206 if asked else 200
            own["Content-Length"] = str(self._span[1] - self._span[0])
        if asked and status == 206:
            own["Content-Range"] = f"bytes {asked[0]}-{asked[1] - 1}/{size}"
        super().__init__(None, status, own)

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        """Take the headers as they are: the length is that of the parts."""
        self.raw_headers = [(name.lower().encode(), text.encode("latin-1")) for name, text in (headers or {}).items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if scope["method"] != "HEAD":
            for piece in slices(self._parts, *self._span):
                async with asyncio.timeout(self._patience):
                    await send({"type": "http.response.body", "body": bytes(piece), "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def attachment(name: str) -> str:
    """``Content-Disposition`` of a file of that name (RFC 6266, RFC 8187): it is saved, never shown as a page."""
    from urllib.parse import quote

    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)[:100] or "file"
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name[:200], safe='')}"
