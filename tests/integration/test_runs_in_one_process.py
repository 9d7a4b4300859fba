"""Several runs in one process: what each prints, logs and calls belongs to it alone."""

from __future__ import annotations

import asyncio
import logging
import queue
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

import headrace
from headrace import flow, step
from headrace.model.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
        with pytest.raises(UsageError, match="second/1 runs in this process"):
            double(21)
        seen.append(double.__wrapped__(21))

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


# --- threads that no run knows --------------------------------------------------------------------------------------


class Stranger:
    """A thread that is older than every run, and does what it is told."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._main, name="stranger", daemon=True)
        self._thread.start()

    def _main(self) -> None:
        for function, future in iter(self._calls.get, None):
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)

    def ask(self, function: Callable[[], Any]) -> Any:
        future: Any = Future()
        self._calls.put((function, future))
        return future.result(60)

    def end(self) -> None:
        self._calls.put(None)
        self._thread.join(60)


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    made = Stranger()
    yield made
    made.end()


def test_step_in_a_thread_that_no_run_knows_raises(here: Project, stranger: Stranger) -> None:
    @flow
    def train() -> int:
        for call in (lambda: double(1), lambda: double.submit(1), lambda: double.map([1])):
            with pytest.raises(UsageError, match=r"'double' .*thread 'stranger'.*train/1 .*copy_context"):
                stranger.ask(call)
        for log in (lambda: headrace.log_metric("m", 1.0), lambda: headrace.set_tag("t")):
            with pytest.raises(UsageError, match=r"log_metric|set_tag"):
                stranger.ask(log)
        return double(2)

    assert train() == 4
    run = headrace.Run("train/1")
    assert (len(run.tasks), list(run.metrics), run.tags) == (1, [], {})


def test_thread_that_was_given_the_context_works_for_the_run(here: Project, stranger: Stranger) -> None:
    def work() -> int:
        logs("stranger", 5)
        return double(5)

    @flow
    def train() -> int:
        inherited = together(lambda: headrace.copy_context())[0]  # also of a thread without a context of its own
        assert stranger.ask(lambda: inherited.run(double, 6)) == 12
        context = headrace.copy_context()
        return int(stranger.ask(lambda: context.run(work)))

    assert train() == 10
    assert_owned(headrace.Run("train/1"), "stranger", 5)
    assert len(headrace.Run("train/1").tasks) == 2


def test_steps_are_plain_functions_where_no_run_is_live(here: Project, stranger: Stranger) -> None:
    assert stranger.ask(lambda: double(3)) == 6
    with headrace.track("script"):  # which takes no calls of steps
        assert stranger.ask(lambda: double(4)) == 8
    assert double(5) == 10
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(double, 6).result() == 12


def test_interactive_session_lends_its_only_run_to_unknown_threads(
    here: Project, stranger: Stranger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    barrier = threading.Barrier(2, timeout=60)

    @flow
    def train() -> int:
        headrace.set_tag("mine")
        stranger.ask(lambda: headrace.log_metric("m", 1.0))
        return int(stranger.ask(lambda: double(2)))

    assert train() == 4
    assert (len(headrace.Run("train/1").tasks), headrace.Run("train/1").metrics["m"].last) == (1, 1.0)

    @flow
    def several() -> None:
        barrier.wait()
        with pytest.raises(UsageError, match=r"several/[12], several/[12] run in this process"):
            stranger.ask(lambda: double(2))
        barrier.wait()

    together(several, several)


def test_pool_that_is_older_than_its_runs_serves_each_with_its_own_calls(here: Project) -> None:
    barrier = threading.Barrier(2, timeout=60)

    def work(name: str, item: int) -> int:
        logs(name, item)
        return double(item)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(abs, range(8)))  # its threads are there

        @flow
        def one() -> list[int]:
            barrier.wait()
            return [future.result() for future in [pool.submit(work, "one", 1) for _ in range(5)]]

        @flow
        def two() -> list[int]:
            barrier.wait()
            return list(pool.map(lambda item: work("two", item), [2] * 5))

        assert together(one, two) == [[2] * 5, [4] * 5]
        assert pool.submit(double, 3).result() == 6  # and nobody, once no run is live
    assert_owned(headrace.Run("one/1"), "one", 1, "two")
    assert_owned(headrace.Run("two/1"), "two", 2, "one")
    assert len(headrace.Run("one/1").tasks) == len(headrace.Run("two/1").tasks) == 5


def test_pool_of_one_run_does_not_work_for_it_when_strangers_use_it(here: Project, stranger: Stranger) -> None:
    @flow
    def train() -> int:
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(double, 1).result() == 2
            with pytest.raises(UsageError, match="belongs to no run"):
                stranger.ask(lambda: pool.submit(double, 2).result())
            return pool.submit(double, 3).result()

    assert train() == 6
    assert len(headrace.Run("train/1").tasks) == 2


def test_executors_of_asyncio_belong_to_the_flow(here: Project) -> None:
    older = ThreadPoolExecutor(1)
    older.submit(abs, 1).result()

    @flow
    async def train() -> list[int]:
        loop = asyncio.get_running_loop()
        return [
            await asyncio.to_thread(double, 1),
            await loop.run_in_executor(None, double, 2),
            await loop.run_in_executor(older, double, 3),
        ]

    assert train() == [2, 4, 6]  # type: ignore[comparison-overlap]
    older.shutdown()
    assert len(headrace.Run("train/1").tasks) == 3


def test_thread_pools_of_other_libraries(here: Project) -> None:
    from multiprocessing.pool import ThreadPool

    joblib = pytest.importorskip("joblib")

    with ThreadPool(1) as older:

        @flow
        def train() -> list[int]:
            with pytest.raises(UsageError, match="copy_context"):
                older.apply(double, (1,))
            with ThreadPool(2) as pool:
                found = pool.map(double, [1, 2])
            found += joblib.Parallel(n_jobs=2, backend="threading")(joblib.delayed(double)(item) for item in (3, 4))
            return [*found, older.apply(headrace.copy_context().run, (double, 5))]

        assert train() == [2, 4, 6, 8, 10]
    assert len(headrace.Run("train/1").tasks) == 5


def test_process_that_a_flow_forks_cannot_call_its_steps(here: Project) -> None:
    import multiprocessing

    context = multiprocessing.get_context("fork")

    def call(told: Any) -> None:
        for function in (double, lambda _: headrace.log_metric("m", 1.0)):
            try:
                function(1)
            except BaseException as error:
                told.put(str(error))

    @flow
    def train() -> list[str]:
        told = context.Queue()
        child = context.Process(target=call, args=(told,))
        child.start()
        found = [told.get(timeout=60), told.get(timeout=60)]
        child.join(60)
        return found

    found = train()
    assert all("forked from that of train/1" in one for one in found), found


def test_runs_of_clients_beside_each_other_find_their_own_workspace(here: Project) -> None:
    barrier = threading.Barrier(2, timeout=60)

    @flow
    def looks(number: int) -> list[str]:
        barrier.wait()
        found = [run.name for run in headrace.runs()]
        barrier.wait()
        return found + together(lambda: headrace.Run("looks").name)

    with headrace.connect(project="a") as a, headrace.connect(home=here.path / "b") as b:
        together(lambda: a.start(looks, 0), lambda: a.start(looks, 0))
        first, second = together(lambda: a.start(looks, 1), lambda: b.start(looks, 2))
        assert (first.name, first.result) == ("looks/3", ["looks/3", "looks/2", "looks/1", "looks/3"])
        assert (second.name, second.result) == ("looks/1", ["looks/1", "looks/1"])


def test_thread_pools_are_as_before_when_no_run_is_live(here: Project) -> None:
    before = ThreadPoolExecutor.submit

    @flow
    def train() -> int:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(double, 1).result()

    assert train() == 2
    assert ThreadPoolExecutor.submit is before
