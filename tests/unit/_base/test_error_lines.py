"""The one line that stands for an error in listings."""

from __future__ import annotations

import pytest

from headrace._base.error_lines import error_line
from headrace.model.errors import EnvironmentSetupError, UsageError
from headrace.services.tracebacks import describe


def _noted() -> Exception:
    error = ValueError("what is wrong\nand more of it")
    error.add_note("a note\nof two lines")
    return error


def _syntax() -> Exception:
    try:
        compile("a = (", "f.py", "exec")
    except SyntaxError as error:
        error.add_note("a note")
        return error
    raise AssertionError


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("one line"), "ValueError: one line"),
        (ValueError("\nAll the 5 fits failed.\nIt is very likely"), "ValueError: All the 5 fits failed."),
        (_noted(), "ValueError: what is wrong"),
        (_syntax(), "SyntaxError: '(' was never closed"),
        (ValueError(), "ValueError"),
        (ValueError(" \n "), "ValueError:"),
        (
            ExceptionGroup("two", [ValueError("a"), TypeError("b")]),
            "ExceptionGroup: two (2 sub-exceptions): ValueError: a; TypeError: b",
        ),
        (
            EnvironmentSetupError("step 'fit': uv says:\n  x No solution\n  cause: no network"),
            "headrace.EnvironmentSetupError: step 'fit': uv says: x No solution",
        ),
        (UsageError("of ours"), "headrace.UsageError: of ours"),
    ],
    ids=lambda one: repr(one)[:30],
)
def test_it_is_how_the_error_begins(error: Exception, line: str) -> None:
    assert error_line(error) == line
    assert describe(error)[1] == line, "runs and attempts say the same"
