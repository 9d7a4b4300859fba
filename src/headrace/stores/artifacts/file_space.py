"""Space for large files, asked for at once."""

from __future__ import annotations

import functools
from collections.abc import Callable

#: Below this many bytes the call costs more than it saves.
RESERVED_FROM = 1 << 20


def reserve(descriptor: int, start: int, size: int) -> None:
    """Ask for the blocks of ``size`` bytes behind the first ``start`` of a new file, which halves what writing costs.

    The file is that long then. Where there is no such call, or no room, writing will tell. ``os.posix_fallocate`` is
    not used: where a file system cannot reserve, the C library writes a byte into each block.
    """
    if size >= RESERVED_FROM and (call := _fallocate()) is not None:
        call(descriptor, 0, start, size)


@functools.cache
def _fallocate() -> Callable[[int, int, int, int], int] | None:
    import ctypes  # late: few processes write large files

    library = ctypes.CDLL(None)
    found = getattr(library, "fallocate64", None) or getattr(library, "fallocate", None)
    if found is not None:
        found.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return found
