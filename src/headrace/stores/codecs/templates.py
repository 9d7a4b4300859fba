"""Plain containers with holes: lists and dictionaries of plain values, some of which are not there yet.

Arguments like ``[first, second]`` or ``{"model": trained}``, of futures, are written as MessagePack in which a hole is
an extension with its number. Templates that hold anything else are pickled.
"""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.stores.codecs.context import HOLES, Packing, current, fill_hole
from headrace.stores.codecs.plain import NODE_LIMIT, is_plain_scalar

_HOLE = 1
_NUMBER = 4  # bytes of a hole's number


class _NotPlainError(Exception):
    """The value holds more than this form can write."""


def encode_template(value: object, packing: Packing) -> bytes | None:
    """``value`` with holes for what ``packing`` calls so; None when it has none, or holds more than plain values."""
    outer = current.packing
    current.packing = packing
    try:
        data = _encode(_Copy().of(value))
    except Exception:  # also what a hole raises: pickling the value raises it again, with an explanation
        packing.restart()
        return None
    finally:
        current.packing = outer
    return data if packing.holes else None


class _Copy:
    """A copy of a container with extensions of MessagePack in place of its holes. No container occurs twice in it."""

    __slots__ = ("_left", "_seen")

    def __init__(self) -> None:
        self._left = NODE_LIMIT  # parts that are not holes; a larger structure is pickled
        self._seen: set[int] = set()

    def of(self, value: object) -> Any:
        """Raises whatever a part that cannot be written raises."""
        kind = type(value)
        if kind in HOLES:
            reduced: Any = value.__reduce__()
            if reduced[0] is not fill_hole:
                raise _NotPlainError
            return msgspec.msgpack.Ext(_HOLE, reduced[1][0].to_bytes(_NUMBER, "big"))
        self._left -= 1
        if self._left < 0 or id(value) in self._seen:
            raise _NotPlainError
        if kind is list:
            self._seen.add(id(value))
            return [self.of(item) for item in value]  # type: ignore[attr-defined]
        if kind is dict:
            self._seen.add(id(value))
            return {_name(key): self.of(item) for key, item in value.items()}  # type: ignore[attr-defined]
        if not is_plain_scalar(value):
            raise _NotPlainError
        return value


def _name(key: object) -> str:
    if type(key) is not str:
        raise _NotPlainError
    return key


def _fill(code: int, data: memoryview) -> object:
    return fill_hole(int.from_bytes(data, "big"))


_encode = msgspec.msgpack.Encoder().encode
#: The value again, with the values of the ``unpack_template`` that is going on in its holes.
decode_template = msgspec.msgpack.Decoder(ext_hook=_fill).decode
