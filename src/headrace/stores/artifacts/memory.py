"""Blobs in a dictionary: for tests, and as the model the real stores are compared with."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

from blake3 import blake3

from headrace.model.errors import BlobCorruptError, BlobMissingError
from headrace.model.values import Blob
from headrace.stores.artifacts.protocol import BlobInfo, Buffer


class MemoryStore:
    """An ``ArtifactStore`` that lives and dies with its process."""

    def __init__(self) -> None:
        self.url = "memory://"
        self.blobs: dict[bytes, tuple[bytes, float]] = {}

    def put(self, parts: Sequence[Buffer]) -> Blob:
        """Store the concatenation of ``parts``; see the protocol."""
        content = b"".join(parts)
        digest = blake3(content).digest()
        if digest not in self.blobs:
            self.blobs[digest] = (content, time.time())
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

    def delete(self, digests: Iterable[bytes]) -> int:
        """Remove blobs; returns the bytes freed."""
        gone = (self.blobs.pop(digest, (b"", 0.0)) for digest in digests)
        return sum(len(content) for content, _ in gone)

    def list(self) -> Iterator[BlobInfo]:
        """Every blob held."""
        for digest, (content, modified) in list(self.blobs.items()):
            yield BlobInfo(digest, len(content), modified)
