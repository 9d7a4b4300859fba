"""Environments that are built in a home: listing them, and removing those that nobody uses."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from headrace.model.environments import EnvironmentLock
from headrace.services.environments.building import MARK, mark_of

#: One that was not used for so many seconds may go when garbage is collected.
UNUSED = 30 * 86400.0


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """An environment on this disk. ``size`` is that of its files in bytes; ``used`` when a run asked for it last."""

    lock: EnvironmentLock
    folder: str
    size: int
    used: float


def kept_environments(cache: str) -> list[Kept]:
    """All whole environments, the one that was used last first."""
    found = []
    for folder in _folders(cache):
        mark = mark_of(folder)
        if mark is not None:
            with contextlib.suppress(OSError):
                used = (folder / MARK).stat().st_mtime
                found.append(Kept(lock=mark.lock, folder=str(folder), size=mark.size, used=used))
    return sorted(found, key=lambda one: -one.used)


def _folders(cache: str) -> Iterator[Path]:
    with contextlib.suppress(OSError):  # none was built
        for entry in os.scandir(Path(cache, "built")):
            if "." not in entry.name and entry.is_dir(follow_symlinks=False):
                yield Path(entry.path)


def remove_environment(kept: Kept) -> bool:
    """Remove an environment; False if a process uses it."""
    folder = Path(kept.folder)
    lock = f"{folder}.used"
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        aside = folder.with_name(f"{folder.name}.draft-{os.getpid()}-{os.urandom(4).hex()}")
        with contextlib.suppress(FileNotFoundError):
            folder.rename(aside)  # whole or not there
            shutil.rmtree(aside, ignore_errors=True)
    finally:
        os.close(descriptor)
    return True


def unused(cache: str, now: float, age: float = UNUSED) -> list[Kept]:
    """Environments that were not used for ``age`` seconds."""
    return [one for one in kept_environments(cache) if one.used < now - age]
