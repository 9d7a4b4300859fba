"""Whether an object is a generator of random numbers without a seed.

Fingerprints ask: the state of such a generator is a matter of chance, and not a part of the code.
``runtime.randomness`` answers, because it looked at the generators before anything was drawn from them.
"""

from __future__ import annotations

from collections.abc import Callable

_MODULES = ("random", "_random", "numpy.random", "torch")


def _unknown(_: object) -> bool:
    return False


_answer: Callable[[object], bool] = _unknown


def answer_with(answer: Callable[[object], bool]) -> None:
    """Let ``answer`` decide about objects whose class may be that of a generator."""
    global _answer
    _answer = answer


def is_unseeded(value: object) -> bool:
    """Whether ``value`` is a generator without a seed."""
    return any(base.__module__.startswith(_MODULES) for base in type(value).__mro__) and _answer(value)
