"""Secrets in output that arrives piece by piece: none passes, also where it is cut into two pieces."""

from __future__ import annotations

import re
from collections.abc import Iterable

from headrace._base.redaction import HIDDEN

#: Shorter values are left alone: what is left of a text without them would be unreadable, and show where they stood.
SHORTEST = 3


class OutputRedactor:
    """Takes values out of a stream of bytes. What may be the beginning of one waits for the next piece."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes, values: Iterable[str], *, last: bool = False) -> bytes:
        """``data``, with what was held back before it, without ``values``; after the ``last`` piece nothing is held."""
        data = self._held + data
        self._held = b""
        known = sorted({value.encode() for value in values if len(value) >= SHORTEST}, key=len, reverse=True)
        if not known or not data:
            return data
        found = list(re.finditer(b"|".join(map(re.escape, known)), data))
        cut = len(data) if last else len(data) - _open_end(data, known)
        cut = next((one.end() for one in found if one.start() < cut < one.end()), cut)
        self._held = data[cut:]
        parts, at = [], 0
        for one in found:
            if one.end() <= cut:
                parts += [data[at : one.start()], HIDDEN.encode()]
                at = one.end()
        return b"".join([*parts, data[at:cut]])


def _open_end(data: bytes, known: list[bytes]) -> int:
    """How many bytes at the end of ``data`` may go on to be one of ``known``."""
    most = 0
    for value in known:
        for size in range(min(len(value) - 1, len(data)), most, -1):
            if data.endswith(value[:size]):
                most = size
                break
    return most
