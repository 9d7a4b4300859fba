"""A faster ``dispatch_table`` for picklers, which writes the same bytes.

The C pickler raises and drops a KeyError for each object whose class is not in the table it was given, and asks each
object of a plain class for a dozen special methods that it does not have.
"""

from __future__ import annotations

import copyreg
import operator
from collections.abc import Callable
from types import GetSetDescriptorType
from typing import Any

_Reducer = Callable[[Any], Any]
_HEAP = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by a class statement, or by a library in the same way
_as_usual: _Reducer = operator.methodcaller("__reduce_ex__", 5)
_new = copyreg.__newobj__  # type: ignore[attr-defined]


#: Objects of a class whose reductions are kept for the second stream; many of one class are cheap to reduce.
_KEPT = 500


class DispatchTable(dict[type, _Reducer]):
    """Entries for all classes that one pickler meets; made for one value, for classes may change.

    The reductions of the first objects of each class are kept: what a library computes or copies to reduce an object
    (a frame, a fitted model) is then computed once, although the object is written to two streams.
    """

    __slots__ = ("_entries", "_kept", "_met")

    def __init__(self, entries: dict[type, _Reducer]) -> None:
        super().__init__()
        self._entries = entries
        self._met: set[type] = set()
        #: By id, with the object itself, so that no other can have its id.
        self._kept: dict[int, tuple[object, Any]] = {}

    def __missing__(self, kind: type) -> _Reducer:
        reducer = self._entries.get(kind)
        if reducer is None:
            if kind not in self._met:  # most classes have one object in a value
                if issubclass(kind, type):
                    raise KeyError(kind)  # a class of classes: they go by their names
                self._met.add(kind)
                return self._keeping(_as_usual)
            if _is_plain(kind):
                self[kind] = _plainly
                return _plainly
            reducer = _as_usual
        keeping = self[kind] = self._keeping(reducer, kind)
        return keeping

    def _keeping(self, reducer: _Reducer, kind: type | None = None) -> _Reducer:
        kept, left = self._kept, _KEPT

        def keep(value: Any) -> Any:
            nonlocal left
            reduced = reducer(value)
            # Iterators, of the items of a list or dictionary, serve once.
            if type(reduced) is not tuple or reduced[3:5].count(None) == len(reduced[3:5]):
                kept[id(value)] = (value, reduced)
                left -= 1
                if not left and kind is not None:
                    self[kind] = reducer
            return reduced

        return keep

    def again(self) -> Replay:
        """A table for a second stream of the same value."""
        return Replay(self, self._entries, self._kept)

    def forget(self) -> None:
        """Begin anew, with a value that may have changed."""
        self.clear()
        self._met.clear()
        self._kept.clear()


class Replay(dict[type, _Reducer]):
    """Reduces the objects that a ``DispatchTable`` has reduced as it did, and others as it would.

    What it says of a dtype of NumPy is its name: each scalar refers to one.
    """

    __slots__ = ("_entries", "_first", "_kept")

    def __init__(
        self, first: DispatchTable, entries: dict[type, _Reducer], kept: dict[int, tuple[object, Any]]
    ) -> None:
        super().__init__()
        self._first = first
        self._entries = entries
        self._kept = kept

    def __missing__(self, kind: type) -> _Reducer:
        reducer = self._entries.get(kind)
        if reducer is None:
            if kind not in self._first and issubclass(kind, type):
                raise KeyError(kind)
            reducer = _as_usual
        settled = self._first.get(kind)
        if kind.__module__ == "numpy.dtypes":
            reducer = _by_its_name
        elif settled is _plainly or settled is reducer:  # many objects, each quickly reduced
            reducer = settled
        else:
            reducer = self._replaying(reducer)
        self[kind] = reducer
        return reducer

    def _replaying(self, usual: _Reducer) -> _Reducer:
        kept = self._kept

        def replay(value: Any) -> Any:
            found = kept.get(id(value))
            return usual(value) if found is None else found[1]

        return replay


def _by_its_name(dtype: Any) -> Any:
    if dtype.names is None and dtype.subdtype is None and not dtype.metadata:
        return type(dtype).__mro__[-2], (dtype.str,)
    return dtype.__reduce_ex__(5)


def _plainly(value: Any) -> Any:
    return _new, (type(value),), value.__dict__ or None


def _is_plain(kind: type) -> bool:
    """Whether objects of ``kind`` are made by ``__new__`` without arguments and are their ``__dict__``."""
    one: Any = kind
    of_object: Any = object
    for name in ("__reduce_ex__", "__reduce__", "__getstate__", "__getattribute__"):
        if getattr(one, name, None) is not getattr(of_object, name, None):  # 3.10 has no ``__getstate__`` there
            return False
    if hasattr(one, "__getnewargs__") or hasattr(one, "__getnewargs_ex__") or copyreg._slotnames(kind):  # type: ignore[attr-defined]
        return False
    for base in kind.__mro__[:-1]:
        found = base.__dict__.get("__dict__")
        if not base.__flags__ & _HEAP or not isinstance(found, GetSetDescriptorType | None):
            return False
    return bool(one.__dictoffset__) and not one.__itemsize__
