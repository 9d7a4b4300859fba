"""Blobs that come in pieces, from a network: hashed on the way, and stored when they are what their name promises."""

from __future__ import annotations

import os
from collections.abc import Callable

from blake3 import blake3

from headrace.model.errors import StoreError
from headrace.model.values import Blob
from headrace.stores.artifacts.file_space import reserve
from headrace.stores.artifacts.protocol import Buffer, Upload

_RESERVED_AT_ONCE = 64 << 20


class FileUpload:
    """See ``Upload``; into a new file.

    Args:
        path: of the file; ``descriptor`` is open for writing.
        size: of the blob, as its sender says.
        publish: makes the complete file the blob.
        error: the error of the store that an OSError is.
    """

    def __init__(
        self,
        path: str,
        descriptor: int,
        size: int,
        publish: Callable[[str, int, Blob], None],
        error: Callable[[OSError, str, Blob | None], StoreError],
    ) -> None:
        self._path = path
        self._descriptor = descriptor
        self._publish = publish
        self._error = error
        self._hasher = blake3()
        self._expected = size
        self._size = self._reserved = 0
        self._published = False

    def write(self, piece: Buffer) -> None:
        """See ``Upload``."""
        self._hasher.update(piece)
        if self._reserved < self._expected and self._size + len(piece) > self._reserved:
            # Step by step: a sender that promises much may send little.
            step = min(_RESERVED_AT_ONCE, self._expected - self._reserved)
            reserve(self._descriptor, self._reserved, step)
            self._reserved += step
        view = memoryview(piece)
        try:
            while view:
                count = os.write(self._descriptor, view)
                self._size += count
                view = view[count:]
        except OSError as exc:
            raise self._error(exc, "write to", None) from exc

    def finish(self, blob: Blob) -> bool:
        """See ``Upload``."""
        if not self._size == self._expected == blob.size or self._hasher.digest() != blob.digest:
            return False
        try:
            self._publish(self._path, self._descriptor, blob)
        except OSError as exc:
            raise self._error(exc, "write to", blob) from exc
        self._published = True
        return True

    def __enter__(self) -> FileUpload:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
        if not self._published:
            try:
                os.unlink(self._path)  # noqa: PTH108
            except OSError:
                pass  # gone already


class ForwardedUpload:
    """See ``Upload``; into a cache first, by ``upload``, from where ``forward`` puts it where it belongs."""

    def __init__(self, upload: Upload, forward: Callable[[Blob], None]) -> None:
        self._upload = upload
        self._forward = forward

    def write(self, piece: Buffer) -> None:
        """See ``Upload``."""
        self._upload.write(piece)

    def finish(self, blob: Blob) -> bool:
        """See ``Upload``."""
        if not self._upload.finish(blob):
            return False
        self._forward(blob)
        return True

    def __enter__(self) -> ForwardedUpload:
        return self

    def __exit__(self, *args: object) -> None:
        self._upload.__exit__(*args)
