"""Calls that make no sense, and values that cannot be kept or read back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.steps import give, make

from headrace import flow, step
from headrace.model.errors import NotStorableError

if TYPE_CHECKING:
    from tests.integration.conftest import Project

BIG = 40_000


class WithLock:
    def __init__(self) -> None:
        import threading

        self.name = "model"
        self.parts = {"inner": [threading.Lock()]}


@step
def make_unpicklable() -> Any:
    return WithLock()


class BadReduce:
    def __reduce__(self) -> Any:
        raise RuntimeError("reduce fails")


class BadLoad:
    def __reduce__(self) -> Any:
        return _fail_to_load, ("x",)


def _fail_to_load(_text: str) -> Any:
    raise RuntimeError("load fails")


class SlowLoad:
    def __reduce__(self) -> Any:
        return _load_for_ever, (60,)


def _load_for_ever(seconds: float) -> Any:
    time.sleep(seconds)


@step
def make_one(kind: str) -> Any:
    return {"reduce": BadReduce, "load": BadLoad, "slow": SlowLoad}[kind]()


class Liar:
    """Its comparison, its repr, its length and its hash all fail."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("eq")

    def __repr__(self) -> str:
        raise RuntimeError("repr")

    def __hash__(self) -> int:
        raise RuntimeError("hash")

    def __bool__(self) -> bool:
        raise RuntimeError("bool")


@step
def make_liar() -> Any:
    return Liar()


# --- calls that make no sense -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, r"make\(\) missing 1 required argument: 'n'"),
        ((1, 2), {}, r"make\(\) takes 1 positional argument but 2 were given"),
        ((1,), {"n": 2}, r"make\(\) got multiple values for argument 'n'"),
        ((1,), {"m": 2}, r"make\(\) got an unexpected keyword argument 'm'"),
    ],
)
def test_wrong_arguments_are_caught_before_anything_starts(here: Project, args: Any, kwargs: Any, message: str) -> None:
    for call in (make, make.submit):

        @flow
        def train() -> None:
            call(*args, **kwargs)

        with pytest.raises(TypeError, match=message):
            train()
        assert here.tasks() == []
    if kwargs:

        @flow
        def mapped() -> None:
            make.map([1], **kwargs)

        with pytest.raises(TypeError, match=message):
            mapped()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("train(depths=3)", "unknown|no parameter"),
        ("train(depth='three')", "depth"),
        ("train(depth=2.5)", "depth"),
        ("train(1, 2)", "argument"),
        ("train(1, depth=2)", "depth"),
    ],
)
def test_wrong_parameters_make_no_run(project: Project, call: str, message: str) -> None:
    text = f"""
    @flow
    def train(depth: int = 1):
        return depth

    {call}
    """
    err = project.fail(text)
    assert "depth" in err or "argument" in err
    assert not (project.home / "metadata.db").exists()


@pytest.mark.parametrize("call", ["headrace.File('none.txt')", "{'deep': [threading.Lock()]}"])
def test_a_parameter_that_cannot_be_stored_makes_no_run(project: Project, call: str) -> None:
    err = project.fail(
        f"""
        import threading

        @flow
        def train(data):
            return data

        train({call})
        """
    )
    assert "ParameterError: parameter 'data': " in err and "cannot be stored" in err
    with pytest.raises(AssertionError, match="no run was made"):
        project.last()


def test_wrong_parameters_on_the_command_line_exit_with_2(project: Project) -> None:
    text = """
    @flow
    def train(depth: int = 1):
        return depth

    train.main()
    """
    for argv in (["--depht", "3"], ["--depth", "x"], ["depth=x"], ["--depth"], ["7"]):
        err = project.fail(text, *argv, code=2)
        assert "Traceback" not in err and len(err.strip().splitlines()) <= 3, err
    assert "did you mean" in project.fail(text, "--depht", "3", code=2)


def test_a_cycle_of_futures_cannot_be_made(here: Project) -> None:
    """A call takes its arguments as they are: what is put into a list later is not a dependency."""

    @flow
    def train() -> Any:
        box: list[Any] = [1]
        future = give.submit(box)
        box.append(future)
        again = give.submit(box)
        box.append(again)
        return future.result(), again.result()

    assert train() == ([1], [1, [1]])


def test_a_list_that_holds_itself_and_a_future(here: Project) -> None:
    @flow
    def train() -> Any:
        box: list[Any] = [give.submit(1)]
        box.append(box)
        back = give(box)
        return back[0], back[1] is back

    assert train() == (1, True)


# --- values that cannot be kept ---------------------------------------------------------------------------------------


def test_an_argument_that_cannot_be_stored_is_named(here: Project) -> None:
    @flow
    def train() -> None:
        give(value={"model": WithLock()})

    with pytest.raises(NotStorableError, match=r"argument 'value' of step 'give'.*parts\['inner'\]\[0\].*lock"):
        train()
    assert here.tasks() == []


def test_a_result_that_cannot_be_stored_is_named(here: Project) -> None:
    @flow
    def train() -> None:
        make_unpicklable()

    with pytest.raises(NotStorableError, match=r"\.parts\['inner'\]\[0\].*lock"):
        train()
    [attempt] = here.attempts("make_unpicklable")
    assert attempt.failure == "store"


def test_a_flow_result_that_cannot_be_stored_is_named(here: Project) -> None:
    @flow
    def train() -> Any:
        make(1)
        return WithLock()

    with pytest.raises(NotStorableError, match=r"\.parts\['inner'\]\[0\]"):
        train()
    run = here.last()
    assert run.state == "failed" and "result" in run.error


def test_a_reduce_that_fails(here: Project) -> None:
    @flow
    def train() -> None:
        make_one("reduce")

    with pytest.raises(NotStorableError, match="reduce fails"):
        train()


def test_a_value_that_does_not_load_fails_the_step_that_made_it(here: Project) -> None:
    @flow
    def train() -> Any:
        future = make_one.submit("load")
        with pytest.raises(NotStorableError, match=r"BadLoad cannot be stored: .*RuntimeError: load fails"):
            future.result()
        return give(1)

    assert train() == 1


def test_a_value_that_takes_for_ever_to_load_meets_the_time_limit(here: Project) -> None:
    @flow
    def train() -> Any:
        maker = make_one.options(timeout=0.5).submit("slow")
        return type(maker.exception()).__name__

    assert train() == "TaskTimeoutError"


def test_a_value_whose_methods_all_fail_is_kept_all_the_same(here: Project) -> None:
    @flow
    def train() -> Any:
        future = make_liar.submit()
        return type(give(future)).__name__, type(future.result()).__name__

    assert train() == ("Liar", "Liar")


def test_a_class_that_the_reader_cannot_import(project: Project) -> None:
    module = project.path / "gone.py"
    module.write_text("class Model:\n    pass\n")
    text = """
    @step
    def fit():
        import gone
        model = gone.Model()
        os.remove("gone.py")
        return model

    @step(isolated=True)
    def use(model):
        return 1

    @flow
    def train():
        try:
            use(fit.submit())
        except headrace.HeadraceError as error:
            print(type(error).__name__, error)

    train()
    """
    out = project.succeed(text)
    assert "gone" in out
