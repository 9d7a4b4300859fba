"""Values of secrets in output that comes in pieces."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from headrace._base.output_redaction import OutputRedactor

_VALUES = st.lists(st.text("ab", min_size=3, max_size=6), min_size=1, max_size=3)


def fed(pieces: list[bytes], values: list[str]) -> list[bytes]:
    redactor = OutputRedactor()
    shown = [redactor.feed(piece, values) for piece in pieces]
    return [*shown, redactor.feed(b"", values, last=True)]


@settings(deadline=None)
@given(values=_VALUES, text=st.text("abx", max_size=60), cuts=st.lists(st.integers(0, 60), max_size=6))
def test_no_value_passes_however_output_is_cut(values: list[str], text: str, cuts: list[int]) -> None:
    data, places = text.encode(), sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [data[start:end] for start, end in itertools.pairwise(places)]
    shown = b"".join(fed(pieces, values))
    assert not any(value.encode() in shown for value in values)
    assert len(values) > 1 or shown == data.replace(values[0].encode(), b"***")
    if not any(value in text for value in values):
        assert shown == data


def test_what_cannot_become_a_value_is_shown_at_once() -> None:
    assert fed([b"plain\n", b"tok", b"en!\n"], ["token"]) == [b"plain\n", b"", b"***!\n", b""]
    assert fed([b"tok", b"yo\n"], ["token"]) == [b"", b"tokyo\n", b""]


def test_longest_value_counts() -> None:
    assert b"".join(fed([b"abc", b"def abc "], ["abc", "abcdef"])) == b"*** *** "


def test_short_values_are_left_alone() -> None:
    assert fed([b"a1 b"], ["a1", "b", ""]) == [b"a1 b", b""]
