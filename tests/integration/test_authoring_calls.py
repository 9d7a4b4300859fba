"""Steps and flows as they are written and called: arguments, futures, outputs, control flow."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import threading
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

import pytest
from tests.integration.steps import add, explode, later, total

import headrace
from headrace import as_completed, flow, step, wait
from headrace.model.errors import DefinitionError

if TYPE_CHECKING:
    from tests.integration.conftest import Project


def itself(value: Any) -> Any:
    return value


class Model:
    @staticmethod
    @step
    def inner(n: int) -> int:
        return n + 100

    @step
    @staticmethod
    def outer(n: int) -> int:
        return n + 200


class Split(NamedTuple):
    train: list[int]
    test: list[int]


@dataclasses.dataclass
class Score:
    accuracy: float
    labels: dict[str, int]


class Both(TypedDict):
    left: int
    right: str


@step
def split(n: int) -> Split:
    return Split(list(range(n)), [n])


@step
def score(accuracy: float) -> Score:
    return Score(accuracy, {"cat": 1})


@step
def both(n: int) -> Both:
    return {"left": n, "right": str(n)}


@step
def look(value: Any) -> str:
    return repr(value)


# --- calls -----------------------------------------------------------------------------------------------------------


def test_calling_a_step_makes_a_task_and_returns_its_value(here: Project) -> None:
    @flow
    def train(n: int = 3) -> int:
        return add(add(n), b=5)

    assert train() == 9
    assert train(10) == 16
    assert [(t.step, t.number, t.state) for t in here.tasks()] == [("add", 1, "succeeded"), ("add", 2, "succeeded")]
    assert here.last().name == "train/2"


def test_a_step_outside_a_run_is_its_function() -> None:
    assert add(1, 2) == 3
    assert add.submit(1).result() == 2
    assert [f.result() for f in add.map([1, 2], b=2)] == [3, 4]
    failed = explode.submit("x")
    assert isinstance(failed.exception(), ValueError)
    with pytest.raises(ValueError, match="x"):
        failed.result()
    assert failed.done() and not failed.cancel()
    assert asyncio.run(later(2)) == 20  # type: ignore[arg-type]
    assert later.submit(2).result() == 20
    assert total([1, 2]) == total([add.submit(0), add.submit(1)]) == total.submit([add.submit(0), 2]).result() == 3
    assert add(add.submit(1), b=add.submit(2)) == 5
    assert isinstance(add.submit(failed).exception(), ValueError)
    same: list[Any] = [1, {"a": (2,)}]
    assert step(itself)(same) is same
    assert wait([add.submit(1), failed]).pending == []
    assert [f.done() for f in as_completed([add.submit(1), failed])] == [True, True]


def test_what_a_step_logs_outside_a_run_is_checked_and_forgotten() -> None:
    @step
    def logs(value: Any) -> Any:
        headrace.log_metric("loss", value)
        headrace.log_params({"value": value})
        headrace.log_artifact("kept", lambda: value)
        headrace.set_tag("tried")
        return value

    @step
    async def later_logs(value: Any) -> Any:
        await asyncio.sleep(0)
        headrace.log_metric("loss", value)
        return value

    assert logs(1) == logs.submit(1).result() == later_logs.submit(1).result() == 1
    assert asyncio.run(later_logs(1)) == 1  # type: ignore[arg-type]
    with pytest.raises(headrace.HeadraceError, match="is not a number"):
        logs("high")
    with pytest.raises(headrace.HeadraceError, match="outside of a run"):
        headrace.log_metric("loss", 1)


def test_futures_are_dependencies_wherever_they_are(here: Project) -> None:
    @dataclasses.dataclass
    class Box:
        one: Any
        rest: list[Any]

    @step
    def unbox(box: Box, *, extra: dict[str, Any]) -> list[Any]:
        return [box.one, *box.rest, extra["deep"][0]["x"]]

    @flow
    def train() -> list[Any]:
        a, b = add.submit(1), add.submit(2)
        listed = total.submit([a, b, 10])
        return [
            total.submit([a, a]).result(),
            listed.result(),
            unbox(Box(a, [b, listed]), extra={"deep": ({"x": a},)}),
            add(a, b=b),
        ]

    assert train() == [4, 15, [2, 3, 15, 2], 5]
    edges = {(e.parent_step, e.child_step) for e in here.metadata.edges(here.last().id)}
    assert ("add", "total") in edges and ("total", "unbox") in edges and ("add", "add") in edges


def test_map_starts_a_task_per_item(here: Project) -> None:
    @flow
    def train() -> list[int]:
        shared = add.submit(9)
        mixed = add.map([1, add.submit(1), 3], b=shared)
        return [f.result() for f in mixed] + [f.result() for f in add.map(x for x in range(2))]

    assert train() == [11, 12, 13, 1, 2]
    assert add.map([]) == []


def test_items_of_map_fill_the_first_argument_that_is_free(here: Project) -> None:
    @step
    def fit(frame: list[int], depth: int, *, scale: int = 1) -> list[int]:
        return [value * depth * scale for value in frame]

    @flow
    def train() -> list[list[int]]:
        made = [*fit.map([2, 3], frame=[1, 10]), *fit.map([5], frame=[1], depth=2), *fit.map([[4]], depth=1)]
        return [f.result() for f in made]

    assert train() == [[2, 20], [3, 30], [10], [4]]
    assert [f.result() for f in fit.map([2, 3], frame=[1])] == [[2], [3]]
    assert fit([1, 10], 2) == [2, 20]
    with pytest.raises(TypeError, match="multiple values for argument 'frame'"):
        fit.map([1], frame=[1], depth=2, scale=3)


def test_options_change_the_policy_of_some_calls_only(here: Project) -> None:
    @flow
    def train() -> int:
        add.options(tags=["big"])(1)
        add.options(name="plus", cpu=2)(1)
        return add(1)

    assert train() == 2
    assert {(t.step, t.tags) for t in here.tasks()} == {("add", ("big",)), ("add", ()), ("plus", ())}
    assert add.policy.tags == () and add.name == "add"


def test_options_may_be_spelt_in_several_ways() -> None:
    assert add.options(timeout=datetime.timedelta(minutes=10)).policy == add.options(timeout="10m").policy
    assert add.options(retries={"count": 2, "delay": "1s"}).policy.retry == headrace.Retry(2, delay=1)
    assert add.options(tags={"team": "vision", "slow": ""}).policy.tags == ("team=vision", "slow")
    bounded = add.options(memory="1GiB", timeout=5)
    assert bounded.options(memory=None, timeout=None).policy == add.policy


def test_static_methods_are_steps(here: Project) -> None:
    @flow
    def train() -> list[int]:
        return [Model.inner(1), Model().inner(2), Model.outer(3), Model().outer(4)]

    assert train() == [101, 102, 203, 204]


def test_an_instance_method_is_refused() -> None:
    class Trainer:
        @step
        def fit(self, n: int) -> int:
            return n

    with pytest.raises(DefinitionError, match="instance method"):
        Trainer().fit(1)


def test_values_that_need_no_future_are_writable_at_the_reader(here: Project) -> None:
    import numpy as np

    @step
    def make(n: int) -> Any:
        return np.arange(n, dtype=np.float64)

    @step
    def spoil(array: Any, other: list[int]) -> float:
        array[:] = 7
        other.append(1)
        return float(array.sum())

    @flow
    def train(n: int = 300_000) -> list[Any]:
        future = make.submit(n)
        small = [1, 2]
        array = future.result()
        array[0] = 5
        again = future.result()
        fresh = make(10)
        fresh += 1
        return [spoil(future, small), small, spoil(array, small), float(again[0]), again is array, spoil(future, [0])]

    first, small, second, again, same, third = train()
    assert (first, small, second, again, same, third) == (2_100_000.0, [1, 2], 2_100_000.0, 5.0, True, 2_100_000.0)


@step
def every(a: int, /, b: int = 2, *rest: int, c: int = 3, **more: int) -> Any:
    return a, b, rest, c, more


def test_parameters_of_every_kind(here: Project) -> None:
    @flow
    def train() -> list[Any]:
        one = add.submit(0, 0)
        return [
            every(1),
            every(1, b=5, c=6, z=8, y=9),
            every(1, 2, 3, 4, c=5),
            every(one, one, one, [one], a=one),
            [f.result() for f in every.map([1, 2], c=7)],
        ]

    assert train() == [
        (1, 2, (), 3, {}),
        (1, 5, (), 6, {"z": 8, "y": 9}),
        (1, 2, (3, 4), 5, {}),
        (0, 0, (0, [0]), 3, {"a": 0}),
        [(1, 2, (), 7, {}), (2, 2, (), 7, {})],
    ]


# --- named outputs ---------------------------------------------------------------------------------------------------


def test_several_outputs_are_an_artifact_each(here: Project) -> None:
    @flow
    def train() -> list[Any]:
        parts = split.submit(3)
        return [
            split(2),
            parts.result().test,
            total([parts.result().train[2], 1]),
            look(parts),
            look([score.submit(0.5)]),
            look({"b": both.submit(4)}),
            both(1)["right"],
            score(0.25),
        ]

    assert train() == [
        Split([0, 1], [2]),
        [3],
        3,
        "Split(train=[0, 1, 2], test=[3])",
        "[Score(accuracy=0.5, labels={'cat': 1})]",
        "{'b': {'left': 4, 'right': '4'}}",
        "1",
        Score(0.25, {"cat": 1}),
    ]
    kept = {(a.step, a.name) for a in here.metadata.artifacts(here.last().id)}
    assert {("split", "train"), ("split", "test"), ("score", "accuracy"), ("score", "labels")} <= kept
    assert {("both", "left"), ("both", "right"), ("", "result"), ("look", "result")} <= kept


def test_an_output_that_is_promised_and_missing_is_named(here: Project) -> None:
    @step
    def half() -> Both:
        return {"left": 1}

    @flow
    def train() -> Any:
        return half()

    with pytest.raises(headrace.NotStorableError, match="'right'"):
        train()


# --- control flow ----------------------------------------------------------------------------------------------------


def test_loops_conditions_and_handlers_are_plain_python(here: Project) -> None:
    @flow
    def train(limit: int = 5) -> list[int]:
        value, path = 0, []
        while value < limit:
            value = add(value, 2)
            path.append(value)
        if path[-1] > limit:
            try:
                explode("caught")
            except ValueError as error:
                path.append(-len(str(error)))
            else:
                path.append(0)
            finally:
                path.append(99)
        return [*path, *(add(x) for x in range(2))]

    assert train() == [2, 4, 6, -6, 99, 1, 2]
    assert here.last().state == "succeeded"


def test_recursion_and_sub_flows_belong_to_the_run(here: Project) -> None:
    @flow
    def half(values: list[int]) -> int:
        if len(values) <= 1:
            return add(values[0], 0)
        middle = len(values) // 2
        return half(values[:middle]) + half(values[middle:])

    @flow
    def train() -> list[int]:
        return [half([1, 2, 3]), half([4])]

    assert train() == [6, 4]
    assert len(here.tasks("add")) == 4
    assert here.last().name == "train/1"


def test_a_step_calls_steps_and_flows_as_plain_functions(here: Project) -> None:
    @step
    def all_in_one(n: int) -> int:
        return add(n) + inner(n) + add.submit(1).result() + sum(f.result() for f in add.map([1]))

    @flow
    def inner(n: int) -> int:
        return add(n)

    @flow
    def train() -> int:
        return all_in_one(1)

    assert train() == 8
    assert [t.step for t in here.tasks()] == ["all_in_one"]


def test_threads_of_a_flow_call_steps(here: Project) -> None:
    @flow
    def train() -> list[int]:
        found: list[int] = []
        threads = [threading.Thread(target=lambda n=n: found.append(add(n, 10))) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sorted(found)

    assert train() == list(range(10, 18))
    assert len(here.tasks("add")) == 8


def test_a_run_cannot_be_had_twice_from_one_flow_call_in_two_threads(here: Project) -> None:
    """Two flows at once in two threads are two runs, and their tasks do not mix."""

    @flow
    def train(n: int) -> list[int]:
        return [add(n), add(n + 1)]

    found: dict[int, list[int]] = {}
    threads = [threading.Thread(target=lambda n=n: found.__setitem__(n, train(n))) for n in (10, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == {10: [11, 12], 20: [21, 22]}


# --- what cannot be a step -------------------------------------------------------------------------------------------


def test_generators_are_refused_when_they_are_declared() -> None:
    with pytest.raises(DefinitionError, match=r"generator.*step\.map"):

        @step
        def items() -> Iterator[int]:
            yield 1

    with pytest.raises(DefinitionError, match="generator"):

        @step
        async def more() -> AsyncIterator[int]:
            yield 1


def test_a_generator_flow_is_refused() -> None:
    with pytest.raises(DefinitionError, match="generator"):

        @flow
        def train() -> Iterator[int]:
            yield 1


def test_a_returned_generator_is_refused(here: Project) -> None:
    @step
    def lazy() -> Any:
        return (x for x in range(3))

    @flow
    def train() -> Any:
        return lazy()

    with pytest.raises(headrace.NotStorableError, match="generator"):
        train()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"retires": 3}, "did you mean 'retries'"),
        ({"memory": "much"}, "memory"),
        ({"timeout": "soon"}, "timeout"),
        ({"cpu": -1}, "negative"),
        ({"cpu": "two"}, "cpu"),
        ({"gpu": 0.5}, "gpu"),
        ({"retries": -1}, "negative"),
        ({"retries": "x"}, "retries"),
        ({"retries": {"times": 1}}, "retries"),
        ({"environment": {}}, "must be a headrace.Environment, .*; variables are set by env="),
        ({"env": ["A"]}, "env"),
        ({"name": "a/b"}, "name"),
        ({"max_parallel": "x"}, "max_parallel"),
        ({"cache": "yes"}, "cache"),
        ({"isolated": 1}, "isolated"),
        ({"tags": 3}, "tags"),
        ({"tags": [3]}, "tags"),
        ({"name": 3}, "name"),
        ({"max_parallel": -1}, "max_parallel"),
        ({"timeout": -1}, "timeout"),
        ({"env": {"A=B": "1"}}, "env"),
    ],
)
def test_impossible_options_are_refused_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):

        @step(**options)
        def work() -> None: ...

    with pytest.raises(DefinitionError, match=message):
        add.options(**options)


def test_unknown_and_impossible_flow_options_are_refused() -> None:
    with pytest.raises(DefinitionError, match="no option 'max_paralel'"):
        flow(max_paralel=1)  # type: ignore[call-overload]
    with pytest.raises(DefinitionError, match="class"):
        step(Model)
    with pytest.raises(DefinitionError, match="name"):
        step(lambda: 1)
    with pytest.raises(DefinitionError, match="Python function"):
        flow(print)
    with pytest.raises(DefinitionError, match="max_parallel"):
        flow(max_parallel=-1)
    with pytest.raises(DefinitionError, match="on_failure"):
        flow(on_failure="mail")  # type: ignore[call-overload]
    with pytest.raises(DefinitionError, match="class method"):
        step(classmethod(lambda cls: 1))


def test_a_decorated_function_keeps_its_face() -> None:
    assert add.__doc__ == "Add." and add.__name__ == "add" and add.__module__ == "tests.integration.steps"
    assert repr(add) == "<step add>"
