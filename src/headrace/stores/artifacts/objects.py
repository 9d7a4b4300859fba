"""Blobs in an object store (``s3://``, ``gs://``, ``az://``; also ``file://`` and ``memory://``), through obstore.

Credentials and endpoints come from the usual environment variables (``AWS_ENDPOINT_URL``, ``GOOGLE_...``,
``AZURE_...``) or from ``config``, under the names obstore gives them.
"""

from __future__ import annotations

import math
import mmap
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from headrace._base.logs import Log
from headrace._base.retry import Attempts
from headrace.model.errors import (
    BlobCorruptError,
    BlobMissingError,
    StoreAwayError,
    StoreError,
    StoreFullError,
    StoreReadOnlyError,
)
from headrace.model.values import Blob
from headrace.stores.artifacts.hashing import as_bytes_view, digest_of
from headrace.stores.artifacts.protocol import REFRESH_AFTER, BlobInfo, Buffer

if TYPE_CHECKING:
    from typing import Any

_log = Log("store")

#: Blobs from this size on go up in parts and come down in ranges, several at once.
PARTED_FROM = 16 << 20
_PART = 8 << 20
_AT_ONCE = 8
_HEADS_AT_ONCE = 16
_CORRUPT = ".corrupt"
_RENEWED = ".renewed"
_REPLACED_WITHIN = 0.2
#: How long a call is tried again while the server refuses or breaks off: by the client, and then by us.
RETRY_SECONDS = 30.0
PATIENCE_SECONDS = 60.0
#: How long the client of a hasty store tries a request again.
_HASTY_SECONDS = 1.0
#: What is said of troubles that pass: of the network, of a server that is restarted, or has too much to do.
_PASSING = re.compile(
    r"(?i)\b(5\d\d|429)\b|time[d ]*out|slow ?down|throttl|connect|reset|refused|broken pipe|sending request|"
    r"error decoding response|incomplete|unexpected e(of|nd)|body error|end of file|closed before|content-range header"
)

A = TypeVar("A")
R = TypeVar("R")

#: The process whose threads obstore runs on. They do not survive ``fork``: a child that calls it would wait for ever.
_runtime_owner = 0


