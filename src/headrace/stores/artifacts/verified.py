"""Which files were found to hold what their names promise, remembered by this process and those forked from it.

Hashing a gigabyte takes as long as writing half of it, and on one machine the bytes that a worker wrote are read by
its sibling a moment later. So the table lives in anonymous shared memory, made when this module is imported: a fork
server that imports it before it forks lets its workers trust one another, and no other process can write to it.

An entry is good while inode, size, and the times of modification and of change are the same; the last cannot be set by
a program, so a file that was altered in any way is hashed again. Entries carry all they are compared with, so a slot
torn between two writers matches no file.
"""

from __future__ import annotations

import mmap
import os
import struct

_ENTRY = struct.Struct("<32sQQQQ")
_SLOTS = 4096

_table = mmap.mmap(-1, _ENTRY.size * _SLOTS)


def remember(digest: bytes, status: os.stat_result) -> None:
    """The file with this ``status`` holds the bytes named ``digest``."""
    entry = _entry(digest, status)
    place = _place(digest)
    _table[place : place + _ENTRY.size] = entry


def is_verified(digest: bytes, status: os.stat_result) -> bool:
    """Whether the file was verified and has not been altered since."""
    place = _place(digest)
    return _table[place : place + _ENTRY.size] == _entry(digest, status)


def _entry(digest: bytes, status: os.stat_result) -> bytes:
    return _ENTRY.pack(digest, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _place(digest: bytes) -> int:
    return int.from_bytes(digest[:4], "little") % _SLOTS * _ENTRY.size
