"""A descriptor that becomes readable now and then. Python has it from 3.13 on."""

from __future__ import annotations

import ctypes
import os
import time

_NONBLOCK_CLOEXEC = 0o4000 | 0o2000000


class _Interval(ctypes.Structure):
    _fields_ = (
        ("every_seconds", ctypes.c_long),
        ("every_nanoseconds", ctypes.c_long),
        ("first_seconds", ctypes.c_long),
        ("first_nanoseconds", ctypes.c_long),
    )


def timer_fd(seconds: float) -> int:
    """A descriptor that is readable every ``seconds``; read 8 bytes of it to have it silent until the next time."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd: int = libc.timerfd_create(time.CLOCK_MONOTONIC, _NONBLOCK_CLOEXEC)
    whole, rest = int(seconds), int(seconds % 1 * 1e9)
    interval = _Interval(whole, rest, whole, rest)
    if fd < 0 or libc.timerfd_settime(fd, 0, ctypes.byref(interval), None) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return fd
