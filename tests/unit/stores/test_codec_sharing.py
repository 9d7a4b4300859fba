"""Equal values have equal digests, however their parts are shared; loading shares what was shared."""

from __future__ import annotations

import copy
import datetime
import decimal
import enum
import fractions
import pathlib
import pickle
import subprocess
import sys
import uuid
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.stores.artifacts.local import LocalStore
from headrace.stores.codecs import canonical, exact_digest, pack, unpack
from headrace.testing.codecs import nested_values, same


@dataclass
class Row:
    name: str
    day: datetime.date
    tags: list[str] = field(default_factory=list)


class Slots:
    __slots__ = ("left", "right")

    def __init__(self, left: object, right: object) -> None:
        self.left, self.right = left, right


class Mode(enum.Enum):
    FAST = "fast"


class Node:
    def __init__(self, name: str, parent: Node | None = None) -> None:
        self.name, self.parent, self.children = name, parent, []
        if parent is not None:
            parent.children.append(self)

    children: list[Node]


Pair = namedtuple("Pair", "a b")


def fresh(text: str) -> str:
    """An equal text that is another object."""
    return "".join(list(text))


MAKERS: dict[str, Any] = {
    "text": lambda: fresh("some text"),
    "bytes": lambda: bytes(bytearray(b"some bytes")),
    "tuple": lambda: (fresh("a"), 1, (fresh("b"),)),
    "date": lambda: datetime.date(2024, 1, 2),
    "time": lambda: datetime.datetime(2024, 1, 2, 3, tzinfo=datetime.timezone.utc),  # noqa: UP017 - runs on 3.10 too
    "duration": lambda: datetime.timedelta(3),
    "path": lambda: pathlib.Path("/some") / fresh("where"),
    "decimal": lambda: decimal.Decimal("1.5"),
    "fraction": lambda: fractions.Fraction(1, 3),
    "uuid": lambda: uuid.UUID(int=7),
    "dataclass": lambda: Row(fresh("x"), datetime.date(2024, 1, 2), [fresh("t")]),
    "slots": lambda: Slots(fresh("l"), (1, 2)),
    "named tuple": lambda: Pair(fresh("l"), [1]),
    "list": lambda: [1, fresh("x")],
    "dictionary": lambda: {fresh("k"): [1]},
    "set": lambda: {fresh("a"), fresh("b")},
    "frozenset": lambda: frozenset([fresh("a"), (1, 2)]),
    "counter": lambda: Counter([fresh("a"), fresh("a")]),
    "ordered": lambda: OrderedDict(a=[1]),
    "defaultdict": lambda: defaultdict(list, {fresh("a"): [1]}),
    "deque": lambda: deque([fresh("a")], maxlen=3),
    "large integer": lambda: 10**30 + len(fresh("a")),
    "complex": lambda: complex(1, 2),
    "member of an enumeration": lambda: Mode("fast"),
    "lambda": lambda: eval("lambda x: x + 1", {}),
}


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


@pytest.mark.parametrize("kind", MAKERS)
def test_a_part_in_two_places_and_two_equal_parts_have_one_digest(store: LocalStore, kind: str) -> None:
    make = MAKERS[kind]
    one = make()
    digests = set()
    for parts in ((one, one, one), (make(), make(), make()), (one, make(), one)):
        digests.add(pack([*parts], store).digest)
    assert len(digests) == 1
    assert (
        len({pack(Row(parts[0], parts[1], list(parts[:1])), store).digest for parts in ((one, one), (one, make()))})
        == 1
    )
    assert len({pack((parts, "x"), store).digest for parts in ((one, one), (make(), one))}) == 1


@pytest.mark.parametrize("kind", ["object column", "scalar", "array", "index", "frame"])
def test_values_of_libraries_have_one_digest_too(store: LocalStore, kind: str) -> None:
    np, pd = pytest.importorskip("numpy"), pytest.importorskip("pandas")
    text = fresh("some text")
    pairs = {
        "object column": [
            pd.DataFrame({"a": pd.Series([text] * 3, dtype=object)}),
            pd.DataFrame({"a": pd.Series([fresh(text) for _ in range(3)], dtype=object)}),
        ],
        "scalar": [[np.float64(1)] * 2, [np.float64(1), np.float64(1)]],
        "array": [[np.arange(2000)] * 2, [np.arange(2000), np.arange(2000)]],
        "index": [pd.Index([text] * 2, dtype=object), pd.Index([text, fresh(text)], dtype=object)],
        "frame": [(pd.DataFrame({"a": [1.0] * 900}),) * 2, tuple(pd.DataFrame({"a": [1.0] * 900}) for _ in range(2))],
    }
    left, right = pairs[kind]
    assert pack(left, store).digest == pack(right, store).digest
    assert exact_digest(pack(left, store)) == exact_digest(pack(left, store))


