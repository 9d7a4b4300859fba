"""Fewer points keep the look of all: ends, peaks, order."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from headrace.services.downsampling import bands, lttb

VALUES = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=400)


@given(VALUES, st.integers(3, 50))
def test_lttb_keeps_the_ends_and_the_order(values: list[float], count: int) -> None:
    kept = lttb(range(len(values)), values, count)
    assert len(kept) == min(count, len(values))
    assert kept == sorted(set(kept))
    assert (kept[0], kept[-1]) == (0, len(values) - 1)


def test_lttb_keeps_a_lone_peak() -> None:
    values = [math.sin(place / 100) for place in range(10_000)]
    values[4_321] = 50.0
    assert 4_321 in lttb(range(10_000), values, 100)


@given(VALUES, st.integers(1, 50))
def test_bands_lose_no_peak(values: list[float], count: int) -> None:
    found = bands(range(len(values)), values, count)
    assert len(found) == min(count, len(values))
    assert min(one.low for one in found) == min(values)
    assert max(one.high for one in found) == max(values)
    assert all(one.low <= one.high for one in found)
