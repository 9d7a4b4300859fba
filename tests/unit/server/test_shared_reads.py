"""Equal requests share a reading, and none gets what was read before it came."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Iterator

import pytest

from headrace.server.shared_reads import SharedReads


@pytest.fixture
def threads() -> Iterator[concurrent.futures.ThreadPoolExecutor]:
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        yield pool


class Page:
    """A value that is read when ``gate`` is open; ``begun`` is released by each reading."""

    def __init__(self) -> None:
        self.value = 0
        self.count = 0
        self.begun = threading.Semaphore(0)
        self.gate = threading.Event()

    def read(self) -> int:
        found, self.count = self.value, self.count + 1
        self.begun.release()
        assert self.gate.wait(30)
        return found


async def started(page: Page) -> None:
    await asyncio.to_thread(page.begun.acquire)


def test_request_that_comes_during_a_reading_gets_what_was_written_before_it(
    threads: concurrent.futures.ThreadPoolExecutor,
) -> None:
    async def check() -> None:
        page, reads = Page(), SharedReads[int]()
        first = asyncio.ensure_future(reads.get("page", page.read, threads))
        await started(page)
        page.value = 1
        later = [asyncio.ensure_future(reads.get("page", page.read, threads)) for _ in range(200)]
        await asyncio.sleep(0)
        page.gate.set()
        assert await first == 0
        assert await asyncio.gather(*later) == [1] * 200
        assert page.count == 2

    asyncio.run(check())


def test_requests_that_wait_for_a_thread_share_one_reading() -> None:
    async def check() -> None:
        page, gate = Page(), threading.Event()
        with concurrent.futures.ThreadPoolExecutor(1) as threads:
            threads.submit(gate.wait)
            reads = SharedReads[int]()
            page.gate.set()
            asked = [asyncio.ensure_future(reads.get("page", page.read, threads)) for _ in range(3)]
            await asyncio.sleep(0)
            page.value = 1
            gate.set()
            assert await asyncio.gather(*asked) == [1] * 3
        assert page.count == 1

    asyncio.run(check())


def test_other_pages_are_read_for_themselves(threads: concurrent.futures.ThreadPoolExecutor) -> None:
    async def check() -> None:
        reads = SharedReads[int]()
        found = await asyncio.gather(*(reads.get(n % 3, lambda n=n: n % 3, threads) for n in range(9)))  # type: ignore[misc]
        assert found == [n % 3 for n in range(9)]

    asyncio.run(check())


def test_failure_reaches_all_that_share_it_and_nobody_after_them(
    threads: concurrent.futures.ThreadPoolExecutor,
) -> None:
    async def check() -> None:
        page, reads = Page(), SharedReads[int]()

        def fail() -> int:
            page.read()
            raise KeyError("gone")

        first = asyncio.ensure_future(reads.get("page", fail, threads))
        await started(page)
        shared = [asyncio.ensure_future(reads.get("page", fail, threads)) for _ in range(3)]
        await asyncio.sleep(0)
        page.gate.set()
        found = await asyncio.gather(first, *shared, return_exceptions=True)
        assert [type(one) for one in found] == [KeyError] * 4
        assert await reads.get("page", page.read, threads) == 0

    asyncio.run(check())


def test_request_that_is_broken_off_leaves_the_others_their_answer(
    threads: concurrent.futures.ThreadPoolExecutor,
) -> None:
    async def check() -> None:
        page, reads = Page(), SharedReads[int]()
        first = asyncio.ensure_future(reads.get("page", page.read, threads))
        await started(page)
        second, third = (asyncio.ensure_future(reads.get("page", page.read, threads)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        second.cancel()
        page.gate.set()
        assert await third == 0

    asyncio.run(check())
