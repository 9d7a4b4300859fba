"""The artifact store of a Headrace server, over HTTP.

What goes up is hashed here, large blobs while they are sent, and again by the server. What comes down is fetched from
the bucket behind the server where it gives a link, else from the server, in ranges after a broken connection; it is
checked here in any case.
"""

from __future__ import annotations

import math
import time
import urllib.parse
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from headrace._base.logs import Log
from headrace.model.errors import BlobCorruptError, BlobMissingError, HeadraceError
from headrace.model.values import Blob
from headrace.stores.artifacts.hashing import as_bytes_view, digest_of
from headrace.stores.artifacts.http_bodies import (
    OVERLAPPED_FROM,
    AlreadyThereError,
    HashedBody,
    MemorySink,
    Sink,
    UploadSink,
    ViewsBody,
)
from headrace.stores.artifacts.protocol import BlobInfo, Buffer, Upload
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
#: Seconds for which links are not used after one that led nowhere: the bucket may not be reached from here.
_LINKS_AFTER = 60.0
_BLOBS_AT_ONCE = 10_000

_headers = {"Content-Type": "application/x-msgpack"}
_octets = {"Content-Type": "application/octet-stream"}
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
        if size < OVERLAPPED_FROM:
            blob = Blob(digest_of(views, size), size)
            self.put_named(blob, views)
            return blob
        body = HashedBody(views, size, self._is_there)
        try:
            self._client.ask(Request("POST", "/blobs/upload", body, _octets, seconds=self._seconds))
        except AlreadyThereError:
            pass
        return body.blob()

    def _is_there(self, blob: Blob) -> bool:
        """Whether the server holds ``blob``; False if it does not answer at once."""
        request = Request("POST", "/blobs/renew", _encode([blob]), _headers, seconds=self._seconds)
        try:
            return not _blobs(self._client.once(request))
        except HeadraceError:
            return False

    def put_named(self, blob: Blob, parts: Sequence[Buffer]) -> None:
        """Like ``put`` for bytes whose name is already known to be ``blob``."""
        views = [as_bytes_view(part) for part in parts]
        if blob.size >= LARGE and not self.renew([blob]):
            return
        body = bytes(views[0]) if len(views) == 1 and blob.size < LARGE else ViewsBody(views, blob.size)
        self._client.ask(Request("PUT", f"/blobs/{blob.hex}", body, _octets, seconds=self._seconds))

    # --- reading ---

    def get(self, blob: Blob) -> memoryview:
        """The verified bytes of ``blob``, in private memory; see the protocol."""
        for link in (True, False):
            with MemorySink(blob.size) as sink:
                by_link = self._fill(blob, sink, link)
            if sink.digest() == blob.digest:
                return sink.view
            if not by_link:
                break
        raise BlobCorruptError(f"blob {blob.hex} came from {self.url} with other bytes than it has", blob.digest)

    def fetch(self, blob: Blob, upload: Upload) -> bool:
        """Write the bytes of ``blob`` to ``upload``, and finish it; see ``FillsUploads``."""
        self._fill(blob, UploadSink(blob.size, upload), link=True)
        return upload.finish(blob)

    def _fill(self, blob: Blob, sink: Sink, link: bool) -> bool:
        """Give the bytes of ``blob`` to ``sink``; returns whether some came from the bucket behind the server."""
        link = link and blob.size >= LARGE and time.monotonic() >= self._links_from

        def go_on() -> str:
            with self._client.stream(self._read(blob, sink.done, link)) as answer:
                if answer.status == 307:
                    return answer.header("Location")
                if link:
                    self._links_from = math.inf  # there is no bucket behind it
                sink.fill(answer)
                return ""

        found = self._client.patiently(go_on)
        if not found:
            return False
        try:
            _fetch(found, sink, self._seconds)
        except HeadraceError as error:
            if not isinstance(error, BlobMissingError):
                _log.warning("blobs.link", f"a link of {self.url} led nowhere: {error}", store=self.url)
                self._links_from = time.monotonic() + _LINKS_AFTER
        if sink.done < sink.size:
            link = False
            self._client.patiently(go_on)
        return True

    def _read(self, blob: Blob, start: int, link: bool) -> Request:
        headers = {"Range": f"bytes={start}-"} if start else {}
        if link:
            headers[LINK] = "1"
        return Request("GET", f"/blobs/{blob.hex}?size={blob.size}", headers=headers, seconds=self._seconds)

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


def _fetch(link: str, sink: Sink, seconds: float) -> None:
    """Give what is at a link, which needs no credentials, to ``sink``.

    Raises:
        BlobMissingError: there is nothing at the link.
        StoreError: it leads nowhere, or to something else.
    """
    parts = urllib.parse.urlsplit(link)
    endpoint = Endpoint(f"{parts.scheme}://{parts.netloc}", lambda: "", api="")
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    with HttpClient(endpoint, 0.0).stream(Request("GET", target, seconds=seconds)) as answer:
        if answer.header("Content-Length") == str(sink.size):  # else it is damaged, which the server is to see
            sink.fill(answer)
