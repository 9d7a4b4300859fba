"""Async steps in flows: calls are coroutines, and what asyncio cancels stops in the worker."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any

import pytest

import headrace
from headrace import flow, step

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.integration.conftest import Project

#: Longer than any test may take: a step that sleeps so long must be stopped.
LONG = 300.0


@step
async def fetch(page: int) -> int:
    return page * 10


@step(cpu=0.1)
async def slow(number: int = 0) -> int:
    await asyncio.sleep(LONG)
    return number


@step(cpu=0.1)
def slow_sync(number: int = 0) -> int:
    time.sleep(LONG)
    return number


@step(cpu=0.1)
def short(number: int, seconds: float = 1.0) -> int:
    time.sleep(seconds)
    return number


@step
def add(a: Any, b: Any = 0) -> Any:
    return a + b


@step
async def fail() -> None:
    raise ValueError("on purpose")


def states(here: Project, name: str) -> list[str]:
    return [str(task.state) for task in here.tasks() if task.step == name]


# --- calls are coroutines --------------------------------------------------------------------------------------------


async def _create_task() -> Any:
    return await asyncio.create_task(fetch(1))


async def _task_group() -> Any:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(fetch(page)) for page in range(3)]
    return [task.result() for task in tasks]


async def _loop_create_task() -> Any:
    return await asyncio.get_running_loop().create_task(fetch(1), name="first")


async def _threadsafe() -> Any:
    loop = asyncio.get_running_loop()
    call = fetch(1)
    return await asyncio.to_thread(lambda: asyncio.run_coroutine_threadsafe(call, loop).result())


async def _gather_and_wait_for() -> Any:
    return await asyncio.gather(fetch(1), asyncio.wait_for(fetch(2), 60), asyncio.shield(fetch(3)))


async def _submitted() -> Any:
    return await asyncio.create_task(fetch.submit(1))


async def _many_waiters() -> Any:
    call = fetch(1)
    return await asyncio.gather(asyncio.create_task(call), asyncio.create_task(call), call)


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        (_create_task, 10),
        (_task_group, [0, 10, 20]),
        (_loop_create_task, 10),
        (_threadsafe, 10),
        (_gather_and_wait_for, [10, 20, 30]),
        (_submitted, 10),
        (_many_waiters, [10, 10, 10]),
    ],
    ids=lambda one: one.__name__.strip("_") if callable(one) else "",
)
def test_a_call_of_an_async_step_is_accepted_as_a_coroutine(
    here: Project, way: Callable[[], Awaitable[Any]], expected: Any
) -> None:
    @flow
    async def crawl() -> Any:
        return await way()

    assert crawl() == expected


def test_a_sync_flow_runs_calls_in_event_loops_of_its_own(here: Project) -> None:
    @flow
    def crawl() -> list[int]:
        found = [asyncio.run(fetch(1))]
        with asyncio.Runner() as runner:
            found.append(runner.run(fetch(2)))
        loop = asyncio.new_event_loop()
        found.append(loop.run_until_complete(fetch(3)))
        loop.close()
        return found

    assert crawl() == [10, 20, 30]


def test_a_call_passes_for_a_coroutine_wherever_python_asks(here: Project) -> None:
    @flow
    async def crawl() -> int:
        call = fetch(1)
        assert asyncio.iscoroutine(call) and inspect.iscoroutine(call) and inspect.isawaitable(call)
        assert inspect.getcoroutinestate(call) == inspect.CORO_CREATED
        task = asyncio.create_task(slow(1))
        await asyncio.sleep(0.05)
        assert inspect.getcoroutinestate(task.get_coro()) == inspect.CORO_SUSPENDED
        assert "slow" in repr(task) and task.get_stack()
        task.cancel()
        return await call

    assert crawl() == 10


def test_a_call_that_is_not_awaited_is_a_dependency_without_a_warning(here: Project) -> None:
    @flow
    async def crawl() -> Any:
        inside = add([fetch(1)], [fetch(2)])
        kept = fetch(3)
        return [inside, add(kept, 1), await kept, add(fetch(4), fetch(5)), fetch(6)]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert crawl() == [[10, 20], 31, 30, 90, 60]


# --- what asyncio cancels --------------------------------------------------------------------------------------------


async def _wait_for() -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(slow(), 0.3)


async def _wait_for_submitted() -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(slow.submit(), 0.3)


async def _wait_for_no_time() -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(slow.submit(), 0)


async def _timeout() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await slow()


async def _failed_sibling() -> None:
    with pytest.raises(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(slow())
            group.create_task(fail())


async def _gather_in_a_group() -> None:
    async def both() -> None:
        await asyncio.gather(slow(1), slow(2))

    with pytest.raises(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(both())
            group.create_task(fail())


async def _task_cancel() -> None:
    task = asyncio.create_task(slow())
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def _cancel_before_it_waits() -> None:
    task = asyncio.create_task(slow())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def _sync_step() -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(slow_sync.options(name="slow").submit(), 0.3)


async def _all_waiters() -> None:
    call = slow()
    tasks = [asyncio.create_task(call) for _ in range(3)]
    await asyncio.sleep(0.1)
    for task in tasks:
        task.cancel()
    assert all(isinstance(one, asyncio.CancelledError) for one in await asyncio.gather(*tasks, return_exceptions=True))


async def _closed() -> None:
    slow().close()


async def _left_to_the_event_loop() -> None:
    task = asyncio.ensure_future(slow())
    await asyncio.sleep(0.1)
    assert not task.done()


async def _consumer_of_a_call() -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(add.submit(slow(), 1), 0.3)


WAYS = [
    _wait_for,
    _wait_for_submitted,
    _wait_for_no_time,
    _timeout,
    _failed_sibling,
    _gather_in_a_group,
    _task_cancel,
    _cancel_before_it_waits,
    _sync_step,
    _all_waiters,
    _closed,
    _left_to_the_event_loop,
    _consumer_of_a_call,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda one: one.__name__.strip("_"))
def test_what_asyncio_cancels_stops_in_the_worker(here: Project, way: Callable[[], Awaitable[None]]) -> None:
    @flow
    async def crawl() -> int:
        await way()
        return await fetch(1)

    began = time.monotonic()
    assert crawl() == 10
    assert time.monotonic() - began < LONG / 4
    assert set(states(here, "slow")) == {"cancelled"}
    assert headrace.Run("crawl/1").state == "succeeded"


def test_shield_protects_a_task(here: Project) -> None:
    @flow
    async def crawl() -> int:
        call = short.submit(1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(call), 0.1)
        return await call

    assert crawl() == 1


def test_a_task_goes_on_while_another_waiter_is_left(here: Project) -> None:
    @flow
    async def crawl() -> Any:
        future = short.submit(1)
        patient = asyncio.create_task(future)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(future, 0.1)
        in_thread = short.submit(2)
        thread = asyncio.create_task(asyncio.to_thread(in_thread.result))
        await asyncio.sleep(0.1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(in_thread, 0.1)
        return [await patient, await thread]

    assert crawl() == [1, 2]


def test_a_task_goes_on_while_another_task_needs_its_output(here: Project) -> None:
    @flow
    async def crawl() -> Any:
        first = short.submit(1)
        second = add.submit(first, 1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(first, 0.1)
        return await second

    assert crawl() == 2


def test_a_submitted_input_of_a_task_that_was_given_up_goes_on(here: Project) -> None:
    @flow
    async def crawl() -> Any:
        first = short.submit(1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(add.submit(first, 1), 0.1)
        return await first

    assert crawl() == 1
    assert states(here, "add") == []  # it never had an identity


def test_a_later_call_with_equal_arguments_runs_anew(here: Project) -> None:
    @flow
    async def crawl() -> Any:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(short.submit(1, LONG), 0.5)
        call = short.submit(1, LONG)
        started = time.monotonic()
        while str(call._task.state) != "running" and time.monotonic() - started < 30:
            await asyncio.sleep(0.02)
        state = str(call._task.state)
        call.cancel()
        return state

    assert crawl() == "running"
    assert states(here, "short") == ["cancelled", "cancelled"]


def test_a_resumed_run_runs_a_cancelled_task_again(here: Project) -> None:
    gate = here.path / "gate"

    @step
    def patient(path: str) -> int:
        while not __import__("os").path.exists(path):
            time.sleep(0.01)
        return 7

    @flow
    async def crawl(path: str) -> int:
        return await asyncio.wait_for(patient.submit(path), 0.5 if not gate.exists() else 60)

    with pytest.raises(TimeoutError):
        crawl(str(gate))
    gate.write_text("")
    from headrace.frontends.native.launch import Launch, run_flow
    from headrace.services.session import Resume
    from headrace.wiring import scope_here

    again = run_flow(
        crawl, {"path": str(gate)}, Launch(scope=scope_here(), resume=Resume(run=headrace.Run("crawl/1").record))
    )
    assert again.value == 7
    assert states(here, "patient") == ["succeeded"]


def test_a_flow_in_a_thread_hears_cancellation_of_its_tasks(here: Project) -> None:
    ended: list[Any] = []

    @flow
    async def crawl() -> int:
        await _wait_for()
        return 1

    thread = threading.Thread(target=lambda: ended.append(crawl()))
    thread.start()
    thread.join(60)
    assert ended == [1]
