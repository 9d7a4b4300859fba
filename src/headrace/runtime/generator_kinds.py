"""The kinds of random generators: how each is seeded, how its state is read and put back, whether it was seeded.

No library is imported here: the library that a generator is of is loaded.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Protocol

from blake3 import blake3

#: Rounds of 624 numbers within which the seed of a Mersenne Twister is searched: of a global one, of any other.
_ROUNDS_OF_GLOBAL, _ROUNDS = 1000, 20
_TWISTER = 624
#: numpy takes 128 bits from the system where it gets no seed, torch 53. Shorter ones come from a user.
_NUMPY_BITS, _NUMPY_SHORT, _TORCH_SHORT = 128, 96, 32
#: The seed of a ``torch.Generator`` that got none.
_TORCH_DEFAULT = 67280421310721


class Kind(Protocol):
    """One kind. ``seed`` is of 16 bytes."""

    def seed(self, target: Any, seed: bytes) -> None:
        """Let the generator go on with numbers of ``seed``."""

    def seed_unnoticed(self, target: Any, seed: bytes) -> None:
        """The same; if its state is put back later, ``is_seeded`` answers as before."""

    def state(self, target: Any) -> Any:
        """What ``restore`` takes; it can be pickled without the library."""

    def restore(self, target: Any, state: Any) -> None:
        """Put the generator back."""

    def is_seeded(self, target: Any, is_written: Callable[[int], bool]) -> bool:
        """Whether it was given a seed. ``is_written(number)``: the number stands in the user's code."""


class _Python:
    """``random.Random``."""

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds

    def seed(self, target: Any, seed: bytes) -> None:
        _random().seed(target, int.from_bytes(seed, "little"))

    seed_unnoticed = seed

    def state(self, target: Any) -> Any:
        return _random().getstate(target)

    def restore(self, target: Any, state: Any) -> None:
        _random().setstate(target, state)

    def is_seeded(self, target: Any, is_written: Callable[[int], bool]) -> bool:
        from headrace.runtime.mersenne import is_seeded as is_mersenne_seeded

        *words, position = _random().getstate(target)[1]
        return is_mersenne_seeded(words, position, self._rounds)


def _random() -> Any:
    return sys.modules["random"].Random  # not the methods of a user's class


class _Legacy:
    """``numpy.random.RandomState``."""

    def seed(self, target: Any, seed: bytes) -> None:
        numpy: Any = sys.modules["numpy"]
        target.seed(numpy.frombuffer(seed, "<u4"))

    def seed_unnoticed(self, target: Any, seed: bytes) -> None:
        # ``seed`` leaves a mark, which ``is_seeded`` looks for. This takes five times as long.
        self.restore(target, (blake3(seed).digest(4 * _TWISTER), _TWISTER, 0, 0.0))

    def state(self, target: Any) -> Any:
        found = target.get_state(legacy=False)
        state = found["state"]
        return state["key"].tobytes(), state["pos"], found["has_gauss"], found["gauss"]

    def restore(self, target: Any, state: Any) -> None:
        numpy: Any = sys.modules["numpy"]
        key, position, has_gauss, gauss = state
        target.set_state(("MT19937", numpy.frombuffer(key, "<u4"), position, has_gauss, gauss))

    def is_seeded(self, target: Any, is_written: Callable[[int], bool]) -> bool:
        from headrace.runtime.mersenne import is_seeded as is_mersenne_seeded

        if _sequence(target._bit_generator) is not None:
            return False
        key, position, _, _ = self.state(target)
        words = memoryview(key).cast("I").tolist()
        # Who calls seed() has a fresh one; where numbers were drawn since, this is not asked.
        return position < _TWISTER or is_mersenne_seeded(words, position, 0)


class _Bits:
    """numpy's bit generators: those of ``Generator`` objects and plain ones."""

    def seed(self, target: Any, seed: bytes) -> None:
        sequence = _sequence(target)
        if _is_sequence(sequence):  # what it spawns
            _SEQUENCE.seed(sequence, seed)
        if type(target).__name__ in ("PCG64", "PCG64DXSM"):  # a quarter of the time
            wide = blake3(seed).digest(32)
            state, increment = int.from_bytes(wide[:16], "little"), int.from_bytes(wide[16:], "little") | 1
            numbers = {"state": state, "inc": increment}
            target.state = {
                "bit_generator": type(target).__name__,
                "state": numbers,
                "has_uint32": 0,
                "uinteger": 0,
            }
        else:
            target.state = type(target)(int.from_bytes(seed, "little")).state

    seed_unnoticed = seed

    def state(self, target: Any) -> Any:
        sequence = _sequence(target)
        return target.state, _SEQUENCE.state(sequence) if _is_sequence(sequence) else None

    def restore(self, target: Any, state: Any) -> None:
        target.state, spawning = state
        if spawning is not None:
            _SEQUENCE.restore(_sequence(target), spawning)

    def is_seeded(self, target: Any, is_written: Callable[[int], bool]) -> bool:
        return _SEQUENCE.is_seeded(_sequence(target), is_written)


