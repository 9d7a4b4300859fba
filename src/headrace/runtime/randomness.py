"""Random numbers of tasks: each attempt begins with its generators set from the seed of its task.

A generator is found by its place (``generators``): the global ones of ``random``, ``numpy.random`` and ``torch``, and
those that the user's modules hold. One without a seed is set from the seed of the task and the name of its place. One
that was seeded when the modules were imported begins each attempt in the state in which the imports left it.

``capture`` is called in the process that has imported the flow, before it is forked; ``begin`` before each attempt.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

from blake3 import blake3

from headrace._base import chance
from headrace._base.usercode import canonical_name, is_user_module, module_file
from headrace.runtime.generator_kinds import Kind, global_generator, kind_of
from headrace.runtime.generators import generator_types, generators_in

#: Bytes of a seed.
SIZE = 16
#: Modules that have a global generator.
GLOBAL = ("random", "numpy.random", "torch")


class _Stream:
    """A generator that tasks draw from. ``state`` is None for one that was not seeded."""

    __slots__ = ("kind", "name", "state", "target")

    def __init__(self, name: str, target: Any, kind: Kind, state: Any) -> None:
        self.name = name.encode()
        self.target = target
        self.kind = kind
        self.state = state

    def begin(self, seed: bytes) -> None:
        if self.state is None:
            self.kind.seed(self.target, blake3(seed + self.name).digest(SIZE))
        else:
            self.kind.restore(self.target, self.state)


class _Table:
    """The generators of this process."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.streams: list[_Stream] = []
        self.modules = 0  # how many there were at the last look
        self.given = given  # states of global generators that the driver found
        self._looked: set[str] = set()
        self._seen: set[int] = set()
        self._targets: set[int] = set()

    def look(self, complete: str = "") -> list[_Stream]:
        """Take in the generators of modules that are new; returns those. ``complete`` was imported just now."""
        self.modules = len(sys.modules)
        names = sys.modules.keys() - self._looked
        users = [name for name in names if is_user_module(name)]
        unfinished = {
            name for name in (*users, *GLOBAL) if name in names and name != complete and not _is_complete(name)
        }
        self._looked |= names - unfinished
        before = len(self.streams)
        for name in GLOBAL:
            if name in names and name not in unfinished:
                self._add(name, global_generator(name), fresh=name == complete)
        for name in sorted(users, key=canonical_name):
            module = sys.modules.get(name)
            if name not in unfinished and (name == "__main__" or (module is not None and module_file(module))):
                self._search(module, canonical_name(name))
        return self.streams[before:]

    def look_at(self, function: Any, name: str) -> None:
        """Take in the generators that a function has."""
        if isinstance(function, FunctionType):
            self._search(function, name)

    def take_in(self, value: object, module: str, name: str) -> None:
        """Take in the generators of a value that a name of a module is bound to from now on."""
        for path, found in generators_in(_bound(module, name, value), module, set()):
            self._add(path, kind_of(found))

    def _search(self, root: Any, name: str) -> None:
        for path, found in generators_in(root, name, self._seen):
            self._add(path, kind_of(found))

    def _add(self, name: str, found: tuple[Any, Kind] | None, *, fresh: bool = False) -> None:
        """``fresh``: it was made just now, so nobody can have seeded it; finding that out takes milliseconds."""
        if found is None or id(found[0]) in self._targets:
            return
        target, kind = found
        self._targets.add(id(target))
        state = self.given.get(name)
        if state is None and not fresh and kind.is_seeded(target, _is_written):
            state = kind.state(target)
        self.streams.append(_Stream(name, target, kind, state))


def _is_written(number: int) -> bool:
    """Whether the number stands in the user's code, or is the value of a name there: a long seed, not one of chance."""
    for name in [name for name in sys.modules if is_user_module(name)]:
        module = sys.modules.get(name)
        if not isinstance(module, ModuleType):
            continue
        if any(type(value) is int and value == number for value in list(module.__dict__.values())):
            return True
        with contextlib.suppress(OSError), open(module_file(module), "rb") as file:  # noqa: PTH123
            text = file.read().replace(b"_", b"").lower()
            if b"%d" % number in text or b"%x" % number in text:
                return True
    return False


