"""Names of runs and tasks, conditions of listings, tracebacks for users."""

from __future__ import annotations

import os

import pytest

import headrace
from headrace.model.errors import NotFoundError, UsageError
from headrace.model.records import QueueCount
from headrace.services.names import Name, find_task, parse_name
from headrace.services.run_rows import STATES, parse_states
from headrace.services.tracebacks import users_frames
from headrace.stores.metadata.protocol import NewRun
from headrace.testing.metadata import MemoryMetadata


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


@pytest.mark.parametrize("task", [None, 1])
def test_step_whose_tasks_only_wait_has_no_task_to_show(task: int | None) -> None:
    store = MemoryMetadata()
    run = store.create_run(NewRun(project="p", flow="f", dialect="native", entry="", created=1.0))
    store.commit([QueueCount(run.id, "fit", waiting=1, ready=0, delayed=0, running=0, total=1, changed=1.0)])
    with pytest.raises(
        NotFoundError, match=r"^no task of step 'fit' of f/1 has begun yet; look again, or: headrace show f/1$"
    ):
        find_task(store, run, Name("f", 1, "fit", task))
