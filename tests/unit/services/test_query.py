"""The language of ``headrace.runs(where=...)``."""

from __future__ import annotations

import operator
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.model.errors import UsageError
from headrace.services.query import COLUMNS, OPERATORS, parse_query
from headrace.stores.metadata.protocol import AnyOf, Where

N = "number"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", ()),
        ("  ", ()),
        ("metrics.accuracy > 0.9", (("metrics.accuracy", ">", 0.9),)),
        ("metrics.accuracy>0.9", (("metrics.accuracy", ">", 0.9),)),
        ("metrics.val/loss<=-1e-3", (("metrics.val/loss", "<=", -0.001),)),
        ("params.depth == 4 and number != 3", (("params.depth", "=", 4.0), ("number", "!=", 3.0))),
        ("params.model.depth=4 AND flow=train", (("params.model.depth", "=", 4.0), ("flow", "=", "train"))),
        ("params.flag = True and params.x = None", (("params.flag", "=", "true"), ("params.x", "=", "null"))),
        ("params.depth = '4'", (("params.depth", "=", "4"),)),
        ('tags.team = "vision \\"lab\\""', (("tags.team", "=", 'vision "lab"'),)),
        ("metrics.'top-5 error, %' < 3", (("metrics.top-5 error, %", "<", 3.0),)),
        ("duration > 10m", (("duration", ">", 600.0),)),
        ("created >= 2026-01-31", (("created", ">=", datetime(2026, 1, 31).timestamp()),)),
        (
            "created < 2026-01-31 12:30 and number=1",
            (("created", "<", datetime(2026, 1, 31, 12, 30).timestamp()), ("number", "=", 1.0)),
        ),
        ("created < '2026-01-31T12:30:00+00:00'", (("created", "<", 1769862600.0),)),
        ("created > 1769862600", (("created", ">", 1769862600.0),)),
        ("params.a = 1_000 and params.b = nan", (("params.a", "=", "1_000"), ("params.b", "=", "nan"))),
        ("state = crashed and state != 'running'", (("state", "=", "crashed"), ("state", "!=", "running"))),
        ("number=1 or number=2", (AnyOf((((N, "=", 1.0),), ((N, "=", 2.0),))),)),
        (
            "number=1 AND (number=2 OR number=3 and number=4)",
            ((N, "=", 1.0), AnyOf((((N, "=", 2.0),), ((N, "=", 3.0), (N, "=", 4.0))))),
        ),
        ("(number=1 and (number=2)) and(number=3)", ((N, "=", 1.0), (N, "=", 2.0), (N, "=", 3.0))),
        ("flow in (a, 'b c',3 )", (AnyOf(tuple((("flow", "=", one),) for one in ("a", "b c", 3.0))),)),
        ("state not  in(failed)", (("state", "!=", "failed"),)),
        ("tags.in in (in)", (AnyOf(((("tags.in", "=", "in"),),)),)),
        ("params.x = a,b", (("params.x", "=", "a,b"),)),
        ("(created > 2026-01-31 12:30)", (("created", ">", datetime(2026, 1, 31, 12, 30).timestamp()),)),
    ],
)
def test_what_a_text_means(text: str, where: tuple[object, ...]) -> None:
    assert parse_query(text) == where


@pytest.mark.parametrize(
    ("text", "problem", "column"),
    [
        ("accuracy > 0.9", "expected one of metrics.NAME", 0),
        ("metric.accuracy > 0.9", "'metric' is nothing to ask for", 0),
        ("metrics > 0.9", "expected a name after metrics", 7),
        ("metrics. > 0.9", "expected a name after metrics.", 8),
        ("metrics.a 0.9", "expected one of = == != < <= > >=", 10),
        ("metrics.a >", "expected a value", 11),
        ("metrics.a > high", "metrics.a is a number", 12),
        ("number = 'x'", "number is a number", 9),
        ("metrics.a > 1 metrics.b > 1", "expected `and` or `or`", 14),
        ("metrics.a > 1 or", "expected a comparison after `or`", 16),
        ("(metrics.a > 1 or number = 1", "this ( is never closed", 0),
        ("(number = 1 number = 2)", "expected )", 12),
        ("number = 1)", "unmatched )", 10),
        ("()", "expected one of metrics.NAME", 1),
        ("number in 1", "expected ( and values after `in`", 10),
        ("number in (1, x)", "number is a number", 14),
        ("number in (1 2)", "expected )", 13),
        ("number in ()", "expected a value", 11),
        ("state in (failed, done)", "'done' is not a state", 18),
        ("(" * 51 + "number = 1" + ")" * 51, "more than 50 parentheses", 50),
        ("params.lr(0) = 1", "expected one of = == != < <= > >=", 9),
        ("metrics.a > 1 and", "expected a comparison after `and`", 17),
        ("metrics.a > 1 and and", "expected one of metrics.NAME", 18),
        ("tags.t = 'open", "this ' is never closed", 9),
        ("state > failed", "a state is compared with = or !=", 8),
        ("state = done", "'done' is not a state", 8),
        ("created > yesterday", "'yesterday' is not a date", 10),
        ("duration > long", "'long' is not a duration", 11),
        ("duration > -1", "-1.0 is not a duration", 11),
    ],
)
def test_the_caret_stands_where_it_goes_wrong(text: str, problem: str, column: int) -> None:
    with pytest.raises(UsageError) as caught:
        parse_query(text)
    message, line, caret = str(caught.value).split("\n")
    assert message.startswith("where: ")
    assert problem in message
    assert line == f"  {text}"
    assert caret.index("^") - 2 == column


