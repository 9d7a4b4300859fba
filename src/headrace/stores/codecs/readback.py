"""Whether what pickle wrote can be read again, tried once for each class.

A class with a ``__new__``, ``__setstate__`` or ``__reduce__`` that does not fit is pickled without complaint, and fails
the process that loads the value. So the first small value with a class of the user's, or of a library that is not well
known, is loaded once right after it was pickled. Afterwards the class counts as proven in this process.
"""

from __future__ import annotations

import pickle
import sys
from typing import Any
from weakref import WeakSet

from headrace._base.usercode import is_user_module
from headrace.model.errors import HeadraceError, NotStorableError
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.codecs.context import Packing, Unpacking, current
from headrace.stores.codecs.pickle_errors import path_to, type_name
from headrace.stores.codecs.pickling import OwnReducers, Pickled, Sink, by_value_pickler

#: Values up to this many bytes are tried; of a larger one, the first instance of each class by itself.
LIMIT = 1 << 20
#: Libraries whose classes are known to come back.
_KNOWN = frozenset(
    ("headrace", "jax", "jaxlib", "numpy", "pandas", "polars", "pyarrow", "scipy", "sklearn", "torch", "cloudpickle")
)
_proven: WeakSet[type] = WeakSet()


def check_read_back(value: object, pickled: Pickled, store: ArtifactStore) -> None:
    """Load ``value``, just pickled, where it has a class that was not loaded yet.

    Raises:
        NotStorableError: it cannot be loaded; the message names the part, its class and what to do.
    """
    new = [kind for kind in pickled.named.firsts if kind not in _proven]
    if not new:
        return
    doubtful = [kind for kind in new if _is_doubtful(kind)]
    _proven.update(set(new).difference(doubtful))
    if not doubtful:
        return
    failure: Exception | None = None
    try:
        if _load(pickled.parts, pickled.buffers, store):
            _proven.update(doubtful)
            return
    except HeadraceError:  # a part of it wants more than its own pickle
        return
    except Exception as error:
        failure = error
    for kind in reversed(doubtful):  # the innermost first, to blame that one
        one = pickled.named.firsts[kind]
        if one is not value and _try_alone(value, one, by_value=pickled.by_value, store=store):
            _proven.add(kind)
    if failure is not None:
        raise NotStorableError(_complaint(value, value, failure)) from failure


def _is_doubtful(kind: type) -> bool:
    module: object = kind.__module__
    if not isinstance(module, str):
        return False
    top = module.partition(".")[0]
    return is_user_module(module) or not (top in _KNOWN or top in sys.stdlib_module_names)


def _load(parts: list[bytes], buffers: list[memoryview], store: ArtifactStore) -> bool:
    """Load a pickle and forget what comes of it. False: it is too large to be tried."""
    if sum(map(len, parts)) + sum([view.nbytes for view in buffers]) > LIMIT:
        return False
    outer = current.unpacking
    current.unpacking = Unpacking(store, None)
    try:
        pickle.loads(b"".join(parts), buffers=[bytearray(view) for view in buffers])
    finally:
        current.unpacking = outer
    return True


class _TooLarge(Exception):
    pass


def _try_alone(value: object, one: object, *, by_value: bool, store: ArtifactStore) -> bool:
    """Pickle and load ``one``, a part of ``value``. False: that cannot be done with the part alone."""
    try:
        parts, buffers = _dump(one, by_value=by_value, store=store)
    except Exception:  # too large, or it can only be pickled as a part of the whole
        return False
    try:
        return _load(parts, buffers, store)
    except HeadraceError:
        return False
    except Exception as error:
        raise NotStorableError(_complaint(value, one, error)) from error


def _complaint(value: object, one: object, error: Exception) -> str:
    kind = type(one)
    where = "" if one is value else path_to(value, one)
    subject = f"{type(value).__qualname__}{where} (a {type_name(kind)})" if where else f"a {type_name(kind)}"
    reason = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    return (
        f"{subject} cannot be stored: pickle writes it, but cannot read it back [{reason}]; give {kind.__name__} a "
        "__reduce__ or __getnewargs__ that fits the way it is made, or store what it can be made from"
    )


def _dump(one: object, *, by_value: bool, store: ArtifactStore) -> tuple[list[bytes], list[memoryview]]:
    parts: list[bytes] = []
    buffers: list[memoryview] = []
    left = LIMIT

    def write(piece: bytes) -> None:
        nonlocal left
        left -= len(piece)
        if left < 0:
            raise _TooLarge
        parts.append(bytes(piece))

    def keep(buffer: pickle.PickleBuffer) -> bool:
        buffers.append(buffer.raw())
        return False

    own = OwnReducers()
    outer = current.packing
    current.packing = Packing(store, template=False)
    try:
        pickler: Any
        if by_value:
            pickler = by_value_pickler()(Sink(write), own, keep)
        else:
            pickler = pickle.Pickler(Sink(write), 5, buffer_callback=keep)
            pickler.dispatch_table = own.dispatch
        pickler.dump(one)
    finally:
        current.packing = outer
    return parts, buffers
