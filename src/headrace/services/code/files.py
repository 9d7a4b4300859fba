"""Reading files into a code package: what may be in one, and a content that belongs together.

Paths are plain strings: a run begins with hundreds of these questions.
"""

# ruff: noqa: PTH113, PTH112, PTH116, PTH118, PTH123 - see above

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator

from headrace._base.sizes import format_size
from headrace.model.errors import CodePackageError

#: How often a file that changes while it is read is read again.
_READS = 3
#: A search through folders gives up after so many entries.
MOST_ENTRIES = 20_000
_KINDS = {
    stat.S_IFSOCK: "a socket",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


#: By what a file is recognised as unchanged: its size, when it was modified and changed (nanoseconds), its inode.
Stamp = tuple[int, int, int, int]


class Refused(Exception):
    """A file cannot be in a package; the text says why, without the file's name."""


def stamp_of(status: os.stat_result) -> Stamp:
    """The stamp of a file."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def look_at(path: str, limit: int) -> os.stat_result:
    """The status of a file that may be in a package.

    Raises:
        Refused: it is missing, unreadable, not a file, larger than ``limit`` bytes, or behind links in a circle.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        raise Refused(_why(error)) from None
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG:
        raise Refused(f"is {_KINDS.get(kind, 'not a file')}")
    if status.st_size > limit:
        raise Refused(f"has {format_size(status.st_size)}, and code_file_limit is {format_size(limit)}")
    return status


def _why(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "is a link in a circle"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return "does not exist"
    return f"cannot be read ({error.strerror or error})"


def read(path: str, limit: int) -> tuple[bytes, Stamp]:
    """The content of a file as it was at one moment, and its stamp then.

    Raises:
        Refused: as ``look_at``, or it cannot be read.
        CodePackageError: it changed each time it was read.
    """
    for _ in range(_READS):
        before = stamp_of(look_at(path, limit))
        try:
            # Not blocking: between the look and this, a pipe may have taken the place of the file.
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            with open(descriptor, "rb", buffering=0) as file:
                status = os.fstat(descriptor)
                content = _read_all(file.fileno(), before[0]) if stat.S_ISREG(status.st_mode) else b""
                after = os.fstat(descriptor)
        except OSError as error:
            raise Refused(_why(error)) from None
        if stamp_of(status) == stamp_of(after) == before and len(content) == before[0]:
            return content, before
    raise CodePackageError(
        f"{path} changed each of the {_READS} times it was read for the code package; wait until it is written, "
        "or leave it out with `exclude` in [tool.headrace]"
    )


def _read_all(descriptor: int, size: int) -> bytes:
    """Up to one byte more than ``size``."""
    parts = []
    left = size + 1
    while left > 0:
        part = os.read(descriptor, left)
        if not part:
            break
        parts.append(part)
        left -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def walk(folder: str, root: str) -> Iterator[tuple[str, bool]]:
    """All files below ``folder`` that are not hidden, by path, each with whether a package may hold it at all.

    Links are followed where they stay in ``root`` (a real path) and do not lead back to where the search came through.

    Raises:
        CodePackageError: there are too many.
    """
    seen = 0
    todo: list[tuple[str, tuple[str, ...]]] = [(folder, (os.path.realpath(folder),))]
    while todo:
        place, way = todo.pop()
        try:
            entries = sorted(os.scandir(place), key=lambda entry: entry.name)
        except OSError:
            yield place, False
            continue
        seen += len(entries)
        if seen > MOST_ENTRIES:
            raise CodePackageError(
                f"{folder} has more than {MOST_ENTRIES:,} files and folders in it, too many for a code package; "
                "name fewer with `include`, or leave some out with `exclude`, in [tool.headrace]"
            )
        below = []
        for entry in entries:
            if entry.name.startswith(".") or entry.name == "__pycache__":
                continue
            if not entry.is_symlink():
                if entry.is_dir():
                    below.append((entry.path, (*way, os.path.realpath(entry.path))))
                else:
                    yield entry.path, entry.is_file()
                continue
            real = os.path.realpath(entry.path)
            inside = is_below(real, root)
            if not os.path.isdir(real):
                yield entry.path, inside and os.path.isfile(entry.path)
            elif not inside or real in way:
                yield entry.path, False
            else:
                below.append((entry.path, (*way, real)))
        todo += reversed(below)


def is_below(path: str, folder: str) -> bool:
    """Whether ``path`` is ``folder`` or in it; both are absolute."""
    return path == folder or path.startswith(os.path.join(folder, ""))
