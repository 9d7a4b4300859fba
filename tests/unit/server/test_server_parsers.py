"""Cursors and ranges: whatever is sent, they say what was meant or that it cannot be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.server.cursors import read_cursor, write_cursor
from headrace.server.problems import Problem
from headrace.server.ranges import attachment, read_range, slices

KEY = tuple[str, int, float]
ONE = ("tasks", 3, ("failed",))


@given(st.tuples(st.text(max_size=50), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False)))
def test_cursor_gives_back_its_key(key: tuple[str, int, float]) -> None:
    assert read_cursor(write_cursor(key, ONE), KEY, ONE) == key


@given(st.text(max_size=200) | st.binary(max_size=100).map(lambda data: data.hex()))
def test_text_that_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(Problem) as caught:
        read_cursor(text, KEY, ONE)
    assert caught.value.status == 400


@given(st.integers(0, 60), st.characters(codec="ascii"))
def test_changed_cursor_names_another_place_or_is_refused(place: int, char: str) -> None:
    text = write_cursor(("fit", 7, 1.5), ONE)
    changed = text[: place % len(text)] + char + text[place % len(text) + 1 :]
    try:
        found = read_cursor(changed, KEY, ONE)
    except Problem as problem:
        assert problem.status == 400
    else:
        assert isinstance(found[0], str)
        assert isinstance(found[1], int)


def test_cursor_of_another_list_is_refused() -> None:
    with pytest.raises(Problem):
        read_cursor(write_cursor(1, "runs"), int, "tasks")


RANGES = st.text("bytes=-,0123456789 ", max_size=30) | st.builds(
    "bytes={}-{}".format, st.integers(0, 50) | st.just(""), st.integers(0, 50) | st.just("")
)


@given(RANGES, st.integers(0, 40))
def test_range_lies_within_the_bytes(header: str, size: int) -> None:
    try:
        found = read_range(header, size)
    except Problem as problem:
        assert problem.status == 416
        assert problem.headers["Content-Range"] == f"bytes */{size}"
    else:
        assert found is None or 0 <= found[0] < found[1] <= size


@given(st.lists(st.binary(max_size=20)), st.integers(0, 60), st.integers(0, 60))
def test_slices_are_the_bytes_of_the_range(parts: list[bytes], start: int, end: int) -> None:
    assert b"".join(slices(parts, start, end)) == b"".join(parts)[start:end]


@given(st.text(max_size=300))
def test_name_of_a_file_cannot_add_headers(name: str) -> None:
    header = attachment(name)
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2
