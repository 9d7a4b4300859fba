"""The artifact store of a Headrace server, over HTTP.

What goes up is hashed here and again by the server. What comes down is fetched from the bucket behind the server where
it gives a link, else from the server, in ranges after a broken connection; it is checked here in any case.
"""

from __future__ import annotations

import math
import mmap
import queue
import threading
import time
import urllib.parse
from collections.abc import Iterable, Iterator, Sequence

import msgspec
from blake3 import blake3

from headrace._base.logs import Log
from headrace.model.errors import BlobCorruptError, BlobMissingError, HeadraceError, StoreAwayError
from headrace.model.values import Blob
from headrace.stores.artifacts.hashing import as_bytes_view, digest_of
from headrace.stores.artifacts.protocol import BlobInfo, Buffer
from headrace.stores.http_client import (
    ANSWER_SECONDS,
    DRIVER_SECONDS,
    LINK,
    Endpoint,
    HttpClient,
    Request,
)

_log = Log("store")

#: How long calls are tried again while the server does not answer.
PATIENCE_SECONDS = 60.0
#: From this size on a blob is asked for before it is sent, and fetched by a link where there is one.
LARGE = 256 << 10
#: From this size on memory for a blob comes from the system, which gives it back.
_MAPPED_FROM = 1 << 20
#: Seconds for which links are not used after one that led nowhere: the bucket may not be reached from here.
_LINKS_AFTER = 60.0
_BLOBS_AT_ONCE = 10_000
#: After so many bytes a download that breaks off goes on where it was.
_CHUNK = 8 << 20
#: From this size on a blob is hashed while it comes.
_HASHED_BEHIND = 16 << 20

_headers = {"Content-Type": "application/x-msgpack"}
_encode = msgspec.msgpack.Encoder().encode
_blobs = msgspec.msgpack.Decoder(list[Blob]).decode
_infos = msgspec.msgpack.Decoder(list[BlobInfo]).decode
_count = msgspec.msgpack.Decoder(int).decode


