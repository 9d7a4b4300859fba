"""Large blobs on their way to a server and from one: hashed in another thread, at the same time."""

from __future__ import annotations

import mmap
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from blake3 import blake3

from headrace.model.values import Blob
from headrace.stores.artifacts.hashing import digest_of
from headrace.stores.artifacts.protocol import Upload
from headrace.stores.http_client import Stream

#: From this size on a blob is hashed while it is sent or received: a thread pays then.
OVERLAPPED_FROM = 4 << 20
#: Bytes that are sent, received or hashed at once: they stay in the processor's cache meanwhile.
_CHUNK = 1 << 20
#: From this size on memory for a blob comes from the system, which gives it back.
_MAPPED_FROM = 1 << 20


class AlreadyThereError(Exception):
    """The server holds the blob that is being sent."""


class ViewsBody:
    """Bytes as the body of a request; see ``http_client.Body``."""

    def __init__(self, views: Sequence[memoryview], size: int) -> None:
        self.size = size
        self._views = views

    def pieces(self) -> Iterator[bytes | memoryview]:
        """The bytes."""
        for view in self._views:
            for at in range(0, view.nbytes, _CHUNK):
                yield view[at : at + _CHUNK]


class HashedBody:
    """A blob that is hashed while it is sent, with its digest behind its bytes; see ``http_client.Body``.

    Args:
        views: its bytes.
        size: how many.
        is_there: asks the server for the blob, once its digest is known; where that is long before it was sent,
            ``pieces`` breaks off.
    """

    def __init__(self, views: Sequence[memoryview], size: int, is_there: Callable[[Blob], bool]) -> None:
        self.size = size + 32
        self._body = ViewsBody(views, size)
        self._is_there = is_there
        self._found = self._sent = False
        self._failure: BaseException | None = None
        self._blob: Blob | None = None
        self._hashed = threading.Event()
        threading.Thread(target=self._hash, args=(views, size), name="headrace-hash", daemon=True).start()

    def _hash(self, views: Sequence[memoryview], size: int) -> None:
        try:
            self._blob = Blob(digest_of(views, size), size)
        except BaseException as error:
            self._failure = error
            return
        finally:
            self._hashed.set()
        if not self._sent:
            self._found = self._is_there(self._blob)

    def blob(self) -> Blob:
        """What was sent."""
        self._hashed.wait()
        if self._blob is None:
            raise RuntimeError("the blob could not be hashed") from self._failure
        return self._blob

    def pieces(self) -> Iterator[bytes | memoryview]:
        """The bytes, and their digest.

        Raises:
            AlreadyThereError: the server turned out to hold the blob.
        """
        for piece in self._body.pieces():
            if self._found:
                raise AlreadyThereError
            yield piece
        self._sent = True
        yield self.blob().digest


class Sink(Protocol):
    """Takes a blob of ``size`` bytes, of which ``done`` have come."""

    size: int
    done: int

    def fill(self, answer: Stream) -> None:
        """Read what is missing from ``answer``."""


class MemorySink:
    """A blob that comes into memory, and is hashed meanwhile; its digest is there after the ``with`` statement."""

    def __init__(self, size: int) -> None:
        self.size, self.done = size, 0
        self.view = _memory(size)
        self._hasher = blake3()
        self._parts: queue.SimpleQueue[memoryview | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        if size >= OVERLAPPED_FROM:
            self._thread = threading.Thread(target=self._hash, name="headrace-hash", daemon=True)

    def fill(self, answer: Stream) -> None:
        """See ``Sink``."""
        while self.done < self.size:
            part = self.view[self.done : self.done + _CHUNK]
            self.done += answer.read_into(part)
            self._parts.put(part)

    def digest(self) -> bytes:
        """Of the bytes that came."""
        return self._hasher.digest()

    def _hash(self) -> None:
        while (part := self._parts.get()) is not None:
            self._hasher.update(part)

    def __enter__(self) -> MemorySink:
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.put(None)
        if self._thread is not None:
            self._thread.join()
        else:
            self._hash()


class UploadSink:
    """A blob that goes on to an ``Upload``, which hashes it, without being held."""

    def __init__(self, size: int, upload: Upload) -> None:
        self.size, self.done = size, 0
        self._upload = upload
        self._buffer = memoryview(bytearray(min(size, _CHUNK)))

    def fill(self, answer: Stream) -> None:
        """See ``Sink``."""
        while self.done < self.size:
            part = self._buffer[: self.size - self.done]
            answer.read_into(part)
            self._upload.write(part)
            self.done += len(part)


def _memory(size: int) -> memoryview:
    if size < _MAPPED_FROM:
        return memoryview(bytearray(size))
    return memoryview(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