def test_what_was_shared_is_shared_again(store: LocalStore) -> None:
    for inner in ([1], {"a": 1}, Row("x", datetime.date(2024, 1, 2)), Slots(1, 2), {1, 2}, bytearray(b"x")):
        together: Any = unpack(pack((inner, inner), store), store)
        apart: Any = unpack(pack((inner, copy.deepcopy(inner)), store), store)
        assert together[0] is together[1] and apart[0] is not apart[1]
        plain: Any = unpack(pack([inner, inner], store), store)
        assert plain[0] is plain[1]
        assert exact_digest(pack((inner, inner), store)) != exact_digest(pack((inner, copy.deepcopy(inner)), store))


class Reduced(Row):
    def __getstate__(self) -> Any:
        return {"name": self.name}

    def __setstate__(self, state: Any) -> None:
        self.name, self.day, self.tags = state["name"], datetime.date(2000, 1, 1), ["restored"]


class OfList(list[int]):
    pass


class WithNew:
    def __new__(cls, number: int = 0) -> WithNew:
        self = super().__new__(cls)
        self.number = number
        return self

    number: int

    def __getnewargs__(self) -> tuple[int]:
        return (self.number,)


class SlotsAndMore(Slots):
    pass


def test_many_objects_of_a_class_come_back_as_its_methods_say(store: LocalStore) -> None:
    day = datetime.date(2024, 1, 2)
    makers: list[Any] = [
        lambda: Row("a", day, ["t"]),
        lambda: Reduced("a", day),
        lambda: OfList([1, 2]),
        lambda: WithNew(3),
        lambda: SlotsAndMore(1, 2),
        lambda: Exception("a"),
        object,
    ]
    for make in makers:
        values = [make() for _ in range(4)]
        if hasattr(values[0], "__dict__"):
            values[2].more = {"x": 1}
        loaded: Any = unpack(pack(values, store), store)
        expected = pickle.loads(pickle.dumps(values, 5))
        assert [type(one) for one in loaded] == [type(one) for one in values]
        for one, other in zip(loaded, expected, strict=True):
            assert getattr(one, "__dict__", None) == getattr(other, "__dict__", None)
            assert getattr(one, "left", None) == getattr(other, "left", None)
        if isinstance(values[0], OfList):
            assert loaded == values


def test_values_that_contain_themselves_are_stored_as_they_are(store: LocalStore) -> None:
    def family() -> Node:
        root = Node(fresh("root"))
        Node(fresh("child"), root)
        Node(fresh("child"), root)
        return root

    ring: list[Any] = [1]
    ring.append(ring)
    loaded: Any = unpack(pack(ring, store), store)
    assert loaded[1] is loaded
    assert pack(family(), store).digest == pack(family(), store).digest
    other = family()
    other.children[0].name = "other"
    assert pack(family(), store).digest != pack(other, store).digest
    tree: Any = unpack(pack(family(), store), store)
    assert tree.children[1].parent is tree


def test_values_that_would_be_endless_when_written_out_are_stored_all_the_same(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canonical, "LIMIT", 100_000)
    value: Any = ("leaf", 1)
    for _ in range(60):
        value = (value, value)
    assert pack(value, store).digest == pack(value, store).digest
    with_sets: Any = frozenset(["leaf"])
    for _ in range(60):
        with_sets = (with_sets, with_sets, {"x"})
    assert pack(with_sets, store).digest == pack(with_sets, store).digest


DAY = datetime.date(2024, 1, 2)
DIFFERENT: list[Any] = [
    [[1], [1]],
    [[1], [2]],
    ([1], [1]),
    ([1], [1], [1]),
    (("a", "b"), "c"),
    ("a", ("b", "c")),
    ("ab", "c"),
    ("a", "bc"),
    Row("a", DAY),
    Row("b", DAY),
    Row("a", DAY, ["a"]),
    Slots("a", DAY),
    Slots(DAY, "a"),
    Pair("a", DAY),
    ("a", DAY),
    Mode.FAST,
    "fast",
    {"a", "b"},
    frozenset(["a", "b"]),
    {"a"},
    {"a": 1, "b": 2},
    {"b": 2, "a": 1},
    {1: 2},
    {True: 2},
    (1,),
    (1.0,),
    (True,),
    (b"a",),
    ("a",),
    (bytearray(b"a"),),
    (None,),
    ((),),
    ([],),
    ({},),
    (set(),),
    (0.0,),
    (-0.0,),
    OrderedDict(a=1),
    Counter(a=1),
    defaultdict(int, a=1),
    deque([1]),
    deque([1], 3),
    range(3),
    range(0, 4, 1),
    Row,
    Slots,
    pack,
    unpack,
    [].append,
    [1].append,
    len,
    pathlib.PurePosixPath("a"),
    pathlib.PurePosixPath("b"),
    DAY,
    datetime.datetime(2024, 1, 2),
    datetime.timedelta(1),
    eval("lambda x: x + 1", {}),
    eval("lambda x: x + 2", {}),
]


