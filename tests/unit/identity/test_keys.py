"""Keys are equal exactly when what they stand for is."""

from __future__ import annotations

from typing import Any

from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from headrace.identity.keys import cache_key, inputs_digest, task_key
from headrace.identity.namedcode import joined
from headrace.model.records import Input, Source
from headrace.testing.engine import packed

_names = st.sampled_from(["a", "b", "ab", "/a", "*rest[0]"])
_calls = st.dictionaries(_names, st.sampled_from(["x", "y", "xy", ""]), max_size=4)
_defaults = st.dictionaries(_names, st.sampled_from(["x", "y"]), max_size=3)


def _inputs(call: dict[str, str], *, by_future: bool = False) -> tuple[Input, ...]:
    source = (Source("make", 1, "result", b""),) if by_future else ()
    return tuple(Input(name, packed(text), source) for name, text in sorted(call.items()))


def _digests(defaults: dict[str, str]) -> dict[str, bytes]:
    return {name: packed(text).digest for name, text in defaults.items()}


@given(left=_calls, right=_calls, defaults=_defaults)
def test_calls_have_one_digest_exactly_when_they_are_the_same_with_their_defaults(
    left: dict[str, str], right: dict[str, str], defaults: dict[str, str]
) -> None:
    one, other = (inputs_digest(_inputs(call), _digests(defaults)) for call in (left, right))
    assert (one == other) == ({**defaults, **left} == {**defaults, **right})


@given(call=_calls, defaults=_defaults)
def test_a_future_counts_as_the_value_it_stands_for(call: dict[str, str], defaults: dict[str, str]) -> None:
    digest = inputs_digest(_inputs(call), _digests(defaults))
    assert inputs_digest(_inputs(call, by_future=True), _digests(defaults)) == digest


@given(call=_calls)
def test_without_defaults_all_that_is_given_counts(call: dict[str, str]) -> None:
    """And the digest is that of runs recorded before defaults were left out."""
    expected = blake3(b"inputs")
    for name, text in sorted(call.items()):
        expected.update(name.encode() + b"\0" + packed(text).digest)
    assert inputs_digest(_inputs(call)) == inputs_digest(_inputs(call), {}) == expected.digest()


_facts = st.tuples(st.sampled_from(["a", "b", "ab"]), st.sampled_from([b"c", b"d"]), st.integers(0, 3))
_named = st.lists(st.tuples(_names, st.binary(min_size=32, max_size=32)), max_size=3)


@given(left=_facts, right=_facts)
def test_keys_of_tasks_tell_step_inputs_and_occurrence_apart(left: Any, right: Any) -> None:
    assert (task_key(*left) == task_key(*right)) == (left == right)


@given(left=_named, right=_named, step=st.binary(min_size=32, max_size=32))
def test_code_in_arguments_tells_keys_of_the_cache_apart(left: Any, right: Any, step: bytes) -> None:
    one, other = joined(step, left), joined(step, right)
    assert (one == other) == (left == right)
    assert (cache_key("s", one, b"i", b"e") == cache_key("s", other, b"i", b"e")) == (left == right)
    assert joined(step, []) != step
