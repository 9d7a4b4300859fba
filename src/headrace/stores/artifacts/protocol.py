"""What every artifact store promises: bytes in, a name out, the same bytes back or an error."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from headrace.model.values import Blob

#: Anything with contiguous bytes: ``bytes``, ``memoryview``, ``pickle.PickleBuffer.raw()``, ``mmap``.
Buffer = bytes | bytearray | memoryview


#: Bytes of a digest.
DIGEST_SIZE = 32
#: A blob that is put again counts as new from then on, if it was older than this many seconds.
REFRESH_AFTER = 600.0


class BlobInfo(msgspec.Struct, frozen=True):
    """A blob as the store lists it; ``modified`` in seconds since the epoch."""

    digest: bytes
    size: int
    modified: float


class Upload(Protocol):
    """A blob that comes in pieces, and is in the store once ``finish`` has returned; use it in a ``with`` statement,
    which drops what was not finished."""

    def write(self, piece: Buffer) -> None:
        """Take the next piece."""

    def finish(self, blob: Blob) -> bool:
        """Store what came; False, and nothing is stored, when it is not ``blob``."""

    def __enter__(self) -> Upload:
        """Itself."""

    def __exit__(self, *_: object) -> None:
        """Drop what was not finished."""


@runtime_checkable
class TakesUploads(Protocol):
    """A store that takes large blobs piece by piece, without holding them."""

    def upload(self, size: int) -> Upload:
        """Begin to take a blob of ``size`` bytes."""


@runtime_checkable
class GivesFiles(Protocol):
    """A store that has large blobs in files of this machine."""

    def open_file(self, blob: Blob) -> int:
        """A descriptor, open for reading, of a file with the verified bytes of ``blob``; the caller closes it.

        Raises:
            BlobMissingError, BlobCorruptError: as ``ArtifactStore.get``.
        """


@runtime_checkable
class FillsUploads(Protocol):
    """A store whose blobs can be read without holding them."""

    def fetch(self, blob: Blob, upload: Upload) -> bool:
        """Write the bytes of ``blob`` to ``upload``, and finish it; False when they were damaged on the way.

        Raises:
            BlobMissingError, BlobCorruptError: as ``ArtifactStore.get``; and what ``upload`` raises.
        """


@runtime_checkable
class GivesLinks(Protocol):
    """A store whose blobs others can fetch where they are."""

    def link(self, blob: Blob, seconds: float) -> str:
        """A URL from which the blob can be had for so many seconds without credentials; empty where there is none."""


class ArtifactStore(Protocol):
    """Immutable blobs named by the BLAKE3 of their bytes.

    Threads and processes: any number may use the same store at once, also after ``fork``; only an object store that was
    used before the fork refuses, with an error, to be used in the child. ``put`` is atomic: a blob
    is there whole or not at all, whenever the process dies; putting what is there already changes nothing and costs no
    second write. A buffer must not change while ``put`` runs.

    Raises everywhere: ``StoreReadOnlyError``, ``StoreFullError`` or plain ``StoreError``, with the URL in the message.
    """

    url: str

    def hasty(self) -> ArtifactStore:
        """The same store for a caller that decides itself how long to wait: calls raise ``StoreAwayError`` soon after
        the store did not answer. A store that never waits returns itself."""

    def put(self, parts: Sequence[Buffer]) -> Blob:
        """Store the concatenation of ``parts`` and return its name. Large parts are never copied or joined."""

    def get(self, blob: Blob) -> memoryview:
        """The bytes of ``blob``, checked against its digest before they are handed out.

        Large blobs are mapped copy-on-write where the store can: the view is writable and changes stay private to it.
        The view keeps its memory alive. Small blobs come as a writable view of a private copy.

        Raises:
            BlobMissingError: the store has no such blob.
            BlobCorruptError: the bytes are others than the name promises. The bad copy was set aside, so that storing
                the right bytes again repairs the store.
        """

    def missing(self, blobs: Iterable[Blob]) -> list[Blob]:
        """Those of ``blobs`` that the store does not hold (presence and size only; contents are not read)."""

    def renew(self, blobs: Iterable[Blob]) -> list[Blob]:
        """Like ``missing``; those that are held count as put again now."""

    def delete(self, digests: Iterable[bytes], before: float = math.inf) -> int:
        """Remove blobs, and what writers that died long ago left; returns the bytes freed. Unknown ones are ignored,
        and so are those that were put, or put again, ``before`` or later, because a run needs them."""

    def list(self) -> Iterator[BlobInfo]:
        """Every blob there is, in no order."""
