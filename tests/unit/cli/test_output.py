"""Tables, widths and lines."""

from __future__ import annotations

import pytest

from headrace.cli import output
from headrace.cli.output import Column, bar, brief, clean, clean_lines, cut, print_table, width_of


def test_control_characters_are_shown_not_obeyed() -> None:
    assert clean("a\x1b[31mb\tc\nd") == "a\\x1b[31mb c d"
    assert clean_lines("a\nb\x07") == "a\nb\\x07"


def test_wide_characters_take_two_columns() -> None:
    assert width_of("ab") == 2
    assert width_of("日本") == 4
    assert cut("日本語", 5) == "日本…"
    assert cut("abc", 3) == "abc"


def test_what_is_too_long_to_be_shown_says_how_long_it_is() -> None:
    assert brief("short") == "short"
    assert brief(["a", 1]) == "['a', 1]"
    shown = brief("line\n" * 40_000, 50)
    assert shown.startswith("line line line")
    assert shown.endswith("… (200,000 characters)")
    assert width_of(shown.partition("…")[0]) < 50


@pytest.mark.parametrize("width", [40, 80, 120])
def test_tables_fit_the_terminal(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "terminal_width", lambda: width)
    columns = (Column("RUN"), Column("TEXT", flex=True), Column("N", right=True), Column("MORE", flex=True))
    print_table(columns, [("train/1", "x" * 100, "1", "y" * 100), ("train/100", "short", "10", "")])
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines) <= width
    assert lines[1].startswith("train/1  ")


def test_without_a_terminal_nothing_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    print_table((Column("A", flex=True), Column("EMPTY"), Column("B")), [("x" * 300, "", "y")])
    out = capsys.readouterr().out
    assert "x" * 300 + "  y" in out
    assert "EMPTY" not in out


def test_bars() -> None:
    assert len(bar(0, 0)) == 20
    assert bar(1, 2, 4)[:2] == bar(4, 4, 4)[:2]
    assert bar(0, 5, 3) == bar(0, 7, 3)
