"""A digest that does not depend on hash seeds, for values whose pickle does.

Sets are pickled in hash order, which differs between processes, and cloudpickle gives every class it writes a random
number. The payload keeps that; the digest of such a value is taken from a second stream, which is never loaded: sets
are replaced by the sorted digests of their elements, random numbers by zero, code objects lose their line numbers.

A subclass of ``set`` writes itself as a list and is not seen here: its digest may differ between processes, which
costs a needless second run of a task but never a wrong value.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from types import CodeType
from typing import TYPE_CHECKING

from blake3 import blake3

from headrace.stores.artifacts.hashing import digest_of

if TYPE_CHECKING:
    from typing import Any


def canonical_digest(value: object, *, by_value: bool) -> bytes:
    """The BLAKE3 of ``value`` as a stream that is the same in every process. ``by_value``: cloudpickle wrote it."""
    return _digest(value, _Seen(), by_value)


class _Seen:
    """The sets met so far, with their numbers: the same set in two places differs from two equal sets."""

    __slots__ = ("keep", "numbers")

    def __init__(self) -> None:
        self.numbers: dict[int, int] = {}
        self.keep: list[object] = []  # an id is only good while its object lives


_Callback = Callable[[pickle.PickleBuffer], bool]


class _Sink:
    __slots__ = ("write",)

    def __init__(self, write: Callable[[Any], object]) -> None:
        self.write = write


def _digest(value: object, seen: _Seen, by_value: bool) -> bytes:
    hasher = blake3()
    sink = _Sink(hasher.update)

    def hash_apart(buffer: pickle.PickleBuffer) -> bool:
        with buffer.raw() as view:
            hasher.update(digest_of([view], view.nbytes))
        return False

    make = _by_value_pickler if by_value else _Pickler
    make(sink, seen, hash_apart).dump(value)
    return hasher.digest()


def _stand_in(value: object, seen: _Seen, by_value: bool) -> object:
    """What is written in place of a set; ``None`` for everything else."""
    kind = type(value)
    if kind is not set and kind is not frozenset:
        return None
    number = seen.numbers.get(id(value))
    if number is not None:
        return kind.__name__, number
    number = seen.numbers[id(value)] = len(seen.keep)
    seen.keep.append(value)
    elements = sorted(_digest(element, seen, by_value) for element in value)  # type: ignore[attr-defined]
    return kind.__name__, number, b"".join(elements)


class _Pickler(pickle.Pickler):
    def __init__(self, sink: _Sink, seen: _Seen, buffer_callback: _Callback) -> None:
        super().__init__(sink, 5, buffer_callback=buffer_callback)
        self._seen = seen

    def persistent_id(self, obj: object) -> object:
        return _stand_in(obj, self._seen, by_value=False)


def _by_value_pickler(sink: _Sink, seen: _Seen, buffer_callback: _Callback) -> pickle.Pickler:
    import cloudpickle

    class ByValue(cloudpickle.Pickler):  # type: ignore[misc]
        def persistent_id(self, obj: object) -> object:
            return _stand_in(obj, seen, by_value=True)

        def reducer_override(self, obj: object) -> object:
            if type(obj) is CodeType:
                obj = obj.replace(co_filename="", co_firstlineno=0, co_linetable=b"")
            reduced = super().reducer_override(obj)
            if isinstance(reduced, tuple) and reduced[0].__name__ in _SKELETONS:
                arguments = tuple(0 if _is_tracker_id(item) else item for item in reduced[1])
                reduced = (reduced[0], arguments, *reduced[2:])
            return reduced

    pickler: pickle.Pickler = ByValue(sink, 5, buffer_callback=buffer_callback)
    return pickler


_SKELETONS = frozenset({"_make_skeleton_class", "_make_skeleton_enum", "_make_typevar"})


def _is_tracker_id(item: object) -> bool:
    """cloudpickle's number of a class: 32 hex digits, made by ``uuid4`` when it first writes the class."""
    return type(item) is str and len(item) == 32 and all(digit in "0123456789abcdef" for digit in item)
