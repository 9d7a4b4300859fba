"""``step.options(...)``: the same step under another policy. Limits, measured times and the function are shared."""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from headrace import DefinitionError, flow, step
from headrace.runtime import registry
from headrace.services.current import running

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.conftest import Project

Span = tuple[float, float]


@step(max_parallel=1, cpu=0.1)
def limited(number: int) -> Span:
    began = time.monotonic()
    time.sleep(0.15)
    return began, time.monotonic()


@step
def add(a: int, b: int = 0) -> int:
    return a + b


@step
def rate_of(other: Any) -> Any:
    return other.policy.retry.count, other.name


def _double(number: int) -> int:
    return 2 * number


def _in_loop() -> list[Span]:
    futures = [limited.options(retries=n % 3).submit(n) for n in range(4)]
    return [future.result() for future in futures]


def _stored() -> list[Span]:
    patient = limited.options(timeout="1m")
    return [f.result() for f in [limited.submit(1), patient.submit(2), limited.submit(3), patient.submit(4)]]


def _of_options() -> list[Span]:
    once = limited.options(retries=1)
    return [f.result() for f in [once.submit(1), once.options(timeout=60).submit(2), limited.submit(3)]]


def _in_map() -> list[Span]:
    return [f.result() for f in [*limited.options(retries=1).map([1, 2]), *limited.options(tags=["late"]).map([3, 4])]]


def _isolated_and_env() -> list[Span]:
    return [
        f.result()
        for f in [
            limited.options(isolated=True).submit(1),
            limited.options(env={"MODE": "fast"}).submit(2),
            limited.options(cpu=0.2).submit(3),
            limited.submit(4),
        ]
    ]


def _two_objects() -> list[Span]:
    again = step(max_parallel=1, cpu=0.1)(limited.__wrapped__)
    return [f.result() for f in [limited.submit(1), again.submit(2), again.options(retries=1).submit(3)]]


def _in_threads() -> list[Span]:
    run, spans = running(), []
    assert run is not None

    def call(number: int) -> None:
        spans.append(run.submit(limited.options(retries=number), (number,), {}).result())

    threads = [threading.Thread(target=call, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return spans


@flow
def inner() -> list[Span]:
    return [f.result() for f in [limited.options(retries=2).submit(10), limited.submit(11)]]


def _in_sub_flow() -> list[Span]:
    outer = limited.options(retries=1).submit(1)
    return [*inner(), outer.result()]


@pytest.mark.parametrize(
    "calls",
    [_in_loop, _stored, _of_options, _in_map, _isolated_and_env, _two_objects, _in_threads, _in_sub_flow],
    ids=lambda one: one.__name__.strip("_"),
)
def test_max_parallel_holds_for_all_calls_of_a_step_together(here: Project, calls: Callable[[], list[Span]]) -> None:
    @flow
    def train() -> list[Span]:
        return calls()

    spans = sorted(train())
    assert len(spans) >= 3
    for before, after in pairwise(spans):
        assert before[1] <= after[0], "two attempts of the step ran at once"


def test_another_name_is_another_step_with_a_limit_of_its_own(here: Project) -> None:
    @flow
    def train() -> list[Span]:
        return [f.result() for f in [limited.submit(1), limited.options(name="other").submit(1)]]

    first, second = train()
    assert first[0] < second[1] and second[0] < first[1]
    assert {task.step for task in here.tasks()} == {"limited", "other"}


def test_options_in_a_loop_register_and_define_the_function_once(here: Project) -> None:
    add.options(retries=1)
    before, run = registry.count(), None

    @flow
    def train() -> int:
        nonlocal run
        run = running()
        return sum(
            f.result() for f in [add.options(retries=n % 7, timeout=60 + n % 5).submit(n, 1) for n in range(500)]
        )

    assert train() == sum(range(501))
    assert registry.count() == before
    assert run is not None and run.session._step_ids == 1


def test_options_share_the_measured_duration(here: Project) -> None:
    @flow
    def train() -> tuple[Any, Any]:
        add(1)
        run: Any = running()
        return run._info(add).load.seconds, run._info(add.options(retries=3)).load.seconds

    first, second = train()
    assert first is not None and first == second


def test_options_that_say_the_same_are_the_same_step() -> None:
    assert add.options(retries=2) is add.options(retries=2)
    assert add.options(retries=2).options(cpu=2) is add.options(cpu=2, retries=2)
    assert add.options(retries=2).__wrapped__ is add.__wrapped__
    with pytest.raises(DefinitionError, match="needs a name"):
        add.options(name="a/b")


def test_a_step_with_options_keeps_them_as_an_argument(here: Project) -> None:
    @flow
    def train() -> Any:
        return rate_of(add.options(retries=4, name="plus")), rate_of(add)

    assert train() == ((4, "plus"), (0, "add"))


def test_a_function_that_is_decorated_again_and_again_is_registered_once(here: Project) -> None:
    step(_double)
    before = registry.count()

    @flow
    def train() -> int:
        return sum(step(cpu=1)(_double)(n) for n in range(20))

    assert train() == 380
    assert registry.count() == before
    assert len([task for task in here.tasks() if task.step == "_double"]) == 20


def test_step_takes_options_also_beside_its_function() -> None:
    def fit(n: int) -> int:
        return n

    made: Any = step(fit, name="train", cpu=2, image="r-base")  # type: ignore[call-overload]
    assert (made.name, made.policy.resources.cpu, made.policy.image) == ("train", 2, "r-base")
    with pytest.raises(DefinitionError, match="cpus"):
        step(fit, cpus=2)  # type: ignore[call-overload]
