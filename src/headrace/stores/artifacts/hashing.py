"""BLAKE3 over one or many buffers, with as many threads as it is worth.

Never ``blake3.AUTO``: it uses one thread pool for the whole process, which does not survive ``fork``, and a worker is
forked. A pool of a fixed number of threads belongs to one hasher and dies with it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from blake3 import blake3

from headrace.stores.artifacts.protocol import Buffer

#: Below this many bytes starting threads costs more than it saves.
PARALLEL_FROM = 4 << 20
_MOST_THREADS = 8


def as_bytes_view(part: Buffer) -> memoryview:
    """``part`` as a flat view of single bytes, without a copy.

    Raises:
        TypeError: the buffer is not contiguous.
    """
    view = memoryview(part)
    if view.format == "B" and view.ndim == 1 and view.contiguous:
        return view
    return view.cast("B")


def hash_threads(size: int) -> int:
    """How many threads should hash ``size`` bytes on the cores this process may use."""
    return 1 if size < PARALLEL_FROM else max(1, min(len(os.sched_getaffinity(0)), _MOST_THREADS))


def digest_of(parts: Sequence[Buffer], size: int = 0) -> bytes:
    """The BLAKE3 of the concatenation of ``parts``, views of single bytes.

    ``size``, how many there are, decides on threads.
    """
    if len(parts) == 1 and size < PARALLEL_FROM:
        return blake3(parts[0]).digest()
    hasher = blake3(max_threads=hash_threads(size))
    for part in parts:
        hasher.update(part)
    return hasher.digest()
