"""Bytes of a stream by their offset, some of which may be missing or come twice."""

from __future__ import annotations

from collections import deque


class OffsetBytes:
    """What came of one stream. ``end`` is the offset behind its last byte."""

    __slots__ = ("chunks", "end")

    def __init__(self) -> None:
        self.chunks: deque[tuple[int, bytes]] = deque()
        self.end = 0

    def add(self, offset: int, data: bytes) -> None:
        """Keep ``data``, which is at ``offset``; what is known already is dropped, what lies between left out."""
        if offset < self.end:  # told again after a connection broke
            data = data[self.end - offset :]
            offset = self.end
        if data:
            self.chunks.append((offset, data))
        self.end = max(self.end, offset + len(data))

    def read(self, start: int, end: int) -> bytes:
        """The bytes from ``start`` to ``end`` that are here."""
        parts = [data[max(0, start - at) : max(0, end - at)] for at, data in self.chunks if at < end]
        return b"".join(parts)

    def trim(self, upto: int) -> None:
        """Forget what comes before ``upto``."""
        while self.chunks and self.chunks[0][0] + len(self.chunks[0][1]) <= upto:
            self.chunks.popleft()
        self.end = max(self.end, upto)  # what comes again of it is dropped
