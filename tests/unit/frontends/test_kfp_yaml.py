"""YAML is read as PyYAML's safe loader reads it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from headrace.frontends.kfp.yaml_reader import TooLargeError, load_all

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.dates()
    | st.text()
    | st.sampled_from(
        ["yes", "No", "on", "~", "null", "0x1F", "010", "1_000", "1:30", ".5", "1e3", "2026-11-29", "=", "-"]
    )
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
)


def pyyaml(text: Any) -> list[Any]:
    return list(yaml.load_all(text, Loader=yaml.CSafeLoader))


@given(st.lists(VALUES, min_size=1, max_size=2), st.booleans())
def test_what_pyyaml_writes_is_read_as_pyyaml_reads_it(values: list[Any], flow: bool) -> None:
    data = yaml.safe_dump_all(values, allow_unicode=True, default_flow_style=flow).encode()
    assert repr(load_all(data)) == repr(pyyaml(data))


@given(st.text(alphabet="abc:-?[]{}&*!|>'\"%@`#, \n\t01.~<=yn"))
def test_any_text_gives_what_pyyaml_gives_or_an_error_where_it_does(text: str) -> None:
    try:
        expected = repr(pyyaml(text))
    except (yaml.YAMLError, ValueError):
        with pytest.raises((yaml.YAMLError, ValueError)):
            load_all(text.encode())
        return
    try:
        assert repr(load_all(text.encode())) == expected
    except (yaml.YAMLError, TooLargeError):
        assert "*" in text  # a value that contains itself, or tags beside aliases


def test_plain_words_mean_what_they_mean_to_pyyaml() -> None:
    words = "yes no on off y n ~ null Null true False 0x1F 0o17 017 1_0 1:30 .5 5. 1e3 1.5e+3 .inf -.INF .nan +1 a"
    text = "\n".join(f"- {word}" for word in words.split())
    assert repr(load_all(text.encode())) == repr(pyyaml(text))


def test_aliases_stand_for_what_they_name() -> None:
    assert load_all(b"a: &x {k: [1, 2]}\nb: *x\n") == [{"a": {"k": [1, 2]}, "b": {"k": [1, 2]}}]
    assert load_all(b"a: &x {k: 1}\nb:\n  <<: {m: 2}\n  n: 3\n".replace(b"&x ", b"")) == [
        {"a": {"k": 1}, "b": {"m": 2, "n": 3}}
    ]


def test_aliases_that_stand_for_too_much_are_refused() -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(TooLargeError, match="stand for more than"):
        load_all("\n".join(lines).encode())
