"""What the driver and the process that workers are forked from say to each other.

Over a ``SOCK_SEQPACKET`` the driver asks ``F<id>`` (fork; three descriptors come along: socket, stdout, stderr),
``T<id>`` (fork a template, see there; its control socket comes along) and ``K<id><signal>`` (signal the process
group); the server tells ``X<id><status>`` when one has ended. Numbers are 8 bytes, little-endian, signed.
"""

from __future__ import annotations

import struct

#: A kind and one number, or two.
NUMBER, NUMBERS = struct.Struct("<cq"), struct.Struct("<cqq")
#: Bytes of a message to or from a template. Names that do not fit are left out.
MESSAGE = 1 << 16


def fork_request(number: int) -> bytes:
    """Ask for a worker called ``number``."""
    return NUMBER.pack(b"F", number)


def template_request(number: int) -> bytes:
    """Ask for a template called ``number``."""
    return NUMBER.pack(b"T", number)


def kill_request(number: int, signum: int) -> bytes:
    """Send ``signum`` to a worker and all its processes."""
    return NUMBERS.pack(b"K", number, signum)


def parse_exit(data: bytes) -> tuple[int, int]:
    """The number of a worker that ended, and its status as ``waitpid`` gives it."""
    _, number, status = NUMBERS.unpack(data)
    return number, status
