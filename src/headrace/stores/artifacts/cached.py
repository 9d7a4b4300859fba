"""An object store with a folder on this machine in front of it, so that large blobs are mapped, and read once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from headrace.model.errors import BlobCorruptError, BlobMissingError, StoreError
from headrace.model.values import Blob
from headrace.stores.artifacts.protocol import ArtifactStore, BlobInfo, Buffer, GivesLinks, Upload
from headrace.stores.artifacts.uploads import ForwardedUpload

if TYPE_CHECKING:
    from headrace.stores.artifacts.local import LocalStore


class FarStore(ArtifactStore, Protocol):
    """A store that takes bytes whose name is known already."""

    def hasty(self) -> FarStore:
        """See ``ArtifactStore``."""

    def put_named(self, blob: Blob, parts: Sequence[Buffer]) -> None:
        """Like ``put`` for bytes whose name is already known to be ``blob``."""


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
        content = self._store.get(blob)
        try:
            self._cache.put((content,))
            self._count(blob.size)
            return self._cache.get(blob)
        except StoreError:  # no room for a copy here
            return content

    def upload(self, blob: Blob) -> Upload:
        """See ``TakesUploads``: it comes here first."""
        return ForwardedUpload(blob, self._cache.upload(blob), self._forward)

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
