"""The digest of a pickled value: of its content, not of how its parts are shared, nor of hash seeds.

A pickle writes an object that occurs twice once, and refers to it: two equal values differ in it when one holds the
same string, date or record in two places and the other holds copies. The stored bytes keep that, for what is shared is
shared again when it is loaded. The digest is taken from a second stream, which is never loaded: the pickler writes
everything out wherever it occurs, sets are replaced by the sorted digests of their elements, functions and classes
written by cloudpickle by digests of their own in which its random numbers are zero and code objects have no lines.

What contains itself has no such form, nor has what would be too large (a few lists can contain each other a million
times over): there sharing counts.

A subclass of ``set`` writes itself as a list and is not seen here: its digest may differ between processes, which
costs a needless second run of a task but never a wrong value.
"""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable, Mapping
from types import CodeType
from typing import Any

from blake3 import blake3

from headrace.stores.artifacts.hashing import digest_of
from headrace.stores.codecs.named import written_name
from headrace.stores.codecs.pickling import BUFFER_FROM, OwnReducers, Pickled, Sink, by_value_pickler

#: Streams that would be longer are not written out.
LIMIT = 64 << 20

#: Where buffers lie in memory, and their digests.
Buffers = Mapping[tuple[int, int], bytes]

_Callback = Callable[[pickle.PickleBuffer], bool]
_ATOMS = frozenset({str, int, float, bool, type(None), bytes})


def canonical_digest(value: object, pickled: Pickled, buffers: Buffers, *, sets: bool) -> bytes | None:
    """The BLAKE3 of ``value`` as a stream that is the same in every process; None when only its pickle can tell.

    It is not the digest of stored bytes.

    ``pickled``: how it was written; ``buffers``: what is known of those in it; ``sets``: it may hold some.
    """
    plain = not pickled.by_value and not sets
    try:
        if plain:
            return _digest_of_tree(value, pickled, buffers)
        return _digest(value, _Scope(_Run(pickled.own, pickled.by_value, tree=True), {}))
    except _TooLargeError:
        if plain:
            return None
    except Exception:  # it contains itself; whatever else it is, it did not prevent the pickle
        pass
    try:
        return _digest(value, _Scope(_Run(pickled.own, pickled.by_value, tree=False), {}))
    except Exception:  # nested as deeply as the pickler can follow, but no deeper
        return None


class _TooLargeError(Exception):
    pass


# --- most values: the C pickler alone --------------------------------------------------------------------------------


def _digest_of_tree(value: object, pickled: Pickled, known: Buffers) -> bytes:
    memo: dict[int, tuple[int, object]] = {}
    labels: list[bytes] = []
    for thing in pickled.named.things:
        label = written_name(thing).label
        if label:  # what goes by a name is looked up once, not wherever it occurs
            memo[id(thing)] = (len(memo), thing)
            labels.append(label)
    hasher = blake3(b"tree\0" + b"\0".join(labels) + b"\0\0")
    left = LIMIT
    apart: list[bytes] = []

    def write(piece: bytes) -> None:
        nonlocal left
        left -= len(piece)
        if left < 0:
            raise _TooLargeError
        hasher.update(piece)

    def hash_apart(buffer: pickle.PickleBuffer) -> bool:
        try:
            view = buffer.raw()
        except BufferError:
            return True
        if view.nbytes < BUFFER_FROM:
            return True
        digest = known.get(place_of(view))
        apart.append(digest_of([view], view.nbytes) if digest is None else digest)
        return False

    pickler = pickle.Pickler(Sink(write), 5, buffer_callback=hash_apart)
    pickler.fast = True
    if memo:
        pickler.memo = memo
    pickler.dispatch_table = pickled.own.dispatch.again()
    pickler.dump(value)
    if apart:
        hasher.update(b"".join(apart))
    return hasher.digest()


def known_buffers(views: list[memoryview], digests: list[bytes]) -> Buffers:
    """The digests of buffers by their places, where a place tells them apart."""
    known: dict[tuple[int, int], bytes] = {}
    doubtful = set()
    for view, digest in zip(views, digests, strict=True):
        place = place_of(view)
        if known.setdefault(place, digest) != digest:
            doubtful.add(place)
    return {place: digest for place, digest in known.items() if place not in doubtful} if doubtful else known


def place_of(view: memoryview) -> tuple[int, int]:
    """Where the bytes of a view lie: an address for arrays of NumPy, else by the object that owns them."""
    owner: Any = view.obj
    if type(owner).__module__ == "numpy":
        return owner.__array_interface__["data"][0], view.nbytes
    return id(owner), view.nbytes


# --- sets, and what cloudpickle writes: by way of Python -------------------------------------------------------------


class _Run:
    """What one digest shares among the streams it is made of. ``tree``: everything is written out where it occurs."""

    __slots__ = ("by_value", "code", "done", "left", "loops", "own", "tree")

    def __init__(self, own: OwnReducers, by_value: bool, *, tree: bool) -> None:
        self.own = own
        self.by_value = by_value
        self.tree = tree
        self.left = LIMIT
        self.done: dict[int, tuple[object, bytes]] = {}  # sets that need not be gone through again
        self.code: dict[int, tuple[object, bytes]] = {}  # functions and classes, and their digests
        self.loops = 0  # how often something inside a set led back to that set

    def code_digest(self, thing: object) -> bytes:
        """The digest of a function or class that is written by value: such things contain themselves all the time."""
        if id(thing) not in self.code:
            self.code[id(thing)] = (thing, _digest(thing, _Scope(_Run(self.own, by_value=True, tree=False), {})))
        return self.code[id(thing)][1]


