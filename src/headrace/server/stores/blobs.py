"""``/api/v1/blobs``: the artifact store over HTTP.

A blob is of no project: who knows its digest, which is that of its content, may have it, if they may see any project.
What is sent here is hashed before it counts. Removing and listing blobs is for admins of the server.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs

import msgspec
from blake3 import blake3

from headrace.model.accounts import Role
from headrace.model.errors import BlobMissingError
from headrace.model.values import Blob
from headrace.server.hand_over import Threads
from headrace.server.problems import Problem, not_found
from headrace.server.stores.access import Access, OpenStores
from headrace.server.stores.exchange import Exchange
from headrace.stores.artifacts.protocol import DIGEST_SIZE, BlobInfo, GivesFiles, GivesLinks, TakesUploads
from headrace.stores.http_client import frame

MIB = 1 << 20
#: Bytes of a request that names blobs, and blobs that it may name.
_NAMES_LIMIT, _MOST_NAMES = 4 * MIB, 10_000
#: Bytes of a blob.
BLOB_LIMIT = 1 << 40
#: Below this many bytes a blob is taken whole.
_WHOLE = 256 << 10
#: Bytes that are sent at once.
_SENT = MIB
#: Seconds for which a link to a bucket is good.
_LINK_SECONDS = 3600.0
_BATCH = 2048

_OCTETS = (b"content-type", b"application/octet-stream")
_BINARY = (b"content-type", b"application/x-msgpack")
_encode = msgspec.msgpack.Encoder().encode
_blobs = msgspec.msgpack.Decoder(list[Blob]).decode


class _Deletion(msgspec.Struct, frozen=True, array_like=True):
    digests: list[bytes]
    before: float


_deletion = msgspec.msgpack.Decoder(_Deletion).decode


class BlobsApi:
    """Answers requests for blobs.

    Args:
        stores: where they are.
        threads: where stores are called.
    """

    def __init__(self, stores: OpenStores, threads: Threads) -> None:
        self._stores = stores
        self._threads = threads

    async def serve(self, name: str, exchange: Exchange, access: Access) -> None:
        """Answer one request; ``name`` is what stands behind ``/blobs/``."""
        method = exchange.method
        if not name and method == "GET":
            access.check(whole=True)
            await self._list(exchange)
        elif method == "POST" and name in ("missing", "renew", "delete"):
            await self._of_many(name, exchange, access)
        elif method == "POST" and name == "upload":
            access.check_somewhere(Role.EDITOR)
            await self._upload(exchange)
        elif method in ("GET", "HEAD", "PUT"):
            digest = _digest(name)
            if method == "PUT":
                access.check_somewhere(Role.EDITOR)
                await self._put(digest, exchange)
            else:
                access.check_somewhere(Role.VIEWER)
                await self._get(Blob(digest, _size(exchange)), exchange)
        else:
            raise Problem(405, "method", "blobs are read by GET and stored by PUT")

    async def _run(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await self._threads.run(work, *arguments)

    # --- reading ---

    async def _get(self, blob: Blob, exchange: Exchange) -> None:
        store = self._stores.artifacts
        if b"headrace-link" in exchange.headers and isinstance(store, GivesLinks) and exchange.method == "GET":
            link: str = await self._run(store.link, blob, _LINK_SECONDS)
            if link:
                await exchange.answer(
                    b"", 307, [(b"location", link.encode("latin-1")), (b"cache-control", b"no-store")]
                )
                return
        if exchange.method == "HEAD":
            if await self._run(store.missing, [blob]):
                raise BlobMissingError(f"blob {blob.hex} is not in {store.url}", blob.digest)
            await exchange.head_answer(blob.size)
            return
        start, end = _range(exchange.headers.get(b"range", b""), blob.size)
        headers = [_OCTETS, (b"content-length", str(end - start).encode()), (b"accept-ranges", b"bytes")]
        whole = (start, end) == (0, blob.size)
        if not whole:
            headers.append((b"content-range", f"bytes {start}-{end - 1}/{blob.size}".encode()))
        if end - start >= _WHOLE and isinstance(store, GivesFiles):
            descriptor: int = await self._run(store.open_file, blob)
            try:
                await exchange.begin(200 if whole else 206, headers)
                if await exchange.file(descriptor, start, end, self._threads):
                    await exchange.end()
                    return
            finally:
                os.close(descriptor)
        view: memoryview = await self._run(store.get, blob)
        if not exchange.began:
            await exchange.begin(200 if whole else 206, headers)
        for at in range(start, end, _SENT):
            await exchange.piece(view[at : min(at + _SENT, end)])
        await exchange.end()

    # --- writing ---

    async def _put(self, digest: bytes, exchange: Exchange) -> None:
        size = _expected(exchange)
        if size < _WHOLE:
            await self._run(self._store_whole, Blob(digest, size), await exchange.body(_WHOLE))
        else:
            await self._take(exchange, size, digest)
        await exchange.answer(b"", 201)

    def _store_whole(self, blob: Blob, body: bytes) -> None:
        if blake3(body).digest() != blob.digest:
            raise _damaged(blob)
        self._stores.artifacts.put((body,))

    async def _upload(self, exchange: Exchange) -> None:
        """A blob whose digest stands behind its bytes, because the client hashes it while it sends."""
        size = _expected(exchange)
        if size < DIGEST_SIZE:
            raise Problem(422, "arguments", f"behind the bytes of the blob stand the {DIGEST_SIZE} of its BLAKE3")
        await self._take(exchange, size - DIGEST_SIZE)
        await exchange.answer(b"", 201)

    async def _take(self, exchange: Exchange, size: int, digest: bytes = b"") -> None:
        """Write and hash a blob while it comes; without ``digest``, that is the rest of the body.

        Raises:
            Problem: it is not what its digest promises.
        """
        store = self._stores.artifacts
        if not isinstance(store, TakesUploads):
            raise Problem(507, "too-large", f"{store.url} does not take large blobs")
        upload = await self._run(store.upload, size)
        try:
            rest, left = bytearray(digest), size

            def take(part: memoryview) -> None:
                nonlocal left
                upload.write(part[:left])
                rest.extend(part[left:])
                left -= min(left, len(part))

            await exchange.give_body(size + DIGEST_SIZE - len(digest), take, self._threads)
            blob = Blob(bytes(rest), size)
            if not await self._run(upload.finish, blob):
                raise _damaged(blob)
        finally:
            await self._run(upload.__exit__, None, None, None)

    # --- many ---

    async def _of_many(self, action: str, exchange: Exchange, access: Access) -> None:
        if action == "delete":
            access.check(whole=True)
            wanted = _deletion(await exchange.body(_NAMES_LIMIT))
            _check_names(wanted.digests)
            freed = await self._run(self._stores.artifacts.delete, wanted.digests, wanted.before)
            await exchange.answer(_encode(freed))
            return
        access.check_somewhere(Role.VIEWER if action == "missing" else Role.EDITOR)
        blobs = _blobs(await exchange.body(_NAMES_LIMIT))
        _check_names([blob.digest for blob in blobs])
        store = self._stores.artifacts
        await exchange.answer(_encode(await self._run(store.missing if action == "missing" else store.renew, blobs)))

    async def _list(self, exchange: Exchange) -> None:
        rows: Iterator[BlobInfo] = await self._run(self._stores.artifacts.list)

        def part() -> list[BlobInfo]:
            return list(itertools.islice(rows, _BATCH))

        batch = await self._run(part)
        await exchange.begin(200, [_BINARY])
        while batch:
            await exchange.piece(frame(_encode(batch)))
            batch = await self._run(part)
        await exchange.piece(frame(b""))
        await exchange.end()


def _expected(exchange: Exchange) -> int:
    """The length of the body.

    Raises:
        Problem: 411, it is not said; 413.
    """
    size = exchange.expected_size(BLOB_LIMIT)
    if size < 0:
        raise Problem(411, "length", "a blob is sent with its Content-Length")
    return size


def _damaged(blob: Blob) -> Problem:
    text = f"blob {blob.hex} came with other bytes than its name promises"
    return Problem(422, "damaged", text, error="StoreAwayError")


def _digest(name: str) -> bytes:
    if len(name) == 64 and all(char in "0123456789abcdef" for char in name):
        return bytes.fromhex(name)
    raise not_found("a blob is named by the 64 hexadecimal digits of its BLAKE3")


def _check_names(digests: list[bytes]) -> None:
    if len(digests) > _MOST_NAMES or any(len(digest) != 32 for digest in digests):
        raise Problem(422, "arguments", f"blobs have names of 32 bytes, at most {_MOST_NAMES:,} of them at once")


def _size(exchange: Exchange) -> int:
    text = parse_qs(exchange.scope.get("query_string", b"").decode("latin-1")).get("size", [""])[-1]
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise Problem(422, "arguments", "say how large the blob is: ?size=BYTES")
    return int(text)


def _range(text: bytes, size: int) -> tuple[int, int]:
    """The bytes that are asked for (RFC 9110, section 14), of a blob of ``size`` bytes; all of them where the header
    says nothing that is understood here.

    Raises:
        Problem: 416, there are no such bytes.
    """
    unit, _, asked = text.decode("latin-1").partition("=")
    first, dash, last = asked.strip().partition("-")
    if unit.strip().lower() != "bytes" or not dash or not all(_is_number(one) for one in (first, last) if one):
        return 0, size
    if first:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return 0, size
    elif last:
        start, end = max(size - int(last), 0), size
    else:
        return 0, size
    if start >= end:
        raise Problem(416, "range", f"the blob has {size} bytes", headers={"Content-Range": f"bytes */{size}"})
    return start, end


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19
