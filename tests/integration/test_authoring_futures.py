"""Futures: waiting, failing, cancelling, in threads of the flow and in event loops."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.steps import add, explode, later, nap, total

import headrace
from headrace import Future, as_completed, flow, step, wait
from headrace.model.errors import UsageError

if TYPE_CHECKING:
    from tests.integration.conftest import Project


# --- async -----------------------------------------------------------------------------------------------------------


def test_async_steps_and_flows(here: Project) -> None:
    @flow
    async def train(n: int = 3) -> list[int]:
        one = await later(n)
        both = await asyncio.gather(later(1), later(2), later.submit(3))
        futures = later.map([4, 5])
        rest = [await f for f in futures]
        done_again = await futures[0]
        with pytest.raises(ValueError, match="gone"):
            await explode.submit("gone")
        return [one, *both, *rest, done_again, await add.submit(1)]

    assert train() == [30, 10, 20, 30, 40, 50, 40, 2]

    async def in_a_loop() -> list[int]:
        return await train(1)

    assert asyncio.run(in_a_loop())[0] == 10


def test_the_event_loop_stays_free_while_tasks_run(here: Project) -> None:
    @flow
    async def train() -> int:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticker = asyncio.ensure_future(tick())
        await nap.submit(0.3)
        ticker.cancel()
        return ticks

    assert train() > 5


def test_an_async_future_can_be_waited_for_with_a_time_limit(here: Project) -> None:
    @flow
    async def train() -> float:
        slow = nap.submit(0.4)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(_result_of(slow)), 0.05)
        return await slow

    async def _result_of(future: Future[Any]) -> Any:
        return await future

    assert train() == 0.4


def test_an_event_loop_that_ends_before_its_tasks_do(here: Project) -> None:
    async def hold(future: Future[Any]) -> Any:
        return await future

    @flow
    async def train() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(hold(nap.submit(30)))
            group.create_task(hold(explode.submit("group")))

    began = time.monotonic()
    with pytest.raises(ExceptionGroup) as caught:
        train()
    assert isinstance(caught.value.exceptions[0], ValueError)
    assert time.monotonic() - began < 5
    assert {t.step: t.state for t in here.tasks()} == {"nap": "cancelled", "explode": "failed"}


def test_cancelling_a_flow_that_is_awaited_cancels_its_run(here: Project) -> None:
    @flow
    async def train(tasks: bool) -> None:
        if tasks:
            await nap.submit(30)
        else:
            await asyncio.sleep(30)

    async def in_a_loop(tasks: bool) -> None:
        call = asyncio.ensure_future(train(tasks))
        await asyncio.sleep(0.4)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    for tasks in (True, False):
        began = time.monotonic()
        asyncio.run(in_a_loop(tasks))
        assert time.monotonic() - began < 5
        assert here.last().state == "cancelled"


def test_async_sub_flows_and_threads_of_an_event_loop(here: Project) -> None:
    @flow
    async def part(n: int) -> int:
        return await later(n)

    @flow
    async def train() -> list[Any]:
        loop = asyncio.get_running_loop()
        return [
            await part(1),
            await asyncio.gather(*(part(n) for n in range(3))),
            await asyncio.to_thread(add, 5),
            await loop.run_in_executor(None, add, 7),
            add(1),
        ]

    assert train() == [10, [0, 10, 20], 6, 8, 2]
    assert len(here.tasks("add")) == 3 and len(here.tasks("later")) == 4


# --- futures ---------------------------------------------------------------------------------------------------------


def test_result_exception_done_and_time_limits(here: Project) -> None:
    @flow
    def train() -> list[Any]:
        slow = nap.submit(0.3)
        bad = explode.submit("why")
        seen: list[Any] = [slow.done()]
        with pytest.raises(TimeoutError, match="nap"):
            slow.result(timeout=0.02)
        with pytest.raises(TimeoutError, match="nap"):
            slow.exception(timeout=0.02)
        seen += [type(bad.exception()), slow.result(timeout=10), slow.done(), slow.exception()]
        with pytest.raises(ValueError, match="why"):
            bad.result()
        assert "nap" in repr(slow) and slow.name == "train/1/nap/1"
        return seen

    assert train() == [False, ValueError, 0.3, True, None]


def test_wait_and_as_completed(here: Project) -> None:
    @flow
    def train() -> list[Any]:
        slow, fast = nap.submit(0.4), nap.submit(0.01)
        first = wait([slow, fast], first=True)
        assert first.done == [fast] and first.pending == [slow]
        none_yet = wait([slow], timeout=0.01)
        assert none_yet.done == [] and none_yet.pending == [slow]
        with pytest.raises(TimeoutError, match="1 of 2"):
            list(as_completed([slow, fast], timeout=0.01))
        order = [f.result() for f in as_completed([slow, nap.submit(0.02), fast])]
        assert wait([]).done == [] and list(as_completed([])) == []
        assert wait([slow, fast]).pending == []
        return order

    order = train()
    assert order[-1] == 0.4 and sorted(order) == [0.01, 0.02, 0.4]


def test_cancel_stops_one_task_and_what_needs_it(here: Project) -> None:
    @flow
    def train() -> list[Any]:
        slow = nap.submit(30)
        after = add.submit(slow)
        waiting = nap.submit(31)
        time.sleep(0.1)
        assert slow.cancel() and waiting.cancel()
        kinds = [type(f.exception()) for f in (slow, after, waiting)]
        assert slow.done() and not slow.cancel()
        return [kinds, add(1)]

    began = time.monotonic()
    kinds, value = train()
    assert kinds == [headrace.TaskCancelledError] * 3 and value == 2
    assert time.monotonic() - began < 5


def test_a_failure_upstream_reaches_who_depends_on_it(here: Project) -> None:
    @flow
    def train() -> list[Any]:
        bad = explode.submit("root")
        error = total.submit([add.submit(bad), 1]).exception()
        assert isinstance(error, headrace.UpstreamFailedError)
        return [str(error), type(error.__cause__), error.headrace_task]  # type: ignore[attr-defined]

    text, cause, _name = train()
    assert "explode/1 failed: ValueError: root" in text and cause is ValueError


def test_a_future_of_another_run_is_refused(here: Project) -> None:
    kept: list[Future[int]] = []

    @flow
    def first() -> None:
        kept.append(add.submit(1))

    @flow
    def second() -> int:
        return add(kept[0])

    first()
    with pytest.raises(UsageError, match="another run"):
        second()
    assert kept[0].result() == 2


def test_a_future_in_the_result_of_a_flow_is_refused_with_advice(here: Project) -> None:
    @flow
    def train() -> Any:
        return {"deep": {"down": add.submit(1)}}

    with pytest.raises(headrace.NotStorableError, match="result"):
        train()
    assert here.last().state == "failed"


def test_a_flow_may_return_futures(here: object) -> None:
    @step
    def double(x: int) -> int:
        return 2 * x

    @flow
    def one() -> object:
        return double.submit(1)

    @flow
    def many() -> object:
        return {"all": double.map([1, 2]), "first": double.submit(3), "rest": 4}

    assert one() == 2
    assert many() == {"all": [2, 4], "first": 6, "rest": 4}