def test_different_values_have_different_digests(store: LocalStore) -> None:
    assert len({pack(value, store).digest for value in DIFFERENT}) == len(DIFFERENT)


SCRIPT = """
import sys, datetime
sys.path.insert(0, sys.argv[1])
from headrace.stores.artifacts.local import LocalStore
from headrace.stores.codecs import pack, unpack
import records
store = LocalStore(sys.argv[2])
value = [records.Row("name", datetime.date(2024, 1, 2), {"x": "name", "Row": records.Row("Row", 1, 2)})] * 2
if sys.argv[3] == "loaded":
    value = unpack(pack(value, store), store)
print(pack(value, store).digest.hex())
"""


def test_a_value_has_one_digest_where_it_is_made_and_where_it_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "records.py").write_text(
        "from dataclasses import dataclass\n@dataclass\nclass Row:\n    name: str\n    day: object\n    more: object\n"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT, str(tmp_path), str(tmp_path / "store"), how],
            check=True, capture_output=True, text=True,
        ).stdout
        for how in ("made", "loaded")
    }  # fmt: skip
    assert len(found) == 1


_rows = st.builds(
    lambda name, tags: Row(name, datetime.date(2024, 1, 2), tags), st.text(max_size=4), st.lists(st.text())
)
_values = st.recursive(
    nested_values
    | _rows
    | st.dates()
    | st.decimals(allow_nan=False)
    | st.builds(Pair, st.text(max_size=4), st.integers()),
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.builds(Slots, inner, inner),
    max_leaves=10,
)
_settings = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(value=_values)
@_settings
def test_copies_have_the_digest_of_the_original(store: LocalStore, value: Any) -> None:
    digest = pack([value, value], store).digest
    assert pack([value, copy.deepcopy(value)], store).digest == digest
    assert pack([pickle.loads(pickle.dumps(value)), value], store).digest == digest
    assert pack(unpack(pack([value, value], store), store), store).digest == digest


@given(left=nested_values, right=nested_values)
@_settings
def test_values_have_one_digest_exactly_when_they_are_the_same(store: LocalStore, left: Any, right: Any) -> None:
    for make in (lambda value: (value,), lambda value: [value, value], lambda value: Slots(value, value)):
        assert (pack(make(left), store).digest == pack(make(right), store).digest) == same(left, right)


class _Counted:
    """Counts how often it was reduced."""

    reductions = 0

    def __init__(self, text: str) -> None:
        self.text = text

    def __reduce__(self) -> Any:
        _Counted.reductions += 1
        return _Counted, (self.text,)


def test_objects_are_reduced_once_for_both_streams(store: LocalStore) -> None:
    pack([_Counted("a")], store)  # the first value of a class is also loaded
    before = _Counted.reductions
    pack([_Counted("b"), _Counted("c"), _Counted("d")], store)
    assert _Counted.reductions == before + 3


class _Bag(list[Any]):
    """Its reduction has an iterator over its items, which can be gone through once."""


@pytest.mark.parametrize("many", [1, 2, 3, 1000])
def test_digests_count_items_of_containers_that_reduce_to_iterators(store: LocalStore, many: int) -> None:
    one = [_Bag([i, "x"]) for i in range(many)]
    other = [_Bag([i, "y"]) for i in range(many)]
    assert pack(one, store).digest != pack(other, store).digest
    assert pack(one, store).digest == pack([_Bag([i, "".join(["x"])]) for i in range(many)], store).digest
    assert unpack(pack(one, store), store) == one


@pytest.mark.parametrize("name", ["f8", "M8[ns]", "U5", "O", ">i4", "V3", "bool"])
def test_dtypes_have_one_digest_however_they_were_made(store: LocalStore, name: str) -> None:
    np = pytest.importorskip("numpy")
    made = np.dtype(name)
    loaded = pickle.loads(pickle.dumps(made))
    assert pack([made, 1], store).digest == pack([loaded, 1], store).digest
    assert pack([made, 1], store).digest != pack([np.dtype("f4"), 1], store).digest
    assert unpack(pack([made, 1], store), store) == [made, 1]
