"""Folders of attempts: one for outputs, one to work in. Making and removing folders costs more than a short component,
so a worker uses those again in which nothing was left.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from pathlib import Path

from headrace.runtime.commands.folders import new_folder, remove

#: What is in the folder of an attempt.
OUTPUTS, WORK = "outputs", "work"
#: By process: folders in which nothing was left.
_free: dict[int, list[str]] = {}
_count = 0


@contextlib.contextmanager
def attempt_folder() -> Iterator[str]:
    """The folder of one attempt, with two empty ones in it; what is in it is removed afterwards.

    Raises:
        CommandError: it cannot be made.
    """
    free = _free.setdefault(os.getpid(), [])
    folder = free.pop() if free else _made()
    try:
        yield folder
    finally:
        if _is_untouched(folder):
            free.append(folder)
        else:
            remove(Path(folder))


def _made() -> str:
    global _count
    _count += 1
    folder = f"{own_folder(os.getpid())}/{_count}"
    for one in (folder, f"{folder}/{OUTPUTS}", f"{folder}/{WORK}"):
        os.mkdir(one, 0o700)  # noqa: PTH102 - hot path
    return folder


@functools.cache
def own_folder(process: int) -> str:
    """The folder of a process, which is removed by another one once this one has ended.

    Raises:
        CommandError: it cannot be made.
    """
    return str(new_folder())


def _is_untouched(folder: str) -> bool:
    try:
        inside = sorted(os.listdir(folder))  # noqa: PTH208
        return inside == [OUTPUTS, WORK] and not any(os.listdir(f"{folder}/{one}") for one in inside)  # noqa: PTH208
    except OSError:  # a component removed or replaced one of them
        return False
