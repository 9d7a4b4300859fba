"""Names of runs and tasks, conditions of listings, tracebacks for users."""

from __future__ import annotations

import os

import pytest

import headrace
from headrace.model.errors import NotFoundError, UsageError
from headrace.services.names import Name, parse_name
from headrace.services.run_rows import STATES, parse_states
from headrace.services.tracebacks import users_frames


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("", Name()),
        ("train", Name("train")),
        ("train/42", Name("train", 42)),
        ("train/42/", Name("train", 42)),
        ("train/42/fit", Name("train", 42, "fit")),
        ("train/42/fit/3", Name("train", 42, "fit", 3)),
        ("train/42/fit/3/result", Name("train", 42, "fit", 3, "result")),
        ("train/fit/3", Name("train", None, "fit", 3)),
    ],
)
def test_names(text: str, name: Name) -> None:
    assert parse_name(text) == name


@pytest.mark.parametrize("text", ["42", "train//fit", "/", "//", "a/1/b/c", "a/1/b/2/c/d", "1/2"])
def test_what_is_no_name(text: str) -> None:
    if text in ("/", "//"):
        assert parse_name(text) == Name()
        return
    with pytest.raises(NotFoundError):
        parse_name(text)


def test_states() -> None:
    assert parse_states(["failed,Running", "cancelled"]) == {"failed", "running", "cancelled"}
    assert parse_states([]) == set(STATES)
    with pytest.raises(UsageError, match="'done' is not a state of a run"):
        parse_states(["done"])


def test_our_frames_are_left_out() -> None:
    ours = os.path.join(os.path.dirname(headrace.__file__), "worker", "attempt.py")
    text = (
        "Traceback (most recent call last):\n"
        f'  File "{ours}", line 3, in run\n    result = function()\n             ^^^^^^^^^^\n'
        '  File "/home/me/train.py", line 7, in fit\n    return 1 / 0\n           ~~^~~\n'
        "ZeroDivisionError: division by zero\nmore of the message\n"
    )
    assert users_frames(text) == (
        "Traceback (most recent call last):\n"
        '  File "/home/me/train.py", line 7, in fit\n    return 1 / 0\n           ~~^~~\n'
        "ZeroDivisionError: division by zero\nmore of the message"
    )
    only_ours = f'Traceback (most recent call last):\n  File "{ours}", line 3, in run\n    x\nValueError: no\n'
    assert users_frames(only_ours) == "ValueError: no"
    assert users_frames("") == ""
