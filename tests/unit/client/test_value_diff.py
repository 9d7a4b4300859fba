"""In what two values differ."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier

from headrace.client.value_diff import differences, summary
from headrace.stores.codecs import File, Folder


class Point(NamedTuple):
    x: float
    y: float


@dataclass
class Fit:
    weights: np.ndarray
    note: str
    inner: object = None


class Slotted:
    __slots__ = ("kept",)

    def __init__(self, kept: object) -> None:
        self.kept = kept


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=20,
)


@given(PLAIN)
def test_equal_values_have_no_difference(value: object) -> None:
    assert summary(value, copy.deepcopy(value)) == []


@given(PLAIN, PLAIN)
def test_values_that_are_not_equal_have_a_difference(left: object, right: object) -> None:
    found = list(differences(left, right))
    if not found:
        assert repr(left) == repr(right) or left == right


@pytest.mark.parametrize(
    ("before", "now", "line"),
    [
        (1.0, 1.25, "1.0 before, 1.25 now, a difference of 0.25"),
        (1, "1", "int 1 before, str '1' now"),
        ({"a": [1, 2]}, {"a": [1, 5]}, "['a'][1]: 2 before, 5 now, a difference of 3"),
        ({"a": 1}, {"b": 1}, "key only before: 'a'"),
        ([1, 2], [1], "2 elements before, 1 now"),
        ({1, 2}, {2, 3}, "element only before: 1"),
        (Point(1, 2), Point(1, 3), "y: 2 before, 3 now, a difference of 1"),
        (Slotted([1]), Slotted([2]), "kept[0]: 1 before, 2 now, a difference of 1"),
        ("a\nb\nc", "a\nx\nc", "1 line of 3 differs; line 2: 'b' before, 'x' now"),
        ("a\nb", "a\nb\nc\nd", "2 lines of 4 differ; line 3: nothing before, 'c' now"),
        ("a\nb\n", "a\nb", "the ends of lines differ"),
        (b"abcd", b"abxy", "2 of 4 bytes differ, the first at 2"),
        (b"abcd", b"ab", "4 bytes before, 2 now"),
        (math.sin, math.cos, "sin before, cos now"),
    ],
)
def test_plain_values(before: object, now: object, line: str) -> None:
    assert line in [said.removeprefix(".") for said in summary(before, now)]


def test_arrays_are_compared_by_the_largest_difference() -> None:
    before = np.arange(12.0).reshape(3, 4)
    now = before.copy()
    now[1, 2], now[2, 0] = 6.5, 8.001
    assert summary(before, now) == ["2 of 12 elements differ, at most by 0.5 (at (1, 2): 6.0 before, 6.5 now)"]
    assert summary(before, before.astype("f4")) == ["dtype float64 before, float32 now"]
    assert summary(before, before.ravel()) == ["shape (3, 4) before, (12,) now"]
    gaps = np.array([1.0, np.nan])
    assert summary(gaps, gaps.copy()) == []
    assert "at most by inf" in summary(gaps, np.array([1.0, 2.0]))[0]
    assert summary(np.array(["a", "b"]), np.array(["a", "c"]))[0].startswith("1 of 2 elements differ; at 1")
    assert summary(np.array([1, None]), np.array([1, "x"], object))[0].startswith(
        "1 of 2 cells differ; at 1: None before"
    )
    assert summary(np.array([255], "u1"), np.array([0], "u1")) == [
        "1 of 1 elements differ, at most by 255 (at 0: 255 before, 0 now)"
    ]


def test_frames_are_compared_by_cells() -> None:
    before = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "w"], "c": pd.Categorical(["u", "v", "u"])})
    now = before.copy()
    assert summary(before, now) == []
    now.loc[1, "a"], now.loc[2, "b"] = 7, "z"
    assert summary(before, now) == [
        "['a']: 1 of 3 elements differ, at most by 5 (at 1: 2 before, 7 now)",
        "['b']: 1 of 3 cells differ; at 2: 'w' before, 'z' now",
    ]
    assert summary(before, before.drop(columns="b")) == ["column only before: 'b'"]
    assert summary(before, before.head(2)) == ["3 rows before, 2 now"]
    assert "another order" in summary(before, before[["b", "a", "c"]])[0]
    assert "['index']" in summary(before, before.set_axis([5, 6, 7]))[0]


def test_series_polars_and_arrow_are_compared_by_cells() -> None:
    polars, arrow = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    assert "at most by 2" in summary(pd.Series([1, 2]), pd.Series([1, 4]))[0]
    left, right = {"a": [1, 2], "b": ["x", "y"]}, {"a": [1, 5], "b": ["x", "y"]}
    for make in (polars.DataFrame, arrow.table):
        assert summary(make(left), make(left)) == []
        assert summary(make(left), make(right)) == [
            "['a']: 1 of 2 elements differ, at most by 3 (at 1: 2.0 before, 5.0 now)"
        ]


def test_objects_are_compared_by_attribute() -> None:
    before, now = Fit(np.zeros(3), "one", Fit(np.ones(2), "in")), Fit(np.zeros(3), "two", Fit(np.ones(2) * 2, "in"))
    assert summary(before, now) == [
        "note: 'one' before, 'two' now",
        "inner.weights: 2 of 2 elements differ, at most by 1 (at 0: 1.0 before, 2.0 now)",
    ]


def test_forests_are_compared_tree_by_tree() -> None:
    rng = np.random.default_rng(1)
    features, labels = rng.random((80, 3)), rng.integers(0, 2, 80)

    def fit(seed: int) -> RandomForestClassifier:
        return RandomForestClassifier(5, random_state=seed).fit(features, labels)

    assert summary(fit(1), fit(1)) == []
    lines = summary(fit(1), fit(2))
    assert any("random_state" in line for line in lines)
    assert any("estimators_[0]" in line for line in lines)
    assert "the largest difference is" in lines[-1]


def test_values_that_contain_themselves_are_compared() -> None:
    before: list[Any] = [1]
    now: list[Any] = [2]
    before.append(before)
    now.append(now)
    assert summary(before, now) == ["[0]: 1 before, 2 now, a difference of 1"]


def test_files_are_compared_by_line_and_folders_by_file(tmp_path: Any) -> None:
    for side, text in (("before", "a\nb\n"), ("now", "a\nc\n")):
        (tmp_path / side / "sub").mkdir(parents=True)
        (tmp_path / side / "sub/notes.txt").write_text(text)
        (tmp_path / side / f"only-{side}").write_text("")
        (tmp_path / side / "raw.bin").write_bytes(b"\xff\x00" + side[:1].encode())
    one, two = [File(tmp_path / side / "sub/notes.txt") for side in ("before", "now")]
    assert summary(one, two) == ["1 line of 2 differs; line 2: 'b' before, 'c' now"]
    lines = summary(Folder(tmp_path / "before"), Folder(tmp_path / "now"))
    assert "file only before: 'only-before'" in lines
    assert "raw.bin: 1 of 3 bytes differ, the first at 2" in lines
    assert "sub/notes.txt: 1 line of 2 differs; line 2: 'b' before, 'c' now" in lines


def test_values_whose_comparison_raises_are_shown() -> None:
    class Odd:
        def __init__(self, at: int) -> None:
            self.at = at

        def __eq__(self, other: object) -> bool:
            raise RuntimeError

        __hash__ = None  # type: ignore[assignment]

    assert summary(Odd(1), Odd(2)) == ["at: 1 before, 2 now, a difference of 1"]
