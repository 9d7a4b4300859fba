"""Values of names, and functions without a name of their own, as bytes for a worker.

Functions and classes of modules go by name. A function made inside another one goes as it is, and keeps the globals
of its module, where that can be imported: a copy of them would not see what is set there.
"""

from __future__ import annotations

import functools
import importlib
import io
import sys
from collections.abc import Sequence
from types import CodeType, FunctionType
from typing import Any

from blake3 import blake3

from headrace._base.usercode import is_guarded, place_of_namespace
from headrace._base.whereabouts import from_root
from headrace.model.values import Blob, Packed
from headrace.stores import codecs
from headrace.stores.artifacts.protocol import ArtifactStore, Buffer

_CODEC = "transfer"


def pack(value: object, store: ArtifactStore) -> Packed:
    """Pack ``value`` for another process. Large buffers are put into ``store``.

    Raises:
        Exception: whatever pickling it raises.
    """
    from headrace.stores.codecs.pickling import OwnReducers, Sink, keep_small

    parts: list[bytes] = []
    buffers: list[memoryview] = []
    _pickler()(Sink(parts.append), OwnReducers(), keep_small(buffers)).dump(value)
    stream = b"".join(parts)
    blobs = tuple(store.put((buffer,)) for buffer in buffers)
    digest = blake3(stream + b"".join(blob.digest for blob in blobs)).digest()
    return Packed(_CODEC, digest, len(stream) + sum(blob.size for blob in blobs), stream, blobs)


def unpack(packed: Packed, store: ArtifactStore) -> Any:
    """Make a new object from what ``pack`` returned. Raises what importing its modules raises."""
    import pickle

    return pickle.loads(packed.inline, buffers=[store.get(blob) for blob in packed.blobs])


def loads(data: bytes) -> Any:
    """Make a new object from what ``dumps`` returned. Raises what importing its modules raises."""
    import pickle

    return pickle.loads(data)


def dumps(function: object) -> bytes:
    """Pickle a function. Raises what pickling it raises."""
    from headrace.stores.codecs.pickling import OwnReducers, Sink

    stream = io.BytesIO()
    _pickler()(Sink(stream.write), OwnReducers(), lambda _: True).dump(function)
    return stream.getvalue()


@functools.cache
def _pickler() -> Any:
    from cloudpickle.cloudpickle import _dynamic_class_reduce

    from headrace.stores.codecs.pickling import by_value_pickler

    class Transfer(by_value_pickler()):  # type: ignore[misc]
        def reducer_override(self, obj: Any) -> Any:
            if type(obj) is FunctionType and is_guarded(obj):
                return self._dynamic_function_reduce(obj)
            if issubclass(type(obj), type) and is_guarded(obj):
                return _dynamic_class_reduce(obj)
            return super().reducer_override(obj)

        def _dynamic_function_reduce(self, function: FunctionType) -> Any:
            reduced = super()._dynamic_function_reduce(function)
            place = place_of_namespace(function.__globals__)
            if place is None:
                return reduced
            make, (code, _, *rest), (state, members), *others = reduced
            members = {**members, "__globals__": {}, "_cloudpickle_submodules": []}
            return (_make, (make, place.module, code, *rest), (state, members), *others)

    return Transfer


def _make(make: Any, module: str, code: CodeType, *rest: Any) -> Any:
    found = sys.modules.get(module) or importlib.import_module(module)
    return make(code, found.__dict__, *rest)


class _Nowhere:
    """A store that keeps nothing, for values of which only the digest is needed."""

    url = "nowhere:"

    def put(self, parts: Sequence[Buffer]) -> Blob:
        hasher, size = blake3(), 0
        for part in parts:
            hasher.update(part)
            size += memoryview(part).nbytes
        return Blob(hasher.digest(), size)


def digest_of(value: object) -> bytes:
    """A digest that is equal for equal values in all processes; empty if the value cannot be pickled."""
    try:
        if isinstance(value, FunctionType):
            return _digest_of_function(value, 0)
        inside = from_root(value)
        if inside is not None:
            return blake3(f"{type(value).__name__} in the project\0{inside}".encode(errors="surrogatepass")).digest()
        nowhere: Any = _Nowhere()
        return codecs.pack(value, nowhere).digest
    except Exception:  # any code of the user's may have been asked
        return b""


def _digest_of_function(function: FunctionType, depth: int) -> bytes:
    """The digest of a function's name, its code and the objects it holds, without its globals."""
    hasher = blake3(f"{function.__module__}\0{function.__qualname__}\0".encode() + _bare(function.__code__))
    held: list[object] = [function.__defaults__, function.__kwdefaults__]
    for cell in function.__closure__ or ():
        try:
            held.append(cell.cell_contents)
        except ValueError:
            held.append("empty")
    for one in held:
        if isinstance(one, FunctionType):
            hasher.update(_digest_of_function(one, depth + 1) if depth < 8 else b"deep")
        elif one is not None:
            hasher.update(digest_of(one))
        hasher.update(b"\0")
    return hasher.digest()


def _bare(code: CodeType) -> bytes:
    constants = [_bare(one) if isinstance(one, CodeType) else repr(one).encode() for one in code.co_consts]
    return b"\0".join((code.co_code, repr((code.co_names, code.co_varnames, code.co_freevars)).encode(), *constants))


def cannot_travel(step: str, label: str, kind: str) -> str:
    """The warning that a value which a step reaches cannot be sent to a worker."""
    return (
        f"headrace: step {step!r} reaches {label}, but a {kind} cannot be sent to a worker: the step sees what an "
        "import leaves there; make it inside the step, or at the top of the file"
    )
