# ruff: noqa: D102 - the names of tests say what they check
"""What packing and unpacking must do over any artifact store, as tests: subclass ``CodecSuite``, give it a store::

class TestOverMyStore(CodecSuite):
    @pytest.fixture
    def store(self): return MyStore(...)
"""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import fractions
import math
import pathlib
import struct
import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.model.errors import BlobCorruptError, NotStorableError
from headrace.model.values import INLINE_LIMIT, Packed
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.codecs import is_hole, pack, pack_template, preview, reduce_hole, unpack, unpack_template


class Color(enum.Enum):
    """An importable enumeration."""

    RED = 1


class Point(collections.namedtuple("Point", "x y")):
    """An importable named tuple."""

    __slots__ = ()


@is_hole
class Hole:
    """Stands for a future."""

    def __reduce__(self) -> Any:
        return reduce_hole(self)


def same(left: Any, right: Any) -> bool:
    """Whether two values are equal down to types, order, the sign of zero and the bits of NaN."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return struct.pack("d", left) == struct.pack("d", right)
    if isinstance(left, dict):
        return len(left) == len(right) and all(
            same(one, other) for one, other in zip(left.items(), right.items(), strict=True)
        )
    if isinstance(left, (list, tuple, collections.deque)):
        return len(left) == len(right) and all(same(one, other) for one, other in zip(left, right, strict=True))
    if isinstance(left, (set, frozenset)):
        return sorted(map(_order, left)) == sorted(map(_order, right))
    return bool(left == right)


def _order(item: Any) -> str:
    if isinstance(item, float):
        return "float" + struct.pack("d", item).hex()
    if isinstance(item, tuple):
        return f"tuple{[_order(part) for part in item]}"
    if isinstance(item, frozenset):
        return f"set{sorted(map(_order, item))}"
    return f"{type(item).__name__}{item!r}"


_characters = st.characters(codec=None, exclude_categories=())
_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=True)
    | st.text(_characters, max_size=20)
    | st.binary(max_size=20)
    | st.sampled_from([2**63, -(2**63) - 1, 2**63 - 1, -0.0, math.inf, 1e-320, "\ud800", ""])
)
_keys = st.text(max_size=5) | st.integers() | st.booleans() | st.tuples(st.integers(), st.text(max_size=3))
_hashable = st.recursive(
    _scalars.filter(lambda item: item == item),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=4),
    max_leaves=6,
)

#: Nested built-in values, among them all that JSON cannot hold.
nested_values = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(max_size=5), inner, max_size=5)
        | st.dictionaries(_keys, inner, max_size=4)
        | st.tuples(inner, inner)
        | st.sets(_hashable, max_size=5)
        | st.frozensets(_hashable, max_size=5)
    ),
    max_leaves=30,
)

SAMPLES: list[Any] = [
    None,
    True,
    0,
    -(2**63),
    2**63 - 1,
    2**63,
    10**400,
    -0.0,
    1e308,
    5e-324,
    math.inf,
    math.nan,
    1j,
    "",
    "\0é\U0001f600",
    "\ud800",
    "x" * (INLINE_LIMIT + 1),
    b"",
    b"y" * INLINE_LIMIT,
    b"y" * (INLINE_LIMIT + 1),
    bytearray(b"z"),
    bytearray(100_000),
    [],
    {},
    (),
    set(),
    frozenset(),
    {"i": 3},
    {"a": {"b": [1, 2.0, None, True, "c"]}},
    {1: "int", "1": "str", (1,): "tuple"},
    {"t": (1, 2)},
    {"big": 2**64},
    [math.nan],
    ["\udfff"],
    {"\udfff": 1},
    list(range(10_000)),
    {f"k{number}": {"id": number, "tags": ["a", str(number % 7)]} for number in range(2000)},
    {"s": {"a", "b"}, "f": frozenset(["c", frozenset(["d"])])},
    collections.OrderedDict(b=1, a=2),
    collections.deque([1, 2], maxlen=3),
    collections.Counter("hello"),
    Point(1, "y"),
    Color.RED,
    range(5),
    slice(1, 2),
    datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc),
    datetime.timedelta(days=1),
    decimal.Decimal("1.10"),
    fractions.Fraction(1, 3),
    uuid.UUID(int=5),
    pathlib.PurePosixPath("/a/b"),
    ...,
    int,
    len,
]


class CodecSuite:
    """The contract of ``pack`` and ``unpack``. A subclass provides the fixture ``store``."""

    @pytest.fixture
    def store(self) -> ArtifactStore:
        """An empty store."""
        raise NotImplementedError

    @pytest.mark.parametrize("value", SAMPLES, ids=lambda value: type(value).__name__)
    def test_round_trip(self, store: ArtifactStore, value: Any) -> None:
        packed = pack(value, store)
        assert same(unpack(packed, store), value)
        assert pack(value, store) == packed
        assert preview(value, packed).type.endswith(type(value).__qualname__)
        assert len(packed.inline) <= INLINE_LIMIT + 200

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(value=nested_values)
    def test_round_trip_of_anything_nested(self, store: ArtifactStore, value: Any) -> None:
        packed = pack(value, store)
        loaded = unpack(packed, store)
        assert same(loaded, value)
        assert same(unpack(pack(loaded, store), store), value)
        assert len(preview(value, packed).text) <= 2000

    def test_shared_parts_stay_shared(self, store: ArtifactStore) -> None:
        part: list[Any] = [1]
        cycle: list[Any] = [part, part]
        cycle.append(cycle)
        loaded: Any = unpack(pack(cycle, store), store)
        assert loaded[0] is loaded[1]
        assert loaded[2] is loaded
        twice: Any = unpack(pack({"a": part, "b": part}, store), store)
        assert twice["a"] is twice["b"]

    def test_nothing_is_shared_with_the_original(self, store: ArtifactStore) -> None:
        value = {"a": [1]}
        loaded: Any = unpack(pack(value, store), store)
        loaded["a"].append(2)
        assert value == {"a": [1]}

    def test_equal_content_has_one_digest_and_other_content_another(self, store: ArtifactStore) -> None:
        assert pack({"a": 1}, store).digest == pack({"a": 1}, store).digest
        different = [1, 1.0, True, "1", b"1", bytearray(b"1"), (1,), [1], {1}, frozenset([1]), {1: 1}, {"1": 1}, None]
        assert len({pack(value, store).digest for value in different}) == len(different)

    def test_large_equal_parts_are_stored_once(self, store: ArtifactStore) -> None:
        np = pytest.importorskip("numpy")
        column = np.arange(10_000.0)
        packed = pack({"a": column, "b": column.copy(), "c": column[::2]}, store)
        digests = [blob.digest for blob in packed.blobs]
        assert len(digests) == 3
        assert len(set(digests)) == 2

    def test_inline_payload_is_checked(self, store: ArtifactStore) -> None:
        for value in ({"i": 3}, "text", b"bytes", (1, 2), {"a", "b"}, Color.RED):
            packed = pack(value, store)
            broken = packed.inline[:-2] + bytes([packed.inline[-2] ^ 1]) + packed.inline[-1:]
            with pytest.raises(BlobCorruptError):
                unpack(Packed(packed.codec, packed.digest, packed.size, broken, packed.blobs), store)

    def test_templates(self, store: ArtifactStore) -> None:
        one, two = Hole(), Hole()
        packed, holes = pack_template({"x": [one, (two, one)], "y": 5}, store)
        assert holes == [one, two]
        assert unpack_template(packed, store, ["first", 2]) == {"x": ["first", (2, "first")], "y": 5}
        assert pack_template({"x": [two, (one, two)], "y": 5}, store)[0].digest == packed.digest
        with pytest.raises(NotStorableError, match="template"):
            unpack(packed, store)
        plain, none = pack_template({"i": 3}, store)
        assert (plain, none) == (pack({"i": 3}, store), [])

    def test_templates_of_plain_containers_need_no_pickle(self, store: ArtifactStore) -> None:
        one, two = Hole(), Hole()
        value = {"x": [one, {"y": [two, one]}, -0.0, None, "t\u00e9xt", True, 2**63 - 1], "z": one, "": []}
        packed, holes = pack_template(value, store)
        assert packed.codec == "template"
        assert holes == [one, two]
        filled = {"x": [(1,), {"y": [2, (1,)]}, -0.0, None, "t\u00e9xt", True, 2**63 - 1], "z": (1,), "": []}
        assert same(unpack_template(packed, store, [(1,), 2]), filled)
        many, holes = pack_template([Hole() for _ in range(20_000)], store)
        assert len(many.blobs) == 1
        assert unpack_template(many, store, list(range(20_000))) == list(range(20_000))
        with pytest.raises(NotStorableError, match="template"):
            unpack(packed, store)

    @pytest.mark.parametrize("other", [(1,), 2**63, math.inf, "\ud800", b"", {1: 2}, [0] * 300, Color.RED])
    def test_templates_of_other_values_are_pickled(self, store: ArtifactStore, other: object) -> None:
        shared: list[object] = []
        one = Hole()
        packed, holes = pack_template([one, shared, shared, other], store)
        assert packed.codec.startswith("pickle")
        assert holes == [one]
        loaded: Any = unpack_template(packed, store, ["v"])
        assert same(loaded, ["v", [], [], other])
        assert loaded[1] is loaded[2]
        assert pack_template([one, other], store)[0].codec.startswith("pickle")

    def test_holes_among_what_only_cloudpickle_writes(self, store: ArtifactStore) -> None:
        hole = Hole()
        packed, holes = pack_template([lambda: 1, hole, {hole}, {"a", "b"}], store)
        assert holes == [hole]
        loaded: Any = unpack_template(packed, store, ["v"])
        assert loaded[0]() == 1
        assert loaded[1:] == ["v", {"v"}, {"a", "b"}]

    def test_a_hole_outside_of_a_template_is_refused(self, store: ArtifactStore) -> None:
        with pytest.raises(NotStorableError, match="Hole"):
            pack([Hole()], store)
