"""A digest that does not depend on hash seeds, for values whose pickle does.

Sets are pickled in hash order, which differs between processes, and cloudpickle gives every class it writes a random
number. The payload keeps that; the digest of such a value is taken from a second stream, which is never loaded: sets
are replaced by the sorted digests of their elements, random numbers by zero, code objects lose their line numbers.

A subclass of ``set`` writes itself as a list and is not seen here: its digest may differ between processes, which
costs a needless second run of a task but never a wrong value.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from types import CodeType
from typing import TYPE_CHECKING, Protocol

from blake3 import blake3

if TYPE_CHECKING:
    from typing import Any

# A set with elements begins EMPTY_SET MEMOIZE MARK, a frozenset ends FROZENSET MEMOIZE. The pickler never breaks its
# output between these. Other bytes may look the same by chance; then the digest is merely slower to compute.
_SET = b"\x8f\x94("
_FROZENSET = b"\x91\x94"


def may_hold_sets(parts: Iterable[bytes]) -> bool:
    """Whether a pickle stream may contain a set with elements. Never wrong when it says no."""
    return any(_SET in part or _FROZENSET in part for part in parts)


def canonical_digest(value: object, *, by_value: bool) -> bytes:
    """The BLAKE3 of ``value`` as a stream that is the same in every process. ``by_value``: cloudpickle wrote it."""
    return _digest(value, _Seen(), by_value)


class _Seen:
    """The sets met so far, with their numbers: the same set in two places differs from two equal sets."""

    __slots__ = ("keep", "numbers")

    def __init__(self) -> None:
        self.numbers: dict[int, int] = {}
        self.keep: list[object] = []  # an id is only good while its object lives


class _Writer(Protocol):
    """The one method of a file that a pickler needs."""

    write: Callable[[Any], object]


class _Sink:
    __slots__ = ("write",)

    def __init__(self, write: Callable[[Any], object]) -> None:
        self.write = write


def _digest(value: object, seen: _Seen, by_value: bool) -> bytes:
    hasher = blake3()
    sink = _Sink(hasher.update)
    pickler = _by_value_pickler(sink, seen) if by_value else _Pickler(sink, seen)
    pickler.dump(value)
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
    def __init__(self, sink: _Writer, seen: _Seen) -> None:
        super().__init__(sink, 5)
        self._seen = seen

    def persistent_id(self, obj: object) -> object:
        return _stand_in(obj, self._seen, by_value=False)


def _by_value_pickler(sink: _Writer, seen: _Seen) -> pickle.Pickler:
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

    pickler: pickle.Pickler = ByValue(sink, 5)
    return pickler


_SKELETONS = frozenset({"_make_skeleton_class", "_make_skeleton_enum", "_make_typevar"})


def _is_tracker_id(item: object) -> bool:
    """cloudpickle's number of a class: 32 hex digits, made by ``uuid4`` when it first writes the class."""
    return type(item) is str and len(item) == 32 and all(digit in "0123456789abcdef" for digit in item)
