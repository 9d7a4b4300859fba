"""What pickling hooks (``__reduce__`` of a file or a future) need to know of the ``pack`` that is going on.

One packing and one unpacking per thread at a time, nested ones on a stack kept by the caller's frames.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from headrace.model.errors import NotStorableError
from headrace.model.values import Blob
from headrace.stores.artifacts.protocol import ArtifactStore

T = TypeVar("T")
K = TypeVar("K")


class Packing:
    """One call of ``pack``: where blobs go, which were named on the way, and the holes of a template."""

    __slots__ = ("_known", "_once", "blobs", "holes", "read_back", "store")

    def __init__(self, store: ArtifactStore, *, template: bool, read_back: bool = False) -> None:
        self.store = store
        self.read_back = read_back  # whether values of classes that are new are loaded once, to see that they can be
        self.blobs: list[Blob] = []  # named by objects inside the value, beside the pickle's own buffers
        self.holes: list[object] | None = [] if template else None
        self._known: dict[int, int] = {}
        self._once: dict[int, tuple[object, object]] = {}  # with the object itself: an id lives as long as it does

    def restart(self) -> None:
        """Forget what a failed attempt to pickle collected."""
        self.blobs.clear()
        self._known.clear()
        if self.holes is not None:
            self.holes.clear()

    def once(self, value: object, work: Callable[[], T]) -> T:
        """``work()``, or what it returned before for the same object: a value may be pickled more than once."""
        if id(value) not in self._once:
            self._once[id(value)] = (value, work())
        return self._once[id(value)][1]  # type: ignore[return-value]

    def hole(self, value: object) -> int:
        """The number of the hole that stands for ``value``; the same object is always the same hole."""
        if self.holes is None:
            raise NotStorableError(
                f"a {type(value).__qualname__} cannot be stored inside a value; store its result instead"
            )
        number = self._known.get(id(value))
        if number is None:
            number = self._known[id(value)] = len(self.holes)
            self.holes.append(value)
        return number


class Unpacking:
    """One call of ``unpack``: where blobs come from, and what fills the holes."""

    __slots__ = ("store", "values")

    def __init__(self, store: ArtifactStore, values: Sequence[object] | Mapping[str, object] | None) -> None:
        self.store = store
        self.values = values


class _Current(threading.local):
    packing: Packing | None = None
    unpacking: Unpacking | None = None


#: What this thread is doing right now.
current = _Current()


#: Classes whose objects are holes of templates, as their ``__reduce__`` says.
HOLES: set[type] = set()


def is_hole(kind: type[K]) -> type[K]:
    """Say of a class that its ``__reduce__`` returns ``reduce_hole(self)``: simple templates then need no pickle."""
    HOLES.add(kind)
    return kind


def reduce_hole(value: object) -> tuple[object, tuple[int]]:
    """To be returned by ``__reduce__`` of an object that ``pack_template`` shall replace by a hole.

    Raises:
        NotStorableError: ``value`` is being pickled by anything else.
    """
    packing = current.packing
    if packing is None:
        raise NotStorableError(f"a {type(value).__qualname__} cannot be pickled; use its result instead")
    return fill_hole, (packing.hole(value),)


def fill_hole(number: Any) -> object:
    """Called by the unpickler: what stands for hole ``number``, which has a name instead where the values do."""
    unpacking = current.unpacking
    if unpacking is None or unpacking.values is None:
        raise NotStorableError("this value is a template: it can only be loaded together with what fills its holes")
    values: Any = unpacking.values
    return values[number]
