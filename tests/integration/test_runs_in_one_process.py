"""Several runs in one process: what each prints, logs and calls belongs to it alone."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import headrace
from headrace import flow, step

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.conftest import Project


@step
def double(number: int) -> int:
    return 2 * number


@step
async def double_later(number: int) -> int:
    return 2 * number


def together(*calls: Callable[[], Any]) -> list[Any]:
    """Call each in a thread of its own, at the same time."""
    found: list[Any] = [None] * len(calls)

    def call(place: int) -> None:
        found[place] = calls[place]()

    threads = [threading.Thread(target=call, args=(place,)) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return found


def logs(name: str, number: int) -> None:
    """Log one of everything."""
    print(f"printed by {name}")
    headrace.log_metric("metric", float(number))
    headrace.log_params({f"param-{name}": number})
    headrace.set_tag(f"tag-{name}")
    headrace.log_artifact(f"artifact-{name}", number)


def assert_owned(run: headrace.Run, name: str, number: int, *others: str) -> None:
    text = str(run.logs)
    assert f"printed by {name}" in text
    assert run.metrics["metric"].last == number
    assert f"param-{name}" in run.params and f"tag-{name}" in run.tags and f"artifact-{name}" in run.artifacts
    for other in others:
        assert f"printed by {other}" not in text
        assert f"param-{other}" not in run.params and f"tag-{other}" not in run.tags
        assert f"artifact-{other}" not in run.artifacts


def test_two_flows_in_threads(here: Project) -> None:
    barrier = threading.Barrier(2, timeout=60)

    @flow
    def one() -> int:
        barrier.wait()
        logs("one", 1)
        result = double(1)
        barrier.wait()
        return result

    @flow
    def two() -> int:
        barrier.wait()
        logs("two", 2)
        result = double(2)
        barrier.wait()
        return result

    print("printed by nobody")
    assert together(one, two) == [2, 4]
    assert_owned(headrace.Run("one/1"), "one", 1, "two", "nobody")
    assert_owned(headrace.Run("two/1"), "two", 2, "one", "nobody")
    assert len(headrace.Run("one/1").tasks) == len(headrace.Run("two/1").tasks) == 1


def test_threads_that_flows_start_belong_to_their_run(here: Project) -> None:
    barrier = threading.Barrier(2, timeout=60)

    def body(name: str, number: int) -> list[int]:
        def work(item: int) -> int:
            logs(name, number)
            return double(item)

        barrier.wait()
        with ThreadPoolExecutor(3) as pool:
            found = list(pool.map(work, range(number, number + 3)))
        barrier.wait()
        return found

    @flow
    def one() -> list[int]:
        return body("one", 1)

    @flow
    def two() -> list[int]:
        return body("two", 10)

    assert together(one, two) == [[2, 4, 6], [20, 22, 24]]
    assert_owned(headrace.Run("one/1"), "one", 1, "two")
    assert_owned(headrace.Run("two/1"), "two", 10, "one")
    assert len(headrace.Run("one/1").tasks) == len(headrace.Run("two/1").tasks) == 3


def test_flows_in_tasks_of_one_event_loop(here: Project) -> None:
    barrier = threading.Barrier(2, timeout=60)

    async def body(name: str, number: int) -> int:
        await asyncio.to_thread(barrier.wait)
        logs(name, number)
        await asyncio.to_thread(print, f"printed by {name} in a thread")
        task = asyncio.create_task(double_later(number))
        return await task

    @flow
    async def one() -> int:
        return await body("one", 1)

    @flow
    async def two() -> int:
        return await body("two", 2)

    async def main() -> list[int]:
        return list(await asyncio.gather(one(), two()))

    assert asyncio.run(main()) == [2, 4]
    assert_owned(headrace.Run("one/1"), "one", 1, "two")
    assert_owned(headrace.Run("two/1"), "two", 2, "one")


def test_sub_flows_belong_to_the_run_that_calls_them(here: Project) -> None:
    barrier = threading.Barrier(2, timeout=60)

    @flow
    def inner(name: str, number: int) -> int:
        barrier.wait()
        logs(name, number)
        return double(number)

    @flow
    def one() -> int:
        return inner("one", 1)

    @flow
    def two() -> int:
        return together(lambda: inner("two", 2))[0]

    assert together(one, two) == [2, 4]
    assert_owned(headrace.Run("one/1"), "one", 1, "two")
    assert_owned(headrace.Run("two/1"), "two", 2, "one")
    assert not headrace.runs("inner")


def test_a_log_handler_of_one_run_tells_the_run_that_logs(here: Project) -> None:
    logger = logging.getLogger("shared by runs")
    logger.propagate = False
    barrier = threading.Barrier(2, timeout=60)

    @flow
    def one() -> None:
        handler = logging.StreamHandler(sys.stdout)
        logger.addHandler(handler)
        barrier.wait()
        logger.warning("logged by one")
        barrier.wait()
        logger.removeHandler(handler)

    @flow
    def two() -> None:
        barrier.wait()
        logger.warning("logged by two")
        barrier.wait()

    before = sys.stdout
    together(one, two)
    assert sys.stdout is before
    assert str(headrace.Run("one/1").logs).count("logged by") == str(headrace.Run("two/1").logs).count("logged by") == 1
    assert "logged by one" in str(headrace.Run("one/1").logs)


def test_a_wrapper_around_the_output_does_not_double_it(here: Project) -> None:
    class Wrapper:
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        def write(self, text: str) -> Any:
            return self._stream.write(text)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._stream, name)

    inside, done = threading.Event(), threading.Event()

    @flow
    def first() -> None:
        sys.stdout = Wrapper(sys.stdout)
        inside.set()
        done.wait(60)
        sys.stdout = sys.stdout._stream

    @flow
    def second() -> None:
        inside.wait(60)
        print("only once")

    def run_second() -> None:
        inside.wait(60)
        second()
        done.set()

    before = sys.stdout
    try:
        together(first, run_second)
        assert str(headrace.Run("second/1").logs).count("only once") == 1
    finally:
        sys.stdout = before


def test_what_other_threads_print_goes_to_no_run(here: Project) -> None:
    go, done = threading.Event(), threading.Event()

    def stranger() -> None:
        go.wait(60)
        print("printed by an older thread")
        together(lambda: print("printed by a thread that an older one started"))
        done.set()

    older = threading.Thread(target=stranger)
    older.start()

    @flow
    def train() -> int:
        print("printed by the flow")
        together(lambda: print("printed by a thread of the flow"))
        go.set()
        done.wait(60)
        return double(1)

    assert train() == 2
    older.join(60)
    text = str(headrace.Run("train/1").logs)
    assert "printed by the flow" in text and "printed by a thread of the flow" in text
    assert "older" not in text


def test_a_flow_in_an_older_thread_is_a_run_of_its_own(here: Project) -> None:
    go, done = threading.Event(), threading.Event()

    @flow
    def second() -> int:
        return double(5)

    def work() -> None:
        go.wait(60)
        second()
        done.set()

    thread = threading.Thread(target=work)
    thread.start()

    @flow
    def first() -> int:
        go.set()
        done.wait(60)
        return double(1)

    assert first() == 2
    thread.join(60)
    assert headrace.Run("second/1").result == 10
    assert len(headrace.Run("first/1").tasks) == 1


def test_a_thread_that_outlives_its_run_belongs_to_none(here: Project) -> None:
    ended, seen = threading.Event(), []

    def linger() -> None:
        ended.wait(60)
        print("printed after the end")
        seen.append(double(21))

    kept: list[threading.Thread] = []

    @flow
    def first() -> int:
        kept.append(threading.Thread(target=linger))
        kept[0].start()
        return double(1)

    @flow
    def second() -> int:
        ended.set()
        kept[0].join(60)
        return double(2)

    first()
    second()
    assert seen == [42]
    assert "printed after the end" not in str(headrace.Run("first/1").logs)
    assert "printed after the end" not in str(headrace.Run("second/1").logs)
    assert len(headrace.Run("second/1").tasks) == 1


def test_tracked_blocks_in_threads(here: Project) -> None:
    barrier = threading.Barrier(2, timeout=60)

    def script(name: str, number: int) -> Callable[[], None]:
        def run() -> None:
            with headrace.track(name):
                barrier.wait()
                together(lambda: headrace.log_metric("metric", number))
                barrier.wait()

        return run

    together(script("one", 1), script("two", 2))
    assert headrace.Run("one/1").metrics["metric"].last == 1
    assert headrace.Run("two/1").metrics["metric"].last == 2


def test_thread_start_is_as_before_when_no_run_is_live(here: Project) -> None:
    before = threading.Thread.start

    @flow
    def train() -> int:
        return double(1)

    train()
    assert threading.Thread.start is before
