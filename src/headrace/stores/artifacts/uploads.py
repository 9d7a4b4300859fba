"""Blobs that come in pieces, from a network: hashed on the way, and stored when they are what their name promises."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from blake3 import blake3

from headrace.model.errors import StoreError
from headrace.model.values import Blob
from headrace.stores.artifacts.protocol import Buffer, Upload

#: How many buffers one call of the kernel takes.
_BUFFERS = 256


class FileUpload:
    """See ``Upload``; into a new file.

    Args:
        blob: what is to come.
        path: of the file; ``descriptor`` is open for writing.
        publish: makes the complete file the blob.
        error: the error of the store that an OSError is.
    """

    def __init__(
        self,
        blob: Blob,
        path: str,
        descriptor: int,
        publish: Callable[[str, int, Blob], None],
        error: Callable[[OSError, str, Blob | None], StoreError],
    ) -> None:
        self._blob = blob
        self._path = path
        self._descriptor = descriptor
        self._publish = publish
        self._error = error
        self._hasher = blake3()
        self._size = 0
        self._published = False

    def write(self, pieces: Sequence[Buffer]) -> None:
        """See ``Upload``."""
        for piece in pieces:
            self._hasher.update(piece)
        try:
            for at in range(0, len(pieces), _BUFFERS):
                self._write_all([memoryview(piece) for piece in pieces[at : at + _BUFFERS]])
        except OSError as exc:
            raise self._error(exc, "write to", self._blob) from exc

    def _write_all(self, views: list[memoryview]) -> None:
        while views:
            count = os.writev(self._descriptor, views)
            self._size += count
            while views and count >= len(views[0]):
                count -= len(views.pop(0))
            if count:
                views[0] = views[0][count:]

    def finish(self) -> bool:
        """See ``Upload``."""
        if self._size != self._blob.size or self._hasher.digest() != self._blob.digest:
            return False
        try:
            self._publish(self._path, self._descriptor, self._blob)
        except OSError as exc:
            raise self._error(exc, "write to", self._blob) from exc
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

    def __init__(self, blob: Blob, upload: Upload, forward: Callable[[Blob], None]) -> None:
        self._blob = blob
        self._upload = upload
        self._forward = forward

    def write(self, pieces: Sequence[Buffer]) -> None:
        """See ``Upload``."""
        self._upload.write(pieces)

    def finish(self) -> bool:
        """See ``Upload``."""
        if not self._upload.finish():
            return False
        self._forward(self._blob)
        return True

    def __enter__(self) -> ForwardedUpload:
        return self

    def __exit__(self, *args: object) -> None:
        self._upload.__exit__(*args)
