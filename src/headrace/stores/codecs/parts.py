"""A value whose parts are stored each by itself, and that is whole again, class and all, when it is loaded.

A step that returns a NamedTuple, dataclass or TypedDict makes one artifact per field. The value as such is a skeleton:
a copy of it with a numberless hole in place of each field, beside the manifests of the fields. Nothing large is stored
twice, and no ``__init__`` runs again when it is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from headrace._base.attributes import instance_dict, on_type, own
from headrace.model.values import Packed
from headrace.stores.codecs.context import fill_hole


class Whole(msgspec.Struct, frozen=True, array_like=True):
    """The payload: the skeleton, and what fills its holes."""

    skeleton: Packed
    parts: dict[str, Packed]


class _Hole:
    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __reduce__(self) -> Any:
        return fill_hole, (self._name,)


def skeleton_of(value: Any, names: Mapping[str, object]) -> Any | None:
    """A copy of ``value`` with holes for the fields ``names``; None when it does not hold them as plain fields."""
    holes = {name: _Hole(name) for name in names}
    if isinstance(value, dict):
        return {**value, **holes} if type(value) is dict else None
    kind: Any = type(value)
    plain: Any = object
    if isinstance(value, tuple):
        if own(value, "_fields") != tuple(names) or instance_dict(value):
            return None
        return tuple.__new__(kind, holes.values())
    if not hasattr(kind, "__dataclass_fields__") or kind.__reduce_ex__ is not plain.__reduce_ex__:
        return None
    if (
        getattr(kind, "__getstate__", None) is not getattr(plain, "__getstate__", None)
        or on_type(value, "__dict__") is None
    ):
        return None  # its own idea of its state, or slots: then it is stored in one piece
    copy = object.__new__(kind)
    vars(copy).update({**vars(value), **holes})
    return copy


def encode(skeleton: Packed, parts: dict[str, Packed]) -> bytes:
    """The payload."""
    return msgspec.msgpack.encode(Whole(skeleton, parts))


def decode(payload: bytes | memoryview, load: Callable[[Packed, Mapping[str, object] | None], object]) -> object:
    """The value again: ``load(manifest, what fills holes)``."""
    whole = msgspec.msgpack.decode(payload, type=Whole)
    return load(whole.skeleton, {name: load(part, None) for name, part in whole.parts.items()})