_names = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=8)
_numbers = st.floats(allow_nan=False, allow_infinity=False)
_subjects = st.one_of(
    st.tuples(st.sampled_from(["params.", "tags."]), _names, st.one_of(_numbers, st.text(max_size=8))),
    st.tuples(st.just("metrics."), _names, _numbers),
    st.tuples(st.just("number"), st.just(""), _numbers),
    st.tuples(st.just("flow"), st.just(""), st.text(max_size=8)),
)
_spaces = st.sampled_from(["", " ", "  ", "\t", "\n"])


def _quote(text: str, quote: str) -> str:
    return quote + text.replace("\\", "\\\\").replace(quote, "\\" + quote) + quote


@st.composite
def _comparisons(draw: st.DrawFn) -> tuple[str, tuple[str, str, float | str]]:
    group, name, value = draw(_subjects)
    sign = draw(st.sampled_from(OPERATORS))
    quote = draw(st.sampled_from(["'", '"']))
    written = repr(value) if isinstance(value, float) else _quote(value, quote)
    text = group + (_quote(name, quote) if name else "") + draw(_spaces) + sign + draw(_spaces) + written
    return text, (group + name, "=" if sign == "==" else sign, value)


@given(st.lists(_comparisons(), min_size=1, max_size=4), st.sampled_from([" and ", " AND\n", "\tand  "]))
def test_what_is_written_is_read_again(parts: list[tuple[str, tuple[str, str, float | str]]], joint: str) -> None:
    assert parse_query(joint.join(text for text, _ in parts)) == tuple(meaning for _, meaning in parts)


#: What may be asked of a number, as nested lists: the text of a comparison, or a word and what it joins.
_questions = st.recursive(
    st.builds("number {} {}".format, st.sampled_from(["=", "!=", "<", ">"]), st.integers(0, 3))
    | st.builds(
        "number {} ({})".format,
        st.sampled_from(["in", "not in"]),
        st.lists(st.integers(0, 3), min_size=1, max_size=3).map(lambda ones: ", ".join(map(str, ones))),
    ),
    lambda inner: st.tuples(st.sampled_from(["and", "or"]), st.lists(inner, min_size=1, max_size=3)),
    max_leaves=8,
)


def _written(question: Any) -> str:
    if isinstance(question, str):
        return question
    word, parts = question
    return f" {word} ".join(
        f"({_written(one)})" if word == "and" or len(parts) == 1 else _written(one) for one in parts
    )


def _is_true(question: Any, number: int) -> bool:
    if isinstance(question, str):  # Python has the same operators, but for one
        text = question.replace(" = ", " == ")
        return bool(eval(text.replace(")", ",)"), {"number": number}))
    word, parts = question
    return (all if word == "and" else any)(_is_true(one, number) for one in parts)


def _holds(where: tuple[Where, ...], number: int) -> bool:
    signs = {"=": operator.eq, "!=": operator.ne, "<": operator.lt, ">": operator.gt}
    return all(
        any(_holds(alternative, number) for alternative in one.alternatives)
        if isinstance(one, AnyOf)
        else signs[one[1]](number, one[2])
        for one in where
    )


@given(_questions)
def test_and_or_and_parentheses_mean_what_they_mean_in_python(question: Any) -> None:
    where = parse_query(_written(question))
    for number in range(4):
        assert _holds(where, number) == _is_true(question, number), _written(question)


_WORDS = [
    *COLUMNS,
    *OPERATORS,
    "metrics.",
    "params.a",
    "tags.b",
    "and",
    "or",
    "in",
    "not",
    "(",
    ")",
    ",",
    "'",
    '"',
    "\\",
    ".",
    "1",
    "2026-01-31",
    "x",
    " ",
]


@given(
    st.one_of(
        st.text(), st.lists(st.sampled_from(_WORDS)).map(" ".join), st.lists(st.sampled_from(_WORDS)).map("".join)
    )
)
def test_any_text_is_a_query_or_a_clear_error(text: str) -> None:
    try:
        where = parse_query(text)
    except UsageError as error:
        assert str(error).count("\n") == 2
        assert str(error).endswith("^")
    else:
        assert where or not text.strip()
