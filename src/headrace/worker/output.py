"""Catching what a worker prints, below Python: file descriptors 1 and 2 are files in memory shared with the driver.

The kernel does all the work; nothing is lost when the process dies; and the size of the files tells which attempt
wrote what.
"""

from __future__ import annotations

import io
import os
import sys


class Capture:
    """Two memory files as the process's stdout and stderr. ``fds`` stay open beside descriptors 1 and 2."""

    def __init__(self, out: int, err: int) -> None:
        self._fds = (out, err)
        self._inodes = (os.fstat(out).st_ino, os.fstat(err).st_ino)
        self._installed = False
        self._originals: tuple[object, object] = (None, None)

    def install(self) -> None:
        """Point descriptors 1 and 2, ``sys.stdout`` and ``sys.stderr`` here; stdin becomes empty."""
        self._installed = True
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - it lives as long as the process
        for fd, source in zip((1, 2), self._fds, strict=True):
            os.dup2(source, fd)
        sys.stdout, sys.stderr = _stream(1, "strict"), _stream(2, "backslashreplace")
        self._originals = (sys.stdout, sys.stderr)

    def ends(self) -> tuple[int, int]:
        """How many bytes were written so far."""
        out, err = self._fds
        return os.lseek(out, 0, os.SEEK_END), os.lseek(err, 0, os.SEEK_END)

    def repair(self) -> None:
        """Undo what a step did to stdout and stderr: closed them, pointed them elsewhere, replaced them."""
        if not self._installed:
            return
        try:
            same = (os.fstat(1).st_ino, os.fstat(2).st_ino) == self._inodes
        except OSError:
            same = False
        if not same:
            for fd, source in zip((1, 2), self._fds, strict=True):
                os.dup2(source, fd)
        out, err = self._originals
        if getattr(out, "closed", False) or getattr(err, "closed", False):
            out, err = self._originals = (_stream(1, "strict"), _stream(2, "backslashreplace"))
        if sys.stdout is not out or sys.stderr is not err:
            sys.stdout, sys.stderr = out, err


def _stream(fd: int, errors: str) -> io.TextIOWrapper:
    raw = open(fd, "wb", closefd=False)  # noqa: SIM115 - it lives as long as the process
    return io.TextIOWrapper(raw, encoding="utf-8", errors=errors, line_buffering=True)
