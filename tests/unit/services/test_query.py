"""The language of ``headrace.runs(where=...)``."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.model.errors import UsageError
from headrace.services.listing import STATES
from headrace.services.query import COLUMNS, OPERATORS, Query, parse_query


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
    ],
)
def test_what_a_text_means(text: str, where: tuple[object, ...]) -> None:
    assert parse_query(text) == Query(where)  # type: ignore[arg-type]


def test_states_are_of_runs_as_they_are_shown() -> None:
    assert parse_query("state = crashed").states == {"crashed"}
    assert parse_query("state != 'running' and state != crashed").states == set(STATES) - {"running", "crashed"}
    assert parse_query("state = failed and state = succeeded").states == set()


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
        ("metrics.a > 1 or metrics.b > 1", "expected `and`", 14),
        ("metrics.a > 1 metrics.b > 1", "expected `and`", 14),
        ("metrics.a > 1 and", "expected a comparison after `and`", 17),
        ("metrics.a > 1 and and", "expected one of metrics.NAME", 18),
        ("tags.t = 'open", "this ' is never closed", 9),
        ("state > failed", "a state is compared with = or !=", 8),
        ("state = done", "'done' is no state", 8),
        ("created > yesterday", "'yesterday' is no date", 10),
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
    operator = draw(st.sampled_from(OPERATORS))
    quote = draw(st.sampled_from(["'", '"']))
    written = repr(value) if isinstance(value, float) else _quote(value, quote)
    text = group + (_quote(name, quote) if name else "") + draw(_spaces) + operator + draw(_spaces) + written
    return text, (group + name, "=" if operator == "==" else operator, value)


@given(st.lists(_comparisons(), min_size=1, max_size=4), st.sampled_from([" and ", " AND\n", "\tand  "]))
def test_what_is_written_is_read_again(parts: list[tuple[str, tuple[str, str, float | str]]], joint: str) -> None:
    query = parse_query(joint.join(text for text, _ in parts))
    assert query == Query(tuple(meaning for _, meaning in parts))


_WORDS = [
    *COLUMNS,
    *OPERATORS,
    "metrics.",
    "params.a",
    "tags.b",
    "and",
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
        query = parse_query(text)
    except UsageError as error:
        assert str(error).count("\n") == 2
        assert str(error).endswith("^")
    else:
        assert all(subject and operator in OPERATORS for subject, operator, _ in query.where)
