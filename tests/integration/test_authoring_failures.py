"""Exceptions of steps reach the flow as themselves, and a script that fails shows what its author needs."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

import headrace
from headrace import flow, step

if TYPE_CHECKING:
    from tests.integration.conftest import Project


class TooBad(Exception):
    """Wants other arguments than it keeps."""

    def __init__(self, name: str, *, score: float) -> None:
        super().__init__(f"{name} scored {score}")
        self.name = name
        self.score = score


class Holder(Exception):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()
        self.code = 7


class Slotted(Exception):
    __slots__ = ("extra",)

    def __init__(self, extra: int) -> None:
        super().__init__("slotted")
        self.extra = extra


class Picky(Exception):
    def __new__(cls, one: int, two: int) -> Any:
        return super().__new__(cls, one, two)

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


class Odd(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Silent(Exception):
    pass


@step
def fail(kind: str) -> None:
    if kind == "custom":
        raise TooBad("fit", score=0.5)
    if kind == "holder":
        raise Holder("holds a lock")
    if kind == "argument":
        raise ValueError("odd", threading.Lock())
    if kind == "slots":
        raise Slotted(3)
    if kind == "picky":
        raise Picky(1, 2)
    if kind == "group":
        raise ExceptionGroup("several", [ValueError("a"), TooBad("b", score=1)])
    if kind == "odd":
        raise Odd
    if kind == "silent":
        raise Silent
    if kind == "unicode":
        raise OSError(2, "No such file", "/tmp/\udc80")
    if kind == "key":
        raise KeyError("missing")
    if kind == "decode":
        b"\xff".decode()
    if kind == "note":
        error = ValueError("noted")
        error.add_note("look at the third row")
        raise error
    if kind == "stop":
        raise StopIteration(5)
    try:
        _ = {}["inner"]
    except KeyError as error:
        raise TooBad("outer", score=0) from error


def caught(kind: str) -> BaseException:
    found: list[BaseException] = []

    @flow
    def train() -> None:
        try:
            fail(kind)
        except BaseException as error:
            found.append(error)

    train()
    return found[0]


def test_a_class_with_arguments_of_its_own(here: Project) -> None:
    error = caught("custom")
    assert isinstance(error, TooBad)
    assert (str(error), error.name, error.score) == ("fit scored 0.5", "fit", 0.5)
    assert isinstance(error.__cause__, headrace.model.errors.RemoteTraceback)
    assert 'raise TooBad("fit", score=0.5)' in str(error.__cause__)


def test_attributes_that_cannot_travel_are_left_behind(here: Project) -> None:
    error = caught("holder")
    assert isinstance(error, Holder) and str(error) == "holds a lock"
    assert error.code == 7 and not hasattr(error, "lock")


def test_arguments_that_cannot_travel_leave_the_class_and_the_text(here: Project) -> None:
    error = caught("argument")
    assert isinstance(error, ValueError) and error.args[0] == "odd" and "lock object" in error.args[1]


def test_slots_and_constructors(here: Project) -> None:
    error = caught("slots")
    assert isinstance(error, Slotted) and str(error) == "slotted" and error.extra == 3
    picky = caught("picky")
    assert isinstance(picky, Picky) and str(picky) == "1 and 2"


def test_groups_arrive_whole(here: Project) -> None:
    error = caught("group")
    assert isinstance(error, ExceptionGroup)
    one, two = error.exceptions
    assert isinstance(one, ValueError) and isinstance(two, TooBad) and two.score == 1
    text = str(error.__cause__)
    assert "ExceptionGroup: several (2 sub-exceptions)" in text and "b scored 1" in text


def test_builtin_exceptions(here: Project) -> None:
    error = caught("unicode")
    assert isinstance(error, FileNotFoundError) and error.errno == 2 and error.filename == "/tmp/\udc80"
    key = caught("key")
    assert isinstance(key, KeyError) and key.args == ("missing",)
    decode = caught("decode")
    assert isinstance(decode, UnicodeDecodeError) and decode.object == b"\xff" and "0xff" in str(decode)
    assert isinstance(caught("stop"), StopIteration)


def test_exceptions_without_a_text(here: Project) -> None:
    assert isinstance(caught("silent"), Silent)
    assert isinstance(caught("odd"), Odd)


def test_notes_and_chained_causes_are_shown(here: Project) -> None:
    assert "look at the third row" in str(caught("note").__cause__)
    text = str(caught("chain").__cause__)
    assert "KeyError: 'inner'" in text and "direct cause" in text and "outer scored 0" in text


# --- scripts --------------------------------------------------------------------------------------------------------

SCRIPT = """
class TooBad(Exception):
    def __init__(self, name, *, score):
        super().__init__(f"{name}: {score}")
        self.score = score

