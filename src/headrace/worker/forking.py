"""Whether this process can be forked and its children trusted."""

from __future__ import annotations

import os
import sys
import threading

#: Threads of libraries that prepare themselves for a fork (``pthread_atfork``).
_HARMLESS = ("jemalloc_bg_thd",)


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
    others = [name for name in _thread_names() if name not in _HARMLESS]
    return len(others) <= 1 or len(others) - 1 <= _blas_threads()


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
