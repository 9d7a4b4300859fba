"""How what is read back is shown, and the small parts of the client."""

from __future__ import annotations

import pytest

from headrace.client.html import html_facts, html_preview, html_table, html_text, text_table
from headrace.client.logs import _lines
from headrace.client.names import check_tag
from headrace.client.tables import preview_rows
from headrace.client.views import LogText, Named
from headrace.model.errors import NotFoundError, UsageError
from headrace.model.records import LogChunk
from headrace.model.values import Preview

EVIL = "<script>alert('x')</script>"


def test_what_came_from_outside_is_escaped() -> None:
    shown = [
        html_table(EVIL, [EVIL], [[EVIL]], EVIL),
        html_facts(EVIL, [(EVIL, EVIL)]),
        html_text(EVIL),
        html_preview(Preview(EVIL, EVIL)),
        html_preview(Preview("frame", table=((EVIL,), (EVIL,)))),
        Named("thing", EVIL, {EVIL: EVIL})._repr_html_(),
        LogText(EVIL)._repr_html_(),
    ]
    assert not any("<script" in html for html in shown)
    assert "data:image/png;base64,cG5n" in html_preview(Preview("figure", png=b"png"))


def test_a_text_table_is_aligned_and_on_one_line_each() -> None:
    table = text_table(("a", "b"), [("1", "x\ny"), ("22", "z" * 100)])
    assert table.splitlines() == ["a   b", "1   x y", "22  " + "z" * 57 + "..."]


def test_a_name_that_is_missing() -> None:
    named = Named("artifact", "train/1", {"model": 1, "note": 2})
    with pytest.raises(NotFoundError, match=r"train/1 has no artifact 'modle'; did you mean 'model'\?"):
        named["modle"]
    with pytest.raises(KeyError, match="it has model, note"):
        named["x"]
    assert named.get("x") is None
    assert "x" not in named
    assert list(named) == ["model", "note"]
    assert repr(Named("artifact", "train/1", {})) == "<no artifacts of train/1>"


def test_log_text_is_a_str_that_shows_as_printed() -> None:
    text = LogText("a\nb")
    assert repr(text) == "a\nb"
    assert text.splitlines() == ["a", "b"]


def _chunk(step: str, seq: int, data: bytes, stream: str = "out") -> LogChunk:
    return LogChunk(run_id=1, step=step, number=int(bool(step)), attempt=1, seq=seq, stream=stream, time=1.0, data=data)


def test_lines_of_a_run_are_whole_also_when_they_came_in_pieces() -> None:
    chunks = [
        _chunk("fit", 0, b"one\ntw"),
        _chunk("load", 0, b"other\n"),
        _chunk("fit", 1, b"o\n"),
        _chunk("fit", 2, b"err", "err"),
        _chunk("", 0, b"flow \xff"),
    ]
    assert list(_lines(chunks)) == [
        "fit/1 | one\n",
        "load/1 | other\n",
        "fit/1 | two\n",
        "fit/1 | err\n",
        "flow \ufffd\n",
    ]


def test_tables_of_plain_python() -> None:
    rows = preview_rows("t", [{"a": 1, "b": 2}, {"a": 3, "c": 4}])
    assert rows.table == (("a", "b", "c"), ("1", "2", ""), ("3", "", "4"))
    assert rows.facts == (("shape", "(2, 3)"),)
    columns = preview_rows("t", {"a": [1, 2], "b": ["xy"] * 2})
    assert columns.table == (("a", "b"), ("1", "xy"), ("2", "xy"))


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([1, 2], "a dictionary for each row"),
        ({"a": 1}, "a list of values for each column"),
        ({}, "a list of values for each column"),
        ({"a": [1], "b": [1, 2]}, "a: 1, b: 2"),
        ({"a": "text"}, "the columns of a table"),
    ],
)
def test_what_is_no_table(value: list[object] | dict[str, object], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        preview_rows("t", value)


@pytest.mark.parametrize("name", ["", "a=b", 3, None])
def test_what_no_tag_can_be_called(name: object) -> None:
    with pytest.raises(UsageError):
        check_tag(name)
