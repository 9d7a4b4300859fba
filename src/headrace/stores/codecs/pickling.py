"""Everything else: pickle protocol 5, large buffers outside of the stream, each as a blob of its own.

Plain pickle first; cloudpickle for what has no importable name (lambdas, local classes, a notebook's own).
"""

from __future__ import annotations

import copyreg
import functools
import io
import pickle
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from headrace.model.errors import HeadraceError, NotStorableError
from headrace.stores.codecs import arrays, frames, tables, tensors
from headrace.stores.codecs.dispatch_tables import DispatchTable
from headrace.stores.codecs.named import Named

if TYPE_CHECKING:
    from typing import Any

#: Buffers from this size on become blobs, so that equal columns are stored once; smaller ones stay in the stream.
BUFFER_FROM = 4096


class Sink:
    """The least that a pickler accepts as a file: large ``bytes`` arrive here without being copied."""

    __slots__ = ("write",)

    def __init__(self, write: Callable[[Any], object]) -> None:
        self.write = write


class Pickled:
    """A pickle stream in pieces, the buffers that were kept out of it, the reducers that were used, what it names."""

    __slots__ = ("buffers", "by_value", "named", "own", "parts")

    def __init__(self, own: OwnReducers, *, by_value: bool) -> None:
        self.parts: list[bytes] = []
        self.buffers: list[memoryview] = []
        self.own = own
        self.named = Named()
        self.by_value = by_value  # cloudpickle wrote it: code objects and classes are part of the stream


def keep_small(buffers: list[memoryview]) -> Callable[[pickle.PickleBuffer], bool]:
    """A ``buffer_callback`` that collects large buffers in ``buffers`` and leaves small ones in the stream."""

    def callback(buffer: pickle.PickleBuffer) -> bool:
        try:
            view = buffer.raw()
        except BufferError:  # not contiguous: the pickler copies it
            return True
        if view.nbytes < BUFFER_FROM:
            return True
        buffers.append(view)
        return False

    return callback


class OwnReducers:
    """Our ways to write types of libraries that are loaded, for one value; one that is not has no values to write.

    ``dispatch`` is that with everybody else's, for a pickler.
    """

    __slots__ = ("_storages", "dispatch", "table")

    def __init__(self) -> None:
        modules = sys.modules
        self.table: dict[type, Callable[[Any], Any]] = {}
        self._storages: tensors.Storages | None = None
        for library, name, reduce in _REDUCERS:
            kind = getattr(modules.get(library), name, None)
            if kind is not None:
                self.table[kind] = reduce
        if "pandas" in modules:
            self.table.update(frames.reducers())
        if getattr(modules.get("torch"), "UntypedStorage", None) is not None:
            self._storages = tensors.Storages()
            self.table.update(self._storages.reducers())
        self.dispatch = DispatchTable({**copyreg.dispatch_table, **self.table})

    def found_waste(self) -> bool:
        """Whether pickling the value again, with these reducers, would write much less."""
        return self._storages is not None and self._storages.found_waste()


_REDUCERS: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("numpy", "ndarray", arrays.reduce_array),
    ("jaxlib._jax", "ArrayImpl", arrays.reduce_jax),
    ("pyarrow", "ChunkedArray", tables.reduce_chunked),
    ("polars", "DataFrame", tables.reduce_frame),
    ("polars", "Series", tables.reduce_series),
)


def dump(value: object, before: Callable[[], object] | None = None) -> Pickled:
    """Pickle ``value``. ``before`` is called ahead of a second try, to forget what the first one collected.

    Raises:
        NotStorableError: neither pickle nor cloudpickle can write it; the message names what is to blame.
    """
    own = OwnReducers()
    try:
        pickled = _dump_plain(value, own)
        if own.found_waste():
            if before is not None:
                before()
            own.dispatch.forget()
            pickled = _dump_plain(value, own)
    except (HeadraceError, MemoryError):
        raise
    except RecursionError as exc:
        raise NotStorableError(
            f"a {type(value).__qualname__} cannot be stored: it is nested too deeply for pickle; "
            "give its class a __reduce__, or store it in a flatter form"
        ) from exc
    except Exception:  # whatever it was: either cloudpickle can do it, or it fails again and is explained
        pass
    else:
        if not (_main_is_interactive() and any(b"__main__" in part for part in pickled.parts)):
            return pickled
    if before is not None:
        before()
    return _dump_by_value(value, before)


class _Pickler(pickle.Pickler):
    """A pickler that may be given a ``reducer_override``: the class of C has no place for one."""


def _dump_plain(value: object, own: OwnReducers) -> Pickled:
    pickled = Pickled(own, by_value=False)
    pickler = _Pickler(Sink(pickled.parts.append), 5, buffer_callback=keep_small(pickled.buffers))
    pickler.dispatch_table = own.dispatch
    pickler.reducer_override = pickled.named.note  # type: ignore[method-assign]
    pickler.dump(value)
    return pickled


def _main_is_interactive() -> bool:
    """Whether ``__main__`` is a notebook or a prompt, whose classes no other process can import."""
    return not hasattr(sys.modules.get("__main__"), "__file__")


def _dump_by_value(value: object, before: Callable[[], object] | None) -> Pickled:
    own = OwnReducers()
    try:
        pickled = _write_by_value(value, own)
        if own.found_waste():
            if before is not None:
                before()
            pickled = _write_by_value(value, own)
    except (HeadraceError, MemoryError):
        raise
    except Exception as exc:
        from headrace.stores.codecs.pickle_errors import explain

        raise NotStorableError(explain(value, exc, _can_write)) from exc
    return pickled


def _write_by_value(value: object, own: OwnReducers) -> Pickled:
    pickled = Pickled(own, by_value=True)
    pickler = by_value_pickler()(Sink(pickled.parts.append), own, keep_small(pickled.buffers))
    pickler.note = pickled.named.note
    pickler.dump(value)
    return pickled


def _can_write(value: object) -> bool:
    """Whether ``value`` alone can be pickled; nothing is kept."""
    try:
        by_value_pickler()(Sink(lambda _: None), OwnReducers(), lambda _: False).dump(value)
    except Exception:
        return False
    return True


@functools.cache
def by_value_pickler() -> Any:
    """The class of picklers of cloudpickle with our reducers, refusing what would come back changed."""
    import cloudpickle

    class ByValue(cloudpickle.Pickler):  # type: ignore[misc]
        def __init__(self, sink: Sink, own: OwnReducers, callback: Callable[[Any], bool]) -> None:
            self._own = own
            self.note: Callable[[object], Any] | None = None
            super().__init__(sink, 5, buffer_callback=callback)

        def reducer_override(self, obj: object) -> Any:
            if self.note is not None:
                self.note(obj)
            return super().reducer_override(obj)

        @property
        def dispatch_table(self) -> dict[type, Callable[[Any], Any]]:
            # a property, because the pickler reads its table while it is made and never again
            table = {**cloudpickle.Pickler.dispatch_table, **self._own.table}
            table[io.TextIOWrapper] = table[memoryview] = _refuse
            return table

    return ByValue


def _refuse(value: object) -> Any:
    """cloudpickle makes a ``StringIO`` of an open file, ``bytes`` of a ``memoryview``."""
    raise TypeError(f"cannot pickle {type(value).__name__!r} object")
