"""Items of the lists that foreach goes over: each branch takes its own without decoding the whole list for itself.

A worker keeps the list that it took an item from last. What is handed out is the item itself where it cannot change
it, else a copy of it, so that branches do not see each other's changes.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, NamedTuple

from headrace.model.values import Packed

#: Values of these types cannot be changed in place.
IMMUTABLE = frozenset({str, bytes, int, float, bool, complex, type(None)})
#: Lists of fewer bytes are decoded each time, larger ones are not kept.
_LEAST, _MOST = 2_000, 1 << 25

_kept: list[Any] = [b"", None]


class Lent(NamedTuple):
    """An item: what the step got of it, and what it was."""

    item: Any
    original: Any

    @property
    def changed(self) -> bool:
        """Whether the step changed it in place."""
        return self.item is not self.original and self.item != self.original


def lend(load: Callable[[Packed], Any], packed: Packed, index: int) -> Lent | None:
    """Item ``index`` of a stored list; None when the list is to be loaded for it."""
    if not _LEAST <= packed.size <= _MOST:
        return None
    if _kept[0] != packed.digest:
        value = load(packed)
        _kept[:] = [packed.digest, value if type(value) in (list, tuple) else None]
    values = _kept[1]
    if values is None:
        return None
    item = values[index]
    if _is_fixed(item):
        return Lent(item, item)
    return Lent(deepcopy(item), item) if _is_plain(item) else None


def _is_fixed(value: Any) -> bool:
    return type(value) in IMMUTABLE or (type(value) is tuple and all(map(_is_fixed, value)))


def _is_plain(value: Any) -> bool:
    """Whether it is made of dictionaries, lists and what cannot be changed: a copy of it is as good."""
    if type(value) is dict:
        return all(map(_is_fixed, value)) and all(map(_is_plain, value.values()))
    return all(map(_is_plain, value)) if type(value) in (list, tuple) else _is_fixed(value)
