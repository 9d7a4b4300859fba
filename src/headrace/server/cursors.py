"""Cursors of lists: where a list goes on, as a text that clients hand back and never look into.

A cursor holds the keys of the last item, and a digest of the list it is of: handed to another list, it is refused.
What it may say is checked by type, so that a forged one can at most name another place of a list that its sender may
read anyway.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec
from blake3 import blake3

from headrace.server.problems import Problem

_LONGEST = 1_000


def write_cursor(key: Any, of: object) -> str:
    """A cursor behind the item of ``key`` (plain values) in the list that ``of`` describes."""
    data = _digest(of) + msgspec.msgpack.encode(key)
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def read_cursor(text: str | None, kind: Any, of: object) -> Any:
    """The key in a cursor, which is a ``kind``; None without one.

    Args:
        text: as it came.
        kind: what the key is made of.
        of: the list that it is for.

    Raises:
        Problem: 400 where it is not a cursor of this list.
    """
    if text is None:
        return None
    bad = Problem(400, "bad-cursor", "this cursor is not of this list; begin again without one, with the same query")
    if len(text) > _LONGEST or not text.isascii():
        raise bad
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
        if data[:8] != _digest(of):
            raise bad
        return msgspec.msgpack.decode(data[8:], type=kind)
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise bad from None


def _digest(of: object) -> bytes:
    return blake3(msgspec.msgpack.encode(of, enc_hook=str)).digest(8)
