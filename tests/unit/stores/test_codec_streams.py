"""The search for sets in pickle streams agrees with the standard library's own reader."""

from __future__ import annotations

import pickle
import pickletools
from typing import Any

from hypothesis import given, settings

from headrace.stores.codecs.pickling import dump
from headrace.stores.codecs.streams import may_hold_sets
from headrace.testing.codecs import nested_values


def holds_sets(stream: bytes) -> bool:
    """A frozenset, even an empty one, or a set that is not empty."""
    names = [opcode.name for opcode, _, _ in pickletools.genops(stream)]
    return "FROZENSET" in names or "ADDITEMS" in names


@settings(max_examples=400, deadline=None)
@given(nested_values)
def test_agrees_with_pickletools(value: Any) -> None:
    parts = dump(value).parts
    assert may_hold_sets(parts) == holds_sets(b"".join(parts))


def test_bytes_that_look_like_sets_are_told_apart() -> None:
    traps = b"\x8f\x94(\x91\x94\x90"
    for value in (
        traps,
        [traps * 20_000, traps.hex()],
        [bytearray(traps * 50_000), 5],
        ["x" * 300, int.from_bytes(traps, "little"), 0x9491, traps.decode("latin-1")],
        [float(number) / 7 for number in range(100_000)],
        {number: str(number) for number in range(100_000)},
        [set(), 1, set()],
    ):
        assert not may_hold_sets(dump(value).parts)
        assert may_hold_sets(dump([value, {1}]).parts)
        assert may_hold_sets(dump([value, frozenset([1])]).parts)
        assert may_hold_sets(dump([frozenset([1]), value]).parts)


def test_streams_that_are_not_ours_are_not_trusted() -> None:
    assert may_hold_sets([b"\x80\x05(\x91\x94i\xff\xff"])
    assert may_hold_sets([pickle.dumps({1, 2})])
