"""Whether this process can be forked and its children trusted."""

from __future__ import annotations

import os
import sys
import threading
import time

#: Threads of libraries that prepare themselves for a fork (``pthread_atfork``).
_HARMLESS = ("jemalloc_bg_thd",)
#: How often, and how many seconds apart, to look for threads that have been joined but are not quite gone.
_LOOKS, _BETWEEN = 20, 0.001


def may_fork() -> bool:
    """No thread but this one, and no device in use.

    A lock that another thread holds at the moment of the fork stays locked in the child for ever. Threads of
    OpenBLAS and of jemalloc do not count: those libraries handle forks themselves.
    """
    if threading.active_count() > 1:
        return False
    if "obstore" in sys.modules:  # its runtime does not survive a fork
        return False
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return False
    return _only_harmless_threads()


def _only_harmless_threads() -> bool:
    """Python says that a thread has ended a moment before the system does."""
    for look in range(_LOOKS):
        if look:
            time.sleep(_BETWEEN)
        others = [name for name in _thread_names() if name not in _HARMLESS]
        if len(others) <= 1 or len(others) - 1 <= _blas_threads():
            return True
    return False


def _thread_names() -> list[str]:
    names = []
    for thread in os.listdir("/proc/self/task"):  # noqa: PTH208 - called before every run
        try:
            with open(f"/proc/self/task/{thread}/comm") as file:  # noqa: PTH123
                names.append(file.read().strip())
        except OSError:  # it has just ended
            continue
    return names


def _blas_threads() -> int:
    with open("/proc/self/maps") as file:  # noqa: PTH123
        libraries = {line.rsplit(None, 1)[-1] for line in file if "openblas" in line}
    return len(libraries) * ((os.cpu_count() or 1) - 1)
