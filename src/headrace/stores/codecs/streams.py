"""Finding sets in a pickle stream without unpickling it, at nearly no cost when there are none.

A set with elements begins EMPTY_SET MEMOIZE MARK, a frozenset ends FROZENSET MEMOIZE, and the pickler never breaks its
output between these. Where such bytes occur (numbers have them by chance), that piece of output, which starts at an
opcode, is read opcode by opcode, in long runs by one regular expression.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Sequence

_SET = b"\x8f\x94("
_FROZENSET = b"\x91\x94"

#: Opcodes with a counted argument: how many bytes hold the count.
_COUNTED = {
    ord("C"): 1,
    0x8A: 1,
    0x8C: 1,
    ord("B"): 4,
    ord("X"): 4,
    0x8B: 4,
    0x8D: 8,
    0x8E: 8,
    0x96: 8,
}


@functools.cache
def _plain_run() -> re.Pattern[bytes]:
    """Many opcodes that are not of sets and whose length is known; short strings among them."""
    many = b"++" if sys.version_info >= (3, 11) else b"{1,1000}"  # the expression need never go back
    short = b"|".join(re.escape(bytes([length])) + b".{%d}" % length for length in range(24))
    return re.compile(
        rb"(?:G.{8}|K.|M..|\x8c(?:" + short + rb")|h.|J.{4}|j.{4}|\x95.{8}|\x80."
        rb"|[()0124Nabdelostu}\]R.\x81\x85-\x89\x90\x92-\x94\x97\x98])" + many,
        re.DOTALL,
    )


def may_hold_sets(parts: Sequence[bytes]) -> bool:
    """Whether a pickle stream may contain a set with elements, given as the pieces the pickler wrote.

    Never wrong when it says no; the answer depends on nothing but the bytes.
    """
    before: bytes | None = None
    for part in parts:
        if (_SET in part or _FROZENSET in part) and not _is_contents(part, before) and _has_set_opcode(part):
            return True
        before = part
    return False


def _is_contents(part: bytes, before: bytes | None) -> bool:
    """Whether ``part`` is the contents of a large string, written apart: the piece before ends in its size."""
    if before is None or len(part) < 1 << 16:
        return False
    size = len(part).to_bytes(8, "little")
    return before.endswith(size) or (before.endswith(size[:4]) and before[-5:-4] in (b"B", b"X"))


def _has_set_opcode(part: bytes) -> bool:
    """Read one piece of output, which starts at an opcode."""
    run, place, size = _plain_run(), 0, len(part)
    while place < size:
        found = run.match(part, place)
        if found:
            place = found.end()
            continue
        opcode = part[place]
        counted = _COUNTED.get(opcode)
        if counted is not None:
            start = place + 1 + counted
            place = start + int.from_bytes(part[place + 1 : start], "little")
        elif opcode == 0x8F:  # EMPTY_SET; it stays empty when no MARK follows
            if part[place : place + 3] == _SET:
                return True
            place += 1
        else:
            return True
    return False