class _Sequence:
    """``numpy.random.SeedSequence``: by itself, or of a bit generator, for the children that it spawns.

    Its attributes cannot be written. Changed in place, as unpickling does, it stays shared with those that share it.
    """

    def seed(self, target: Any, seed: bytes) -> None:
        made = type(target)(int.from_bytes(seed, "little"), pool_size=target.pool_size)
        self.restore(target, self.state(made))

    seed_unnoticed = seed

    def state(self, target: Any) -> Any:
        return target.__reduce__()[2]

    def restore(self, target: Any, state: Any) -> None:
        target.__setstate__(state)

    def is_seeded(self, target: Any, is_written: Callable[[int], bool]) -> bool:
        entropy = getattr(target, "entropy", None)
        if type(entropy) is not int:
            return True
        bits = entropy.bit_length()
        return bits <= _NUMPY_SHORT or bits > _NUMPY_BITS or is_written(entropy)


def _is_sequence(found: Any) -> bool:
    numpy: Any = sys.modules["numpy.random"]
    return type(found) is numpy.SeedSequence


def _sequence(bit_generator: Any) -> Any:
    return getattr(bit_generator, "_seed_seq", None) or getattr(bit_generator, "seed_seq", None)


class _Torch:
    """``torch.Generator``; with the global one go those of devices."""

    def __init__(self, *, is_global: bool) -> None:
        self._is_global = is_global

    def seed(self, target: Any, seed: bytes) -> None:
        number = int.from_bytes(seed[:8], "little") >> 1
        target.manual_seed(number)
        self._seed_devices(number)

    seed_unnoticed = seed

    def _seed_devices(self, number: int) -> None:
        torch: Any = sys.modules["torch"]
        if self._is_global and (torch.version.cuda or torch.version.hip):
            torch.cuda.manual_seed_all(number)  # noted for later, where no device is in use

    def state(self, target: Any) -> Any:
        return target.get_state()

    def restore(self, target: Any, state: Any) -> None:
        target.set_state(state)
        self._seed_devices(target.initial_seed())

    def is_seeded(self, target: Any, is_written: Callable[[int], bool]) -> bool:
        number = target.initial_seed()
        return number != _TORCH_DEFAULT and (number.bit_length() <= _TORCH_SHORT or is_written(number))


_GLOBAL_PYTHON, _PYTHON = _Python(_ROUNDS_OF_GLOBAL), _Python(_ROUNDS)
_LEGACY, _BITS, _SEQUENCE = _Legacy(), _Bits(), _Sequence()
_GLOBAL_TORCH, _TORCH = _Torch(is_global=True), _Torch(is_global=False)


def global_generator(module: str) -> tuple[Any, Kind] | None:
    """The generator behind the functions of ``random``, ``numpy.random`` or ``torch``, which is loaded."""
    loaded: Any = sys.modules[module]
    if module == "random":
        return loaded._inst, _GLOBAL_PYTHON
    if module == "numpy.random":
        return loaded.mtrand._rand, _LEGACY
    found = getattr(loaded, "default_generator", None)
    return None if found is None else (found, _GLOBAL_TORCH)


def kind_of(found: Any) -> tuple[Any, Kind] | None:
    """What is to be seeded of a generator, and how; None for one that cannot be seeded."""
    numpy: Any = sys.modules.get("numpy.random")
    if numpy is not None:
        if isinstance(found, numpy.RandomState):
            bits = found._bit_generator
            return (found, _LEGACY) if type(bits) is numpy.MT19937 else (bits, _BITS)
        if isinstance(found, numpy.Generator):
            return found.bit_generator, _BITS
        if isinstance(found, numpy.BitGenerator):
            return found, _BITS
        if isinstance(found, numpy.SeedSequence):
            return (found, _SEQUENCE) if _is_sequence(found) else None
    if isinstance(found, sys.modules["_random"].Random):
        python: Any = sys.modules.get("random")
        if python is None or not isinstance(found, python.Random) or isinstance(found, python.SystemRandom):
            return None
        return found, _PYTHON
    return found, _TORCH