class ObjectStore:
    """An ``ArtifactStore`` at a URL; blobs are ``<url>/<2 hex>/<62 hex>``.

    The client is made on first use. A process that was forked from one that had used an object store cannot use any:
    it gets a ``StoreError`` that says so.
    """

    def __init__(self, url: str, *, config: Mapping[str, str] | None = None, patient: bool = True) -> None:
        self.url = url.rstrip("/") if "://" in url.rstrip("/") else url
        self._config = dict(config or {})
        self._patient = patient
        self._client: Any = None
        self._lock = threading.Lock()
        self._ranges = True  # until the server shows otherwise

    def __repr__(self) -> str:
        return f"ObjectStore({self.url!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return _make, (self.url, self._config)

    def hasty(self) -> ObjectStore:
        """See the protocol."""
        made = ObjectStore(self.url, config=self._config, patient=False)
        if self.url.startswith("memory:"):
            made._client = self._connect()  # its content is in the client
        return made

    # --- writing ---

    def put(self, parts: Sequence[Buffer]) -> Blob:
        """Store the concatenation of ``parts``; see the protocol."""
        views = [as_bytes_view(part) for part in parts]
        size = sum(view.nbytes for view in views)
        blob = Blob(digest_of(views, size), size)
        self.put_named(blob, views)
        return blob

    def put_named(self, blob: Blob, parts: Sequence[Buffer]) -> None:
        """Like ``put`` for bytes whose name is already known to be ``blob``."""
        if self._renewed(blob):
            return
        import obstore

        views = [as_bytes_view(part) for part in parts]

        def write(client: Any) -> None:
            content: Any = (
                views[0] if len(views) == 1 else b"".join(views) if blob.size < PARTED_FROM else _pieces(views)
            )
            parted = blob.size >= PARTED_FROM
            obstore.put(
                client,
                _key(blob.digest),
                content,
                use_multipart=parted,
                chunk_size=_PART,
                max_concurrency=_AT_ONCE,
            )

        self._call("write to", write)

    def link(self, blob: Blob, seconds: float) -> str:
        """See ``GivesLinks``; empty for a store that cannot sign."""
        if self.url.partition("://")[0] in ("memory", "file"):
            return ""
        import obstore

        expires = timedelta(seconds=seconds)
        return str(self._call("sign a link to", lambda client: obstore.sign(client, "GET", _key(blob.digest), expires)))

    # --- reading ---

    def get(self, blob: Blob) -> memoryview:
        """The verified bytes of ``blob``, in private memory; see the protocol."""
        for chance in (0, 1):
            try:
                view, problem = self._get(blob)
            except BlobMissingError:
                # Servers over a file system replace an object in two moves, and someone may just be storing it again.
                if chance:
                    raise
                time.sleep(_REPLACED_WITHIN)
                continue
            if not problem:
                return view
        # Wrong twice: it is not what happened to it on the way.
        raise self._set_aside(blob, problem)

    def _get(self, blob: Blob) -> tuple[memoryview, str]:
        """The bytes as they arrived, and what is wrong with them."""
        import obstore

        key = _key(blob.digest)
        if blob.size < PARTED_FROM:
            view = memoryview(bytearray(self._call("read", lambda client: obstore.get(client, key).bytes(), blob)))
            if len(view) != blob.size:
                return view, f"it has {len(view)} bytes instead of {blob.size}"
        else:
            size = self._call("read", lambda client: obstore.head(client, key), blob)["size"]
            if size != blob.size:
                return memoryview(b""), f"it has {size} bytes instead of {blob.size}"
            view = self._get_large(blob)
        wrong = digest_of([view], blob.size) != blob.digest
        return view, "its content is not what its name promises" if wrong else ""

    def _get_large(self, blob: Blob) -> memoryview:
        """Several ranges at once, or one stream from a server that does not serve ranges as the protocol has it."""
        view = memoryview(mmap.mmap(-1, blob.size))
        if self._ranges:
            try:
                self._get_ranges(blob, view)
                return view
            except StoreError as exc:
                if "non-partial response" not in str(exc):
                    raise
                self._ranges = False
        self._get_stream(blob, view)
        return view

    def _get_stream(self, blob: Blob, view: memoryview) -> None:
        import obstore

        def copy(client: Any) -> None:
            done = 0
            for piece in obstore.get(client, _key(blob.digest)).stream(min_chunk_size=_PART):
                fits = memoryview(piece)[: blob.size - done]
                view[done : done + len(fits)] = fits
                done += len(fits)
            view[done:] = bytes(blob.size - done)

        self._call("read", copy, blob)

    def _get_ranges(self, blob: Blob, view: memoryview) -> None:
        import obstore

        key = _key(blob.digest)

        def fetch(start: int) -> None:
            end = min(start + _PART, blob.size)
            piece = memoryview(
                self._call("read", lambda client: obstore.get_range(client, key, start=start, end=end), blob)
            )
            piece = piece[: end - start]  # another length shows in the digest
            view[start : start + len(piece)] = piece

        fetch(0)
        _in_threads(fetch, range(_PART, blob.size, _PART), _AT_ONCE)

    def _set_aside(self, blob: Blob, problem: str) -> BlobCorruptError:
        import obstore

        key = _key(blob.digest)
        try:
            self._call("write to", lambda client: obstore.rename(client, key, key + _CORRUPT), blob)
            fate = f"it was set aside as {key}{_CORRUPT}; storing the right bytes again repairs the store"
        except StoreError as exc:
            fate = f"it could not be set aside ({exc})"
        return BlobCorruptError(f"blob {blob.hex} in {self.url} is damaged: {problem}; {fate}", blob.digest)

    # --- keeping house ---

    def missing(self, blobs: Iterable[Blob]) -> list[Blob]:
        """Those of ``blobs`` that are not here with the right size."""
        wanted = list(blobs)
        absent = _in_threads(self._absent, wanted, _HEADS_AT_ONCE)
        return [blob for blob, gone in zip(wanted, absent, strict=True) if gone]

    def renew(self, blobs: Iterable[Blob]) -> list[Blob]:
        """Like ``missing``; those that are held count as put again now."""
        wanted = list(blobs)
        held = _in_threads(self._renewed, wanted, _HEADS_AT_ONCE)
        return [blob for blob, there in zip(wanted, held, strict=True) if not there and self._absent(blob)]

    def _absent(self, blob: Blob) -> bool:
        return self._look(blob.digest)[0] != blob.size

    def _renewed(self, blob: Blob) -> bool:
        """Whether ``blob`` is there; an old one is then made new, for garbage collection goes by age."""
        size, modified = self._look(blob.digest)
        if size != blob.size:
            return False
        if time.time() - modified <= REFRESH_AFTER:
            return True
        import obstore

        key = _key(blob.digest)
        aside = f"{key}.{os.urandom(6).hex()}{_RENEWED}"

        def copy(client: Any) -> None:
            # Within the store, in two moves: S3 refuses to copy an object onto itself.
            obstore.copy(client, key, aside)
            obstore.copy(client, aside, key)
            obstore.delete(client, aside)

        try:
            self._call("write to", copy, blob)
        except StoreError:  # gone meanwhile, or larger than the store copies
            return False
        return True

    def _look(self, digest: bytes) -> tuple[int | None, float]:
        """Size of a blob and when it was put; no size if there is none."""
        import obstore

        try:
            head = self._call("look into", lambda client: obstore.head(client, _key(digest)), Blob(digest, 0))
        except BlobMissingError:
            return None, 0.0
        return int(head["size"]), head["last_modified"].timestamp()

    def delete(self, digests: Iterable[bytes], before: float = math.inf) -> int:
        """Remove blobs; returns the bytes freed. What parts of broken uploads are left is the bucket's to expire."""
        import obstore

        wanted = list(digests)
        seen = _in_threads(self._look, wanted, _HEADS_AT_ONCE)
        old = [
            (_key(digest), size)
            for digest, (size, modified) in zip(wanted, seen, strict=True)
            if size is not None and modified < before
        ]
        if old:
            self._call("delete from", lambda client: obstore.delete(client, [key for key, _ in old]))
        return sum(size for _, size in old)

    def list(self) -> Iterator[BlobInfo]:
        """Every blob under the URL, in no order."""
        import obstore

        batches = self._call("list", lambda client: iter(obstore.list(client)))
        while True:
            batch = self._call("list", lambda _client: next(batches, None), again=False)
            if batch is None:
                return
            for item in batch:
                name = item["path"].replace("/", "")
                if len(name) != 64:
                    continue
                try:
                    digest = bytes.fromhex(name)
                except ValueError:
                    continue  # not a blob
                yield BlobInfo(digest, item["size"], item["last_modified"].timestamp())

    # --- the client ---

    def _call(self, action: str, work: Callable[[Any], R], blob: Blob | None = None, *, again: bool = True) -> R:
        """``work(client)``, with its errors turned into ours; tried again where that may help, unless ``again`` is not.

        The client itself tries requests again that failed before an answer began; what breaks later comes here.
        """
        try:
            from obstore import exceptions
        except ImportError:
            raise StoreError(
                f"the artifact store {self.url} needs the package obstore: pip install 'headrace[objects]'"
            ) from None
        client = self._connect()
        attempts = Attempts(PATIENCE_SECONDS if again and self._patient else 0.0)
        while True:
            try:
                return work(client)
            except (FileNotFoundError, exceptions.NotFoundError) as exc:
                if blob is None:
                    raise StoreError(f"cannot {action} the artifact store {self.url}: {_reason(exc)}") from exc
                raise BlobMissingError(f"blob {blob.hex} is not in {self.url}", blob.digest) from None
            except (exceptions.BaseError, OSError) as exc:
                error = self._error(exc, action)
                if not isinstance(error, StoreAwayError):
                    raise error from exc
                _log.warning("blobs.retry", str(error), store=self.url, seconds=attempts.passed)
                if not attempts.pause():
                    raise StoreAwayError(f"{error}; tried {attempts}") from exc

    def _connect(self) -> Any:
        global _runtime_owner
        if _runtime_owner and _runtime_owner != os.getpid():
            raise StoreError(
                f"the artifact store {self.url} cannot be used here: this process was forked from one that had used "
                "an object store; start it afresh (multiprocessing's 'spawn') instead"
            )
        if self._client is None:
            with self._lock:
                if self._client is None:
                    _runtime_owner = os.getpid()
                    self._client = self._open()
        return self._client

    def _open(self) -> Any:
        from obstore.exceptions import BaseError
        from obstore.store import MemoryStore, from_url

        options: dict[str, Any] = {}
        scheme = self.url.partition("://")[0]
        if scheme == "memory":
            return MemoryStore()
        if scheme == "file":
            options["mkdir"] = True
        else:
            options["client_options"] = {"connect_timeout": "10s", "read_timeout": "60s", "timeout": "300s"}
            if self._endpoint().startswith("http://"):
                options["client_options"]["allow_http"] = True
            seconds = RETRY_SECONDS if self._patient else _HASTY_SECONDS
            options["retry_config"] = {"max_retries": 10, "retry_timeout": timedelta(seconds=seconds)}
            if self._config:
                options["config"] = self._config
        try:
            return from_url(self.url, **options)
        except (BaseError, OSError, ValueError) as exc:
            raise StoreError(f"cannot open the artifact store {self.url}: {_reason(exc)}") from exc

    def _endpoint(self) -> str:
        """Where an S3 server that is not Amazon's is, if one was named."""
        names = ("aws_endpoint_url", "aws_endpoint")
        return next((found for name in names if (found := self._config.get(name) or os.environ.get(name.upper()))), "")

    def _error(self, exc: Exception, action: str) -> StoreError:
        from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

        reason = _reason(exc)
        text = f"cannot {action} the artifact store {self.url}: {reason}"
        if isinstance(exc, (PermissionDeniedError, UnauthenticatedError, PermissionError)):
            return StoreReadOnlyError(text) if action in ("write to", "delete from") else StoreError(text)
        if "No space left" in reason or "QuotaExceeded" in reason or "file too large" in reason.lower():
            return StoreFullError(f"{text}; make room (`headrace gc`) or choose another place for artifacts")
        if "Read-only file system" in reason:
            return StoreReadOnlyError(text)
        return StoreAwayError(text) if _PASSING.search(str(exc)) else StoreError(text)


def _make(url: str, config: Mapping[str, str]) -> ObjectStore:
    return ObjectStore(url, config=config)


def _key(digest: bytes) -> str:
    name = digest.hex()
    return f"{name[:2]}/{name[2:]}"


def _reason(exc: BaseException) -> str:
    """The first line of what obstore says; the rest is its debugging output."""
    return (str(exc).strip() or type(exc).__name__).splitlines()[0][:500]


def _pieces(views: Sequence[memoryview]) -> Iterator[memoryview]:
    for view in views:
        for start in range(0, view.nbytes, _PART):
            yield view[start : start + _PART]


def _in_threads(work: Callable[[A], R], items: Sequence[A], limit: int) -> list[R]:
    """``work`` of every item, in order, several at once; the first error is raised when all have ended."""
    if len(items) < 2:
        return [work(item) for item in items]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(limit, len(items)), thread_name_prefix="headrace-objects") as pool:
        return list(pool.map(work, items))