class _Scope:
    """One stream: the value, or one element of a set. An element's stream must not depend on its siblings.

    ``numbers`` tells the same set in two places from two equal sets, where sharing counts; ``around`` holds the sets
    this stream is inside of, by depth.
    """

    __slots__ = ("around", "keep", "numbers", "run")

    def __init__(self, run: _Run, around: dict[int, int]) -> None:
        self.run = run
        self.around = around
        self.numbers: dict[int, int] = {}
        self.keep: list[object] = []  # an id is only good while its object lives

    def stand_in(self, value: object) -> object:
        """What is written in place of a set, and of a text where the pickler looks for what it wrote before."""
        kind = type(value)
        if kind is set or kind is frozenset:
            return self._set(value, kind)  # type: ignore[arg-type]
        if self.run.tree:
            return None
        if kind is str:
            return value.encode("utf-8", "surrogatepass")  # type: ignore[attr-defined]
        return bytearray(value) if kind is bytes else None  # type: ignore[call-overload]

    def _set(self, value: set[object] | frozenset[object], kind: type) -> object:
        depth = self.around.get(id(value))
        if depth is not None:
            self.run.loops += 1
            return kind.__name__, "around", depth
        if self.run.tree:
            return kind.__name__, self._elements(value)
        number = self.numbers.get(id(value))
        if number is not None:
            return kind.__name__, number
        number = self.numbers[id(value)] = len(self.keep)
        self.keep.append(value)
        return kind.__name__, number, self._elements(value)

    def _elements(self, value: set[object] | frozenset[object]) -> bytes:
        run = self.run
        if id(value) in run.done:
            return run.done[id(value)][1]
        loops = run.loops
        around = {**self.around, id(value): len(self.around)}
        digests = b"".join(sorted([_digest(element, _Scope(run, around)) for element in value]))
        if run.loops == loops:
            run.done[id(value)] = (value, digests)
        return digests


def _digest(value: object, scope: _Scope) -> bytes:
    if type(value) in _ATOMS:
        return blake3(pickle.dumps(value, 5)).digest()
    run = scope.run
    hasher = blake3(b"tree" if run.tree else b"graph")

    def write(piece: bytes) -> None:
        run.left -= len(piece)
        if run.left < 0 and run.tree:
            raise _TooLargeError
        hasher.update(piece)

    def hash_apart(buffer: pickle.PickleBuffer) -> bool:
        with buffer.raw() as view:
            hasher.update(digest_of([view], view.nbytes))
        return False

    make = _by_value_pickler() if run.by_value else _Pickler
    pickler = make(Sink(write), scope, hash_apart)
    pickler.fast = run.tree
    pickler.dump(value)
    return hasher.digest()


class _Pickler(pickle.Pickler):
    def __init__(self, sink: Sink, scope: _Scope, buffer_callback: _Callback) -> None:
        super().__init__(sink, 5, buffer_callback=buffer_callback)
        self._scope = scope
        self.dispatch_table = scope.run.own.dispatch.again()

    def persistent_id(self, obj: object) -> object:
        return self._scope.stand_in(obj)


@functools.cache
def _by_value_pickler() -> Callable[[Sink, _Scope, _Callback], pickle.Pickler]:
    class Canonical(by_value_pickler()):  # type: ignore[misc]
        def __init__(self, sink: Sink, scope: _Scope, buffer_callback: _Callback) -> None:
            super().__init__(sink, scope.run.own, buffer_callback)
            self._scope = scope

        @property
        def dispatch_table(self) -> dict[type, Callable[[Any], Any]]:
            table: dict[type, Callable[[Any], Any]] = dict(super().dispatch_table)
            of_code = table[CodeType]
            table[CodeType] = lambda code: of_code(_without_lines(code))
            return table

        def persistent_id(self, obj: object) -> object:
            return self._scope.stand_in(obj)

        def reducer_override(self, obj: object) -> object:
            reduced = super().reducer_override(obj)
            if not isinstance(reduced, tuple):
                return reduced
            if self._scope.run.tree:
                return bytes, (self._scope.run.code_digest(obj),)
            if reduced[0].__name__ in _SKELETONS:
                arguments = tuple(0 if _is_tracker_id(item) else item for item in reduced[1])
                reduced = (reduced[0], arguments, *reduced[2:])
            return reduced

    return Canonical


_SKELETONS = frozenset({"_make_skeleton_class", "_make_skeleton_enum", "_make_typevar"})


def _is_tracker_id(item: object) -> bool:
    """cloudpickle's number of a class: 32 hex digits, made by ``uuid4`` when it first writes the class."""
    return type(item) is str and len(item) == 32 and all(digit in "0123456789abcdef" for digit in item)


def _without_lines(code: CodeType) -> CodeType:
    return code.replace(co_filename="", co_firstlineno=1, co_linetable=b"")
