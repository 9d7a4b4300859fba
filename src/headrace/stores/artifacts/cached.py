"""An object store with a folder on this machine in front of it, so that large blobs are mapped, and read once."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from headrace.model.errors import BlobCorruptError, BlobMissingError, StoreError
from headrace.model.values import Blob
from headrace.stores.artifacts.protocol import ArtifactStore, BlobInfo, Buffer, FillsUploads, GivesLinks, Upload
from headrace.stores.artifacts.uploads import ForwardedUpload

if TYPE_CHECKING:
    from headrace.stores.artifacts.local import LocalStore


class FarStore(ArtifactStore, Protocol):
    """A store that takes bytes whose name is known already."""

    def hasty(self) -> FarStore:
        """See ``ArtifactStore``."""

    def put_named(self, blob: Blob, parts: Sequence[Buffer]) -> None:
        """Like ``put`` for bytes whose name is already known to be ``blob``."""


class _NoCopyError(Exception):
    """The cache cannot take a copy."""


class _CopyUpload:
    """An upload into the cache, whose errors are told from those of the store that the bytes come from."""

    def __init__(self, upload: Upload) -> None:
        self._upload = upload

    def write(self, piece: Buffer) -> None:
        """See ``Upload``."""
        try:
            self._upload.write(piece)
        except StoreError as error:
            raise _NoCopyError from error

    def finish(self, blob: Blob) -> bool:
        """See ``Upload``."""
        try:
            return self._upload.finish(blob)
        except StoreError as error:
            raise _NoCopyError from error

    def __enter__(self) -> _CopyUpload:
        return self

    def __exit__(self, *args: object) -> None:
        self._upload.__exit__(*args)


#: From this size on a blob comes straight into the cache.
_STREAMED_FROM = 1 << 20
_PRUNE_AT = 8  # look at the whole cache each time an eighth of its limit was added


class CachedStore:
    """An ``ArtifactStore`` that keeps copies of ``store``'s blobs in ``cache``, up to about ``limit`` bytes.

    ``store`` alone decides what exists. The cache may vanish, fill up or be damaged at any time: it is then done
    without.
    """

    def __init__(self, store: FarStore, cache: LocalStore, *, limit: int = 20 << 30) -> None:
        self.url = store.url
        self._store = store
        self._cache = cache
        self._limit = limit
        self._added = 0

    def hasty(self) -> CachedStore:
        """See the protocol."""
        return CachedStore(self._store.hasty(), self._cache, limit=self._limit)

    def put(self, parts: Sequence[Buffer]) -> Blob:
        """Store the concatenation of ``parts`` in both; see the protocol."""
        try:
            blob = self._cache.put(parts)
        except StoreError:  # no room for a copy here
            return self._store.put(parts)
        self._store.put_named(blob, parts)
        self._count(blob.size)
        return blob

    def get(self, blob: Blob) -> memoryview:
        """The verified bytes of ``blob``, from here when there is a good copy; see the protocol."""
        try:
            return self._cache.get(blob)
        except (BlobMissingError, BlobCorruptError):
            pass  # not here, or set aside just now
        except StoreError:
            return self._store.get(blob)
        if blob.size >= _STREAMED_FROM and isinstance(self._store, FillsUploads):
            if self._fetch(self._store, blob):
                with contextlib.suppress(StoreError):  # it was too large to be kept
                    return self._cache.get(blob)
            return self._store.get(blob)
        content = self._store.get(blob)
        try:
            self._cache.put_verified(blob, (content,))
            self._count(blob.size)
            return self._cache.get(blob)
        except StoreError:  # no room for a copy here
            return content

    def _fetch(self, store: FillsUploads, blob: Blob) -> bool:
        """Let the bytes come into the cache without holding them; False when they were damaged on the way, or there is
        no room for a copy here."""
        try:
            upload = self._cache.upload(blob.size)
        except StoreError:
            return False
        try:
            with _CopyUpload(upload) as copy:
                complete = store.fetch(blob, copy)
        except _NoCopyError:
            return False
        self._count(blob.size)
        return complete

    def upload(self, size: int) -> Upload:
        """See ``TakesUploads``: it comes here first."""
        return ForwardedUpload(self._cache.upload(size), self._forward)

    def open_file(self, blob: Blob) -> int:
        """See ``GivesFiles``; comes into the cache first where it is not there."""
        try:
            return self._cache.open_file(blob)
        except (BlobMissingError, BlobCorruptError):
            self.get(blob)
            return self._cache.open_file(blob)

    def _forward(self, blob: Blob) -> None:
        self._store.put_named(blob, (self._cache.get(blob),))
        self._count(blob.size)

    def link(self, blob: Blob, seconds: float) -> str:
        """See ``GivesLinks``."""
        return self._store.link(blob, seconds) if isinstance(self._store, GivesLinks) else ""

    def missing(self, blobs: Iterable[Blob]) -> list[Blob]:
        """Those of ``blobs`` that ``store`` does not hold."""
        return self._store.missing(blobs)

    def renew(self, blobs: Iterable[Blob]) -> list[Blob]:
        """Like ``missing``; those that ``store`` holds count as put again now."""
        return self._store.renew(blobs)

    def delete(self, digests: Iterable[bytes], before: float = math.inf) -> int:
        """Remove blobs from both; returns the bytes freed in ``store``."""
        wanted = list(digests)
        try:
            self._cache.delete(wanted)
        except StoreError:
            pass  # copies that cannot be removed do no harm
        return self._store.delete(wanted, before)

    def list(self) -> Iterator[BlobInfo]:
        """Every blob ``store`` holds."""
        return self._store.list()

    def _count(self, size: int) -> None:
        """Drop the oldest copies when there are too many. A view of a dropped copy stays good."""
        self._added += size
        if self._added < self._limit // _PRUNE_AT:
            return
        self._added = 0
        try:
            copies = sorted(self._cache.list(), key=lambda info: info.modified)
            excess = sum(info.size for info in copies) - self._limit
            oldest = []
            for info in copies:
                if excess <= 0:
                    break
                oldest.append(info.digest)
                excess -= info.size
            self._cache.delete(oldest)
        except StoreError:
            pass  # someone else's folder by now; the copies are only copies
