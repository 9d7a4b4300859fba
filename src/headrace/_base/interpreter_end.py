"""The end of the interpreter: the last search for garbage is left out where nothing could come of it.

Before a process ends, Python takes its modules apart and looks through everything that was made, to finalize what
refers to itself. For the tens of thousands of objects that imports make this takes longer than a small run. It matters
only for objects that do something when they go, such as files that are still to be written.
"""

from __future__ import annotations

import atexit
import gc
import io
import os
import sys
import threading
from collections.abc import Callable

_STREAMS = frozenset({io.TextIOWrapper, io.BufferedReader, io.BufferedWriter, io.FileIO})


def quicken(close: Callable[[], None]) -> None:
    """When this process ends, call ``close`` and leave the last collection out if no object needs it.

    Neither happens in a forked child, nor while other threads run, which may still use what ``close`` closes.
    """
    atexit.register(_end, os.getpid(), close)


def _end(pid: int, close: Callable[[], None]) -> None:
    if os.getpid() != pid or threading.active_count() > 1:
        return
    close()
    if not _finalizer_is_left():
        gc.freeze()


def _finalizer_is_left() -> bool:
    """Whether an object does something when it goes, other than the standard streams.

    Connections of ``sqlite3`` have no ``__del__`` and put the file in order when they are closed.
    """
    kinds = list(map(type, gc.get_objects()))
    different = set(kinds)
    if any(hasattr(one, "__del__") and one not in _STREAMS for one in different):
        return True
    database = getattr(sys.modules.get("sqlite3"), "Connection", None)
    if database in different:
        return True
    streams = list(filter(_STREAMS.__contains__, kinds))  # one walk over what may be many
    return any(streams.count(one) > _standard(one) for one in _STREAMS)


def _standard(kind: type) -> int:
    """How many objects of ``kind`` the standard streams are made of."""
    texts = [one for one in (sys.__stdin__, sys.__stdout__, sys.__stderr__) if isinstance(one, io.TextIOWrapper)]
    buffers = [one.buffer for one in texts]
    raws = [getattr(one, "raw", None) for one in buffers]
    return sum(type(one) is kind for one in [*texts, *buffers, *raws])
