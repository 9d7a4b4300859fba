"""Values whose ``__getattr__`` answers every name, raises what it likes or keeps what it was asked: they are values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import headrace
from headrace import flow, step
from headrace.cli import task_replay

if TYPE_CHECKING:
    from tests.integration.conftest import Project


class Config(dict[str, Any]):
    """A dot dictionary: KeyError for a name that it does not hold."""

    __getattr__ = dict.__getitem__


class Defaulting(dict[str, Any]):
    """Holds, from then on, whatever it is asked for."""

    def __getattr__(self, name: str) -> Any:
        return self[name]

    def __missing__(self, name: str) -> Any:
        self[name] = Defaulting()
        return self[name]


class Stub:
    """A remote object: every name is a method."""

    def __init__(self, address: str) -> None:
        self.address = address

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__reduce") or name in ("__getstate__", "__setstate__", "__getnewargs_ex__"):
            raise AttributeError(name)
        return lambda *_: f"{self.address}/{name}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stub) and self.address == other.address

    def __hash__(self) -> int:
        return hash(self.address)


class Refusing:
    """Raises for every name that it does not know, and not AttributeError."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"not connected: {name}")

    def __reduce__(self) -> Any:
        return Refusing, (self.number,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Refusing) and self.number == other.number

    def __hash__(self) -> int:
        return self.number


class Builder:
    """Returns itself for every name, as builders of queries do."""

    def __init__(self, *parts: str) -> None:
        self.parts = parts

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise LookupError(name)
        return Builder(*self.parts, name)

    def __reduce__(self) -> Any:
        return Builder, self.parts

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Builder) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(self.parts)


class Row(tuple[int, ...]):
    """A tuple that has no field of any name."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        raise KeyError(name)

    def __reduce__(self) -> Any:
        return Row, (tuple(self),)


class Trouble(Exception):
    """An exception that answers every name."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Config


KINDS = [Config(rate=0.1), Defaulting(rate=0.1), Stub("host:1"), Refusing(7), Builder("a", "b"), Row((1, 2))]


@step
def give(value: Any) -> Any:
    return value


@step
async def give_later(value: Any) -> Any:
    return value


@step
def fail() -> None:
    raise Trouble("on purpose")


@pytest.mark.parametrize("value", KINDS, ids=lambda value: type(value).__name__)
def test_a_greedy_value_is_an_argument_and_a_result(here: Project, value: Any) -> None:
    @flow
    def train() -> Any:
        headrace.log_artifact("kept", value)
        headrace.log_params({"value": value})
        inside = give([value, {"key": value}, (value,)])
        return [give(value), give.submit(value).result(), inside, value]

    assert train() == [value, value, [value, {"key": value}, (value,)], value]
    if isinstance(value, dict):
        assert set(value) == {"rate"}, "it was asked for a name"
    run = headrace.Run("train/1")
    assert run.state == "succeeded"
    assert run.artifacts["kept"].value == value


@pytest.mark.parametrize("value", KINDS, ids=lambda value: type(value).__name__)
def test_a_greedy_value_goes_through_an_async_step(here: Project, value: Any) -> None:
    @flow
    async def train() -> Any:
        return await give_later(value)

    assert train() == value


def test_an_exception_that_answers_every_name_ends_a_flow(here: Project) -> None:
    @flow
    def train() -> None:
        fail()

    with pytest.raises(Trouble, match="on purpose"):
        train()
    assert headrace.Run("train/1").state == "failed"

    @flow
    def own() -> None:
        raise Trouble("in the flow")

    with pytest.raises(Trouble, match="in the flow"):
        own()
    assert headrace.Run("own/1").error == "tests.integration.test_values_without_questions.Trouble: in the flow"


@pytest.mark.parametrize("log", [headrace.log_metric, headrace.log_figure, headrace.log_table])
def test_what_is_logged_is_not_asked(here: Project, log: Any) -> None:
    @flow
    def train() -> None:
        for value in (Config(rate=1), Defaulting(rate=1), Refusing(1), Builder("a")):
            if log is headrace.log_table and isinstance(value, dict):
                continue
            with pytest.raises(headrace.UsageError):
                log("name", value)
            assert not isinstance(value, dict) or set(value) == {"rate"}

    train()


def test_greedy_values_at_the_top_of_a_script_stay_as_they_are(here: Project) -> None:
    out = here.succeed(
        """
        class Defaulting(dict):
            def __getattr__(self, name):
                return self[name]
            def __missing__(self, name):
                self[name] = Defaulting()
                return self[name]

        settings = Defaulting(rate=1)

        @step
        def rate():
            return sorted(settings)

        @flow
        def train():
            return rate()

        if __name__ == "__main__":
            print(train())
        """
    )
    assert "['rate']" in out


def test_greedy_values_are_artifacts_of_a_metaflow_flow(here: Project) -> None:
    (here.path / "mf.py").write_text(
        """
from metaflow import FlowSpec, step

class Config(dict):
    __getattr__ = dict.__getitem__

class Shared(Config):
    pass

class Mf(FlowSpec):
    constant = Shared(rate=2)

    @step
    def start(self):
        self.config = Config(rate=1)
        self.many = [Config(n=n) for n in range(2)]
        self.next(self.each, foreach="many")

    @step
    def each(self):
        assert self.input.n in (0, 1) and self.constant.rate == 2
        self.next(self.join)

    @step
    def join(self, inputs):
        self.merge_artifacts(inputs)
        self.next(self.end)

    @step
    def end(self):
        print("rate is", self.config.rate, type(self.config).__name__)

if __name__ == "__main__":
    Mf()
"""
    )
    done = here.finish(here.start("-m", "headrace", "run", "mf.py"))
    assert "rate is 1 Config" in done.out + done.err, done.out + done.err


@pytest.mark.parametrize("value", KINDS, ids=lambda value: type(value).__name__)
def test_debug_does_not_await_a_greedy_value(value: Any, capsys: pytest.CaptureFixture[str]) -> None:
    entered = task_replay.Entered("make", {}, lambda: task_replay._awaited(value))
    assert task_replay.call(entered, "train/1/make/1") == 0
    assert "It returned: " in capsys.readouterr().out


_shared = {"config": Config(rate=1), "defaulting": Defaulting(rate=2), "refusing": Refusing(3), "builder": Builder("a")}


@step
def rates(number: int) -> Any:
    return number, _shared["config"]["rate"], _shared["refusing"].number, sorted(_shared["defaulting"])


def test_greedy_values_are_globals_that_a_step_reads(here: Project) -> None:
    @flow
    def train() -> Any:
        first = rates(1)
        _shared["refusing"].number = 5
        return first, rates(2)

    assert train() == ((1, 1, 3, ["rate"]), (2, 1, 5, ["rate"]))
