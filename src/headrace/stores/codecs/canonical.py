"""A digest that does not depend on hash seeds, for values whose pickle does.

Sets are pickled in hash order, which differs between processes, and cloudpickle gives every class it writes a random
number. The payload keeps that; the digest of such a value is taken from a second stream, which is never loaded: sets
are replaced by the sorted digests of their elements, random numbers by zero, code objects lose their line numbers.

A subclass of ``set`` writes itself as a list and is not seen here: its digest may differ between processes, which
costs a needless second run of a task but never a wrong value.
"""

from __future__ import annotations

import copyreg
import functools
import pickle
from collections.abc import Callable
from types import CodeType
from typing import Any

from blake3 import blake3

from headrace.stores.artifacts.hashing import digest_of
from headrace.stores.codecs.pickling import OwnReducers, Sink, by_value_pickler

_Callback = Callable[[pickle.PickleBuffer], bool]
_ATOMS = frozenset({str, int, float, bool, type(None), bytes})


def canonical_digest(value: object, own: OwnReducers, *, by_value: bool) -> bytes:
    """The BLAKE3 of ``value`` as a stream that is the same in every process.

    ``own``: the reducers it was pickled with; ``by_value``: cloudpickle wrote it.
    """
    return _digest(value, _Scope(_Run(own, by_value), {}))


class _Run:
    """What one digest shares among the streams it is made of."""

    __slots__ = ("by_value", "done", "loops", "own")

    def __init__(self, own: OwnReducers, by_value: bool) -> None:
        self.own = own
        self.by_value = by_value
        self.done: dict[int, tuple[object, bytes]] = {}  # sets that need not be gone through again
        self.loops = 0  # how often something inside a set led back to that set


class _Scope:
    """One stream: the value, or one element of a set. An element's stream must not depend on its siblings.

    ``numbers`` tells the same set in two places from two equal sets; ``around`` holds the sets this stream is
    inside of, by depth.
    """

    __slots__ = ("around", "keep", "numbers", "run")

    def __init__(self, run: _Run, around: dict[int, int]) -> None:
        self.run = run
        self.around = around
        self.numbers: dict[int, int] = {}
        self.keep: list[object] = []  # an id is only good while its object lives

    def stand_in(self, value: object) -> object:
        """What is written in place of a set; ``None`` for everything else."""
        kind = type(value)
        if kind is not set and kind is not frozenset:
            return None
        depth = self.around.get(id(value))
        if depth is not None:
            self.run.loops += 1
            return kind.__name__, "around", depth
        number = self.numbers.get(id(value))
        if number is not None:
            return kind.__name__, number
        number = self.numbers[id(value)] = len(self.keep)
        self.keep.append(value)
        return kind.__name__, number, self._elements(value)  # type: ignore[arg-type]

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
    hasher = blake3()

    def hash_apart(buffer: pickle.PickleBuffer) -> bool:
        with buffer.raw() as view:
            hasher.update(digest_of([view], view.nbytes))
        return False

    make = _by_value_pickler() if scope.run.by_value else _Pickler
    make(Sink(hasher.update), scope, hash_apart).dump(value)
    return hasher.digest()


class _Pickler(pickle.Pickler):
    def __init__(self, sink: Sink, scope: _Scope, buffer_callback: _Callback) -> None:
        super().__init__(sink, 5, buffer_callback=buffer_callback)
        self._scope = scope
        if scope.run.own.table:
            self.dispatch_table = {**copyreg.dispatch_table, **scope.run.own.table}

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
            if isinstance(reduced, tuple) and reduced[0].__name__ in _SKELETONS:
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
