"""Digests of files that were read before, kept in the home: an unchanged file is not read again.

A hint, never more: what is stored is hashed again when it is written. A file that is damaged or from another version
counts as empty.
"""

# ruff: noqa: PTH103, PTH105, PTH120, PTH123 - paths are plain strings here, as in ``files``

from __future__ import annotations

import contextlib
import os
import time

import msgspec
from blake3 import blake3

from headrace.services.code.files import Stamp

_VERSION = 1
_DIGEST = 32
#: A file that was changed this many nanoseconds before it was read may change again with the same time stamp.
_SETTLED = 2_000_000_000
#: Entries that are kept of one project.
_MOST = 50_000


class KnownFile(msgspec.Struct, frozen=True, array_like=True):
    """What is known of one file: its stamp, its content's digest, and the modules it imports."""

    stamp: Stamp
    digest: bytes
    imports: tuple[str, ...] = ()


class KnownFiles:
    """The files of one project by their absolute path. ``file`` is where they are kept, ``""`` for nowhere."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._kept = self._read() if file else {}
        self._new: dict[str, KnownFile] = {}

    def _read(self) -> dict[str, KnownFile]:
        try:
            with open(self._file, "rb") as file:
                data = file.read()
            if blake3(data[_DIGEST:]).digest() != data[:_DIGEST]:
                return {}
            version, kept = msgspec.msgpack.decode(data[_DIGEST:], type=tuple[int, dict[str, KnownFile]])
        except (OSError, msgspec.DecodeError, msgspec.ValidationError):
            return {}
        return kept if version == _VERSION else {}

    def get(self, path: str, stamp: Stamp) -> KnownFile | None:
        """What is known of the file at ``path``, as long as its stamp is the same."""
        known = self._new.get(path) or self._kept.get(path)
        return known if known is not None and known.stamp == stamp else None

    def learn(self, path: str, stamp: Stamp, digest: bytes, imports: tuple[str, ...] = ()) -> None:
        """Remember a file, unless it was changed so recently that it may change again unnoticed."""
        _, modified, changed, _ = stamp
        if max(modified, changed) < time.time_ns() - _SETTLED:
            self._new[path] = KnownFile(stamp, digest, imports)

    def save(self) -> None:
        """Keep what was learned for the next run. Several processes may do so at once: the last one's stays."""
        if not self._new or not self._file:
            return
        merged = {**self._kept, **self._new}
        for path in list(merged)[: max(0, len(merged) - _MOST)]:
            del merged[path]
        body = msgspec.msgpack.encode((_VERSION, merged))
        draft = f"{self._file}.{os.getpid()}.{time.monotonic_ns()}"
        with contextlib.suppress(OSError):  # it is learned again
            os.makedirs(os.path.dirname(self._file), 0o700, exist_ok=True)
            with open(draft, "wb") as file:
                file.write(blake3(body).digest() + body)
            os.replace(draft, self._file)
        self._kept, self._new = merged, {}
