"""Parameters as texts."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.model.params import from_text, to_text


class Odd:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (4, "4"),
        ("four", '"four"'),
        (None, "null"),
        ([1, 2.5], "[1,2.5]"),
        ({"a": Path("b")}, '{"a":"b"}'),
        (np.float64(0.5), "0.5"),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        (complex(1, 2), "(1+2j)"),
        (np.array([[1, 2], [3, 4]]), "array([[1, 2], [3, 4]])"),
        (Odd(), "<Odd>"),
        ("x" * 60_000, '"' + "x" * 60_000 + '"'),
        ("x" * 70_000, '"' + "x" * 65_514 + "… (70,002 characters)"),
        (["x" * 3000, 1j], "['" + "x" * 1_978 + "… (3,008 characters)"),
    ],
)
def test_values_as_texts(value: object, text: str) -> None:
    assert to_text(value) == text


@pytest.mark.parametrize("text", ["", "nan", "half a {", "\ud800", "<Odd>"])
def test_texts_that_are_no_json_are_what_they_are(text: str) -> None:
    assert from_text(text) == text


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=20), st.lists, max_leaves=5
    )
)
def test_plain_values_come_back(value: object) -> None:
    assert from_text(to_text(value)) == value