class HttpArtifacts:
    """An ``ArtifactStore`` behind a server.

    Args:
        endpoint: the server.
        patient: whether calls wait for a server that does not answer.
    """

    def __init__(self, endpoint: Endpoint, *, patient: bool = True) -> None:
        self.url = endpoint.url
        self._endpoint = endpoint
        self._patient = patient
        self._seconds = ANSWER_SECONDS if patient else DRIVER_SECONDS
        self._client = HttpClient(endpoint, PATIENCE_SECONDS if patient else 0.0)
        self._links_from = -math.inf

    def __repr__(self) -> str:
        return f"HttpArtifacts({self.url!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return _make, (self.url, self._endpoint.token())  # it goes to workers of this process, by a pipe

    def hasty(self) -> HttpArtifacts:
        """See the protocol."""
        return HttpArtifacts(self._endpoint, patient=False)

    # --- writing ---

    def put(self, parts: Sequence[Buffer]) -> Blob:
        """Store the concatenation of ``parts``; see the protocol."""
        views = [as_bytes_view(part) for part in parts]
        size = sum([view.nbytes for view in views])
        blob = Blob(digest_of(views, size), size)
        self.put_named(blob, views)
        return blob

    def put_named(self, blob: Blob, parts: Sequence[Buffer]) -> None:
        """Like ``put`` for bytes whose name is already known to be ``blob``."""
        views = [as_bytes_view(part) for part in parts]
        if blob.size >= LARGE and not self.renew([blob]):
            return
        body = bytes(views[0]) if len(views) == 1 and blob.size < LARGE else views
        self._client.ask(Request("PUT", f"/blobs/{blob.hex}", body, seconds=self._seconds))

    # --- reading ---

    def get(self, blob: Blob) -> memoryview:
        """The verified bytes of ``blob``, in private memory; see the protocol."""
        if blob.size >= LARGE and time.monotonic() >= self._links_from:
            view = self._by_link(blob)
            if view is not None:
                return view
        view, digest = self._from_server(blob)
        if digest != blob.digest:
            raise BlobCorruptError(f"blob {blob.hex} came from {self.url} with other bytes than it has", blob.digest)
        return view

    def _from_server(self, blob: Blob) -> tuple[memoryview, bytes]:
        """The bytes as they came, and their digest, which is made while they come."""
        view, done = _memory(blob.size), 0
        hashing = _HashBehind() if blob.size >= _HASHED_BEHIND else None

        def go_on() -> None:
            nonlocal done
            with self._client.stream(self._read(blob, done)) as answer:
                while done < blob.size:
                    part = view[done : done + _CHUNK]
                    done += answer.read_into(part)
                    if hashing is not None:
                        hashing.update(part)

        if hashing is None:
            self._client.patiently(go_on)
            return view, digest_of([view], blob.size)
        with hashing:
            self._client.patiently(go_on)
        return view, hashing.digest

    def _read(self, blob: Blob, start: int, link: bool = False) -> Request:
        headers = {"Range": f"bytes={start}-"} if start else {}
        if link:
            headers[LINK] = "1"
        return Request("GET", f"/blobs/{blob.hex}?size={blob.size}", headers=headers, seconds=self._seconds)

    def _by_link(self, blob: Blob) -> memoryview | None:
        """The verified bytes from the bucket behind the server; None when they were not to be had so.

        A server without a bucket sends the bytes themselves.
        """
        view = _memory(blob.size)
        with self._client.patiently(lambda: self._client.stream(self._read(blob, 0, link=True))) as answer:
            link = answer.header("Location") if answer.status == 307 else ""
            try:
                if not link:
                    self._links_from = math.inf  # there is no bucket behind it
                    answer.read_into(view)
            except StoreAwayError:
                return None
        try:
            if link:
                _fetch(link, view, self._seconds)
        except HeadraceError as error:
            if not isinstance(error, BlobMissingError):
                _log.warning("blobs.link", f"a link of {self.url} led nowhere: {error}", store=self.url)
                self._links_from = time.monotonic() + _LINKS_AFTER
            return None
        return view if digest_of([view], blob.size) == blob.digest else None

    # --- keeping house ---

    def missing(self, blobs: Iterable[Blob]) -> list[Blob]:
        """Those of ``blobs`` that the server does not hold."""
        return self._of_many("missing", blobs)

    def renew(self, blobs: Iterable[Blob]) -> list[Blob]:
        """Like ``missing``; those that are held count as put again now."""
        return self._of_many("renew", blobs)

    def _of_many(self, action: str, blobs: Iterable[Blob]) -> list[Blob]:
        wanted, found = list(blobs), []
        for at in range(0, len(wanted), _BLOBS_AT_ONCE):
            found += _blobs(self._post(action, _encode(wanted[at : at + _BLOBS_AT_ONCE])))
        return found

    def _post(self, action: str, body: bytes) -> bytes:
        return self._client.ask(Request("POST", f"/blobs/{action}", body, _headers, seconds=self._seconds))

    def delete(self, digests: Iterable[bytes], before: float = math.inf) -> int:
        """Remove blobs; returns the bytes freed. For admins of the server."""
        wanted, freed = list(digests), 0
        for at in range(0, len(wanted), _BLOBS_AT_ONCE):
            freed += _count(self._post("delete", _encode((wanted[at : at + _BLOBS_AT_ONCE], before))))
        return freed

    def list(self) -> Iterator[BlobInfo]:
        """Every blob that the server holds, in no order. For admins of the server."""
        request = Request("GET", "/blobs/", seconds=self._seconds)
        with self._client.patiently(lambda: self._client.stream(request)) as answer:
            for part in answer.frames():
                yield from _infos(part)


def _make(url: str, token: str) -> HttpArtifacts:
    return HttpArtifacts(Endpoint(url, lambda: token))


def _memory(size: int) -> memoryview:
    return memoryview(mmap.mmap(-1, size)) if size >= _MAPPED_FROM else memoryview(bytearray(size))


def _fetch(link: str, view: memoryview, seconds: float) -> None:
    """Fill ``view`` from a link, which needs no credentials.

    Raises:
        BlobMissingError: there is nothing at the link.
        StoreError: it leads nowhere, or to something else.
    """
    parts = urllib.parse.urlsplit(link)
    endpoint = Endpoint(f"{parts.scheme}://{parts.netloc}", lambda: "", api="")
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    with HttpClient(endpoint, 0.0).stream(Request("GET", target, seconds=seconds)) as answer:
        if answer.header("Content-Length") == str(len(view)):  # else it is damaged, which the server is to see
            answer.read_into(view)


class _HashBehind:
    """Hashes parts in another thread while the next ones come; ``digest`` is there after the ``with`` statement."""

    def __init__(self) -> None:
        self._parts: queue.SimpleQueue[memoryview | None] = queue.SimpleQueue()
        self._hasher = blake3()
        self._thread = threading.Thread(target=self._hash, name="headrace-hash", daemon=True)
        self.digest = b""

    def update(self, part: memoryview) -> None:
        """Take the next part, which must not change any more."""
        self._parts.put(part)

    def _hash(self) -> None:
        while (part := self._parts.get()) is not None:
            self._hasher.update(part)

    def __enter__(self) -> _HashBehind:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.put(None)
        self._thread.join()
        self.digest = self._hasher.digest()
