"""A driver looks now and then at what is not reported to it. With 60 s between two looks, runs take as long as ever.

What a driver still looks at: the output files and the memory of local workers; the kernel reports neither.
``HEADRACE_TEST_LOOK=60`` stretches the looks of any test.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import headrace
from headrace import Retry, flow, step
from headrace.engine import journal as journal_module
from headrace.engine import loop as loop_module

if TYPE_CHECKING:
    from tests.integration.conftest import Project

#: Far below the time between two looks, far above what any of this takes.
SOON = 30.0


@step
def add(one: int, other: int = 1) -> int:
    return one + other


@step
def total(numbers: list[int]) -> int:
    return sum(numbers)


@step(retries=Retry(3, delay=0.2, backoff=1.0))
def flaky(counter: str) -> int:
    with open(counter, "a") as file:
        file.write("x")
    tries = Path(counter).stat().st_size
    if tries < 3:
        raise ValueError(f"try {tries}")
    return tries


@step
def pause(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@step(timeout=0.5)
def too_long() -> None:
    time.sleep(600)


@step
async def doubled(number: int) -> int:
    return 2 * number


@pytest.fixture(autouse=True)
def rare_looks(monkeypatch: pytest.MonkeyPatch, here: Project) -> Iterator[None]:
    monkeypatch.setattr(loop_module, "LOOK", 60.0)
    monkeypatch.setattr(loop_module, "SLOW_LOOK", 60.0)
    monkeypatch.setattr(journal_module, "_RENEW_AFTER", 60.0)  # renewing the lease is a look in disguise
    began = time.monotonic()
    yield
    assert time.monotonic() - began < SOON


@contextmanager
def within(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def test_chain() -> None:
    @flow
    def chain() -> int:
        number = 0
        for _ in range(200):
            number = add(number)
        return number

    assert chain() == 200


def test_fan_out_and_join() -> None:
    @flow
    def wide() -> int:
        return total(add.map(range(300)))

    assert wide() == sum(range(1, 301))


def test_results_are_heard_while_the_flow_computes() -> None:
    @flow
    def busy() -> bool:
        futures = [add.submit(add.submit(n)) for n in range(10)]
        end = time.monotonic() + SOON
        while not all(future.done() for future in futures):
            assert time.monotonic() < end
            time.sleep(0.005)
        return True

    assert busy()


def test_async_flow() -> None:
    @flow
    async def concurrent() -> int:
        import asyncio

        return sum(await asyncio.gather(*[doubled(n) for n in range(50)]))

    assert concurrent() == 2 * sum(range(50))


def test_threads_that_wait_for_the_same_and_for_different_tasks() -> None:
    @flow
    def threads() -> int:
        shared = pause.submit(0.3)
        sums: list[float] = []

        def work(n: int) -> None:
            found: float = 0
            for _ in range(20):
                found = add(n)
            sums.append(found + shared.result())

        running = [threading.Thread(target=work, args=(n,)) for n in range(6)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        return round(sum(sums) * 10)

    assert threads() == round(10 * (sum(range(1, 7)) + 6 * 0.3))


def test_short_steps_beside_a_long_one() -> None:
    @flow
    def beside() -> float:
        long, number = pause.submit(1.0), 0
        while not long.done():
            number = add(number)
        return long.result()

    assert beside() == 1.0


def test_wait_with_a_timeout_ends_in_time() -> None:
    @flow
    def patient() -> bool:
        future = pause.submit(600)
        with within(SOON / 2), pytest.raises(TimeoutError):
            future.result(timeout=0.3)
        return future.cancel()

    assert patient()


def test_retries_come_after_their_delay(tmp_path: Path) -> None:
    @flow
    def retried() -> int:
        return flaky(str(tmp_path / "tries"))

    assert retried() == 3


def test_time_limit_ends_an_attempt() -> None:
    @flow
    def limited() -> bool:
        with pytest.raises(headrace.TaskTimeoutError):
            too_long()
        return True

    assert limited()


def test_waiter_hears_that_another_thread_cancelled_its_task() -> None:
    """The thread that polls the workers' sockets waits for a task that ends without any worker saying a word."""

    @flow
    def cancelled() -> bool:
        blocker = pause.options(cpu=2).submit(600)
        waits = add.options(cpu=2).submit(1)  # never starts: there is no room
        threading.Timer(0.5, waits.cancel).start()
        with within(SOON / 2), pytest.raises(headrace.TaskCancelledError):
            waits.result()
        return blocker.cancel()

    assert cancelled()


def test_retry_that_falls_due_wakes_a_waiter_that_polls(tmp_path: Path) -> None:
    @flow
    def late() -> int:
        future = add.submit(1)
        future.result()
        other: list[int] = []
        thread = threading.Thread(target=lambda: other.append(flaky(str(tmp_path / "tries"))))
        thread.start()
        thread.join()
        return other[0]

    assert late() == 3


def test_interrupt_reaches_a_flow_that_waits(here: Project) -> None:
    import signal

    here.write(
        """
        @step
        def forever() -> None:
            print("runs", flush=True)
            time.sleep(600)

        @flow
        def main() -> None:
            print("begins", flush=True)
            forever()

        if __name__ == "__main__":
            main()
        """
    )
    process = here.start("train.py", HEADRACE_TEST_LOOK="60")
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "begins"
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    finished = here.finish(process)
    assert finished.code == -signal.SIGINT, finished.err
    assert finished.seconds < SOON
