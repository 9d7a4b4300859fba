"""Whether a Mersenne Twister was given a seed is told from its state alone."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from headrace.runtime.mersenne import is_seeded

SEEDS: list[Any] = [
    0,
    1,
    42,
    -5,
    2**31,
    2**32 + 5,
    2**64 - 1,
    2**127 + 3,
    2**9000 + 7,
    3.5,
    "",
    "abc",
    "x" * 300,
    b"no",
]


def state_of(generator: random.Random) -> tuple[tuple[int, ...], int]:
    words = generator.getstate()[1]
    return words[:-1], words[-1]


@pytest.mark.parametrize("drawn", [0, 1, 623, 624, 625, 1248, 10_000])
@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: repr(seed)[:12])
def test_a_given_seed_is_recognized_after_numbers_were_drawn(seed: Any, drawn: int) -> None:
    generator = random.Random(seed)
    generator.getrandbits(32 * drawn) if drawn else None
    assert is_seeded(*state_of(generator), 20)


def test_a_number_is_recognized_after_many_rounds() -> None:
    generator = random.Random(42)
    generator.getrandbits(32 * 500_000)
    assert is_seeded(*state_of(generator), 1000)
    assert not is_seeded(*state_of(generator), 100)


@pytest.mark.parametrize("drawn", [0, 1, 624, 10_000])
def test_a_generator_without_a_seed_is_not_taken_for_one_with_a_seed(drawn: int) -> None:
    for _ in range(20):
        generator = random.Random()
        generator.getrandbits(32 * drawn) if drawn else None
        assert not is_seeded(*state_of(generator), 20)


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1, [1, 2, 3], list(range(100))], ids=lambda seed: repr(seed)[:12])
@pytest.mark.parametrize("drawn", [0, 1, 5000])
def test_seeds_of_numpy_are_recognized(seed: Any, drawn: int) -> None:
    generator = np.random.RandomState(seed)
    generator.random(drawn)
    state: Any = generator.get_state(legacy=False)
    assert is_seeded(state["state"]["key"].tolist(), state["state"]["pos"], 20)


def test_numpy_without_a_seed_is_not_taken_for_seeded() -> None:
    generator = np.random.RandomState()
    for _ in range(3):
        state: Any = generator.get_state(legacy=False)
        assert not is_seeded(state["state"]["key"].tolist(), state["state"]["pos"], 20)
        generator.random(1000)
