"""Blobs in a dictionary: for tests, and as the model the real stores are compared with."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from blake3 import blake3

from headrace.model.errors import BlobCorruptError, BlobMissingError
from headrace.model.values import Blob
from headrace.stores.artifacts.protocol import BlobInfo, Buffer


class MemoryStore:
    """An ``ArtifactStore`` that lives and dies with its process."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self.url = "memory://"
        self._now = now
        self.blobs: dict[bytes, tuple[bytes, float]] = {}

    def hasty(self) -> MemoryStore:
        """See the protocol."""
        return self

    def put(self, parts: Sequence[Buffer]) -> Blob:
        """Store the concatenation of ``parts``; see the protocol."""
        content = b"".join(parts)
        digest = blake3(content).digest()
        self.blobs[digest] = (content, self._now())
        return Blob(digest, len(content))

    def get(self, blob: Blob) -> memoryview:
        """A writable copy of the bytes of ``blob``; see the protocol."""
        try:
            content = self.blobs[blob.digest][0]
        except KeyError:
            raise BlobMissingError(f"blob {blob.hex} is not in {self.url}", blob.digest) from None
        if len(content) != blob.size or blake3(content).digest() != blob.digest:
            del self.blobs[blob.digest]
            raise BlobCorruptError(f"blob {blob.hex} in {self.url} is damaged; it was dropped", blob.digest)
        return memoryview(bytearray(content))

    def missing(self, blobs: Iterable[Blob]) -> list[Blob]:
        """Those of ``blobs`` that are not here with the right size."""
        held = self.blobs
        return [blob for blob in blobs if blob.digest not in held or len(held[blob.digest][0]) != blob.size]

    def renew(self, blobs: Iterable[Blob]) -> list[Blob]:
        """Like ``missing``; those that are held count as put again now."""
        wanted = list(blobs)
        absent = self.missing(wanted)
        for blob in set(wanted) - set(absent):
            self.blobs[blob.digest] = (self.blobs[blob.digest][0], self._now())
        return absent

    def delete(self, digests: Iterable[bytes], before: float = math.inf) -> int:
        """Remove blobs that are older than ``before``; returns the bytes freed."""
        old = [digest for digest in digests if digest in self.blobs and self.blobs[digest][1] < before]
        return sum(len(self.blobs.pop(digest)[0]) for digest in old)

    def list(self) -> Iterator[BlobInfo]:
        """Every blob held."""
        for digest, (content, modified) in list(self.blobs.items()):
            yield BlobInfo(digest, len(content), modified)