_table = _Table({})
#: The seed of the attempt that runs in this process, or ran last; empty before the first.
_seed = b""
_process = 0
_flow_draws = False


def capture() -> None:
    """Find the generators that there are, and which of them were seeded, whatever was known before."""
    global _table
    _table = _Table(_table.given)
    _table.look()


def look_ahead() -> None:
    """Find the generators of modules that are new, in a process whose children are to run attempts: they need not."""
    if len(sys.modules) != _table.modules:
        _table.look()


def expect(given: dict[str, Any]) -> None:
    """Take over what ``seeded`` says in another process; modules that come are searched before the next attempt."""
    global _table
    _table = _Table(given)


def seeded() -> dict[str, Any]:
    """The states of global generators that were seeded, as ``capture`` found them, in a form for another process."""
    return {
        name: stream.state
        for stream in _table.streams
        if stream.state is not None and (name := stream.name.decode()) in GLOBAL[:2]
    }


def begin(seed: bytes) -> None:
    """Set all generators for an attempt; without a seed, from chance."""
    global _seed, _process
    _process = os.getpid()
    _seed = seed or os.urandom(SIZE)
    look_ahead()
    for stream in _table.streams:
        stream.begin(_seed)


def look_at(function: Any, name: str) -> None:
    """Take in the generators of a step's function: one that came as a pickle is in no module."""
    _table.look_at(function, name)


def take_in(value: object, module: str, name: str) -> None:
    """Take in the generators of a value that a name of a module is bound to from now on."""
    _table.take_in(value, module, name)


def is_unseeded(value: object) -> bool:
    """Whether ``value`` is a generator that was not seeded when the modules were imported."""
    found = kind_of(value) if isinstance(value, generator_types()) else None
    if found is None:
        return False
    target, kind = found
    for stream in _table.streams:
        if stream.target is target:
            return stream.state is None
    return not kind.is_seeded(target, _is_written)


chance.answer_with(is_unseeded)


def holds_generators(value: object) -> bool:
    """Whether there are generators in ``value``."""
    return any(True for _ in generators_in(_bound("", "", value), "", set()))


def _bound(module: str, name: str, value: object) -> ModuleType:
    holder = ModuleType(module)
    holder.__dict__[name] = value
    return holder


def imported(name: str) -> None:
    """``name`` was imported while an attempt runs: its generators begin with the seed of the task, too."""
    if _seed and os.getpid() == _process:  # a child of the step would draw the same numbers as its brothers
        for stream in _table.look(name):
            if stream.state is None:
                stream.begin(_seed)


def derived(seed: bytes, name: str) -> int:
    """A number below 2**32 for something that wants a seed."""
    return int.from_bytes(blake3(seed + b"seed:" + name.encode()).digest(4), "little")


def attempt_seed() -> bytes:
    """The seed of the attempt that runs in this process."""
    return _seed


@contextlib.contextmanager
def flow_seeded(seed: bytes) -> Iterator[None]:
    """Set the generators that were not seeded, as ``capture`` found them, and put them back in the end.

    They are shared by all runs that this process drives at once: nothing is done while another one has set them.
    """
    global _flow_draws
    if _flow_draws:
        yield
        return
    _flow_draws = True
    streams = [stream for stream in _table.streams if stream.state is None]
    before = [stream.kind.state(stream.target) for stream in streams]
    for stream in streams:
        stream.kind.seed_unnoticed(stream.target, blake3(seed + stream.name).digest(SIZE))
    try:
        yield
    finally:
        for stream, state in zip(streams, before, strict=True):
            stream.kind.restore(stream.target, state)
        _flow_draws = False


def _is_complete(name: str) -> bool:
    module = sys.modules.get(name)
    return isinstance(module, ModuleType) and not getattr(module.__dict__.get("__spec__"), "_initializing", False)