def helper(n):
    raise TooBad("deep", score=n)

@step
def fit(n):
    return helper(n)

@flow
def train(n: int = 3):
    return fit(n)

if __name__ == "__main__":
    train()
"""


def test_a_script_shows_the_frames_of_step_and_flow_only(project: Project) -> None:
    err = project.fail(SCRIPT)
    lines = err.strip().splitlines()
    assert "in helper" in err and "in fit" in err and "in train" in err and "in <module>" in err
    assert lines[-1] == "headrace: train/1 failed; next: `headrace debug train/1/fit/1`, or `headrace resume train/1`"
    assert lines[-2].endswith("TooBad: deep: 3")
    assert len(lines) < 30, err
    run = project.last()
    assert (run.error.endswith("TooBad: deep: 3"), run.failed_task) == (True, "fit/1")
    assert "/src/headrace/" not in run.traceback and "in helper" in run.traceback


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ("fit()", "fit() missing 1 required argument: 'n'"),
        ("fit(1, 2, 3)", "fit() takes 1 positional argument but 3 were given"),
        ("fit.submit(1).result(timeout=0.0)", "has not finished"),
        ("fit.options(retires=1)(1)", "did you mean 'retries'"),
        ("fit.options(cpu=1000)(1)", "asks for 1000 cpus"),
        ("headrace.wait_for('x', timeout=0.1)", "nobody answered 'x'"),
        ("[future := fit.submit(1), future.cancel(), future.result()]", "cancelled"),
        ("1 / 0", "division by zero"),
        ("fit.map(5)", "fit.map() takes an iterable"),
        ("async_fit(1) + 1", "does not support the operator `add`"),
    ],
)
def test_mistakes_in_a_flow_show_its_frames_only(project: Project, body: str, shown: str) -> None:
    text = f"""
    @step
    def fit(n):
        time.sleep(0.5)
        return n

    @step
    async def async_fit(n):
        return n

    @flow
    def train():
        {body}

    train()
    """
    err = project.fail(text)
    assert shown in err and body in err, err
    assert "RemoteTraceback" not in err


def test_mistakes_in_async_flows_show_no_frames_of_ours(project: Project) -> None:
    text = """
    @step
    async def fit(n):
        raise ValueError("async")

    @flow
    async def train():
        await fit(1)

    train()
    """
    err = project.fail(text)
    assert "await fit(1)" in err and 'raise ValueError("async")' in err


def test_a_declaration_that_cannot_work_shows_where_it_is(project: Project) -> None:
    err = project.fail("@step\ndef items():\n    yield 1\n")
    assert "generator" in err and "train.py" in err


def test_display_of_errors_of_another_library_is_left_alone(project: Project) -> None:
    done = project.run("sys.excepthook = lambda *a: print('mine', a[0].__name__)\n" + SCRIPT)
    assert "mine TooBad" in done.out and done.code == 1


def test_a_flow_called_by_a_program_raises_and_prints_nothing(project: Project) -> None:
    text = SCRIPT.replace(
        "    train()\n", "    try:\n        train()\n    except TooBad as error:\n        print(error.score)\n"
    )
    done = project.run(text)
    assert (done.code, done.out, done.err) == (0, "3\n", "")


@pytest.mark.parametrize(
    ("body", "error", "shown"),
    [
        ("raise ValueError('no')", "ValueError: no", "raise ValueError('no')"),
        ("print('last words'); os._exit(3)", "ended its process with os._exit(3)", "last words"),
    ],
)
def test_a_failure_in_a_fan_out_is_the_failure_of_the_run(project: Project, body: str, error: str, shown: str) -> None:
    """Not that of the step which joins the results: it is not to blame, and has no traceback to show."""
    project.fail(
        f"""
        @step
        def work(i):
            if i == 2:
                {body}

        @step
        def join(values):
            return values

        @flow(tags=["team=vision", "slow"])
        def train():
            return join(work.map(range(3)))

        if __name__ == "__main__":
            train()
        """
    )
    run = project.last()
    assert run.failed_task == "work/3" and error in run.error and shown in run.traceback, run
    assert {one.name: one.value for one in project.metadata.tags([run.id])} == {"team": "vision", "slow": ""}
