"""Waits that look for a moment before they sleep."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from headrace._base.short_waits import ShortWaits

_MANY_CORES = len(os.sched_getaffinity(0)) > 1


class _Calls:
    """Counts looks and sleeps; ``found`` says which look finds something, 0: none."""

    def __init__(self, found: int = 0, sleep: float = 0.0) -> None:
        self.looks = self.sleeps = 0
        self._found, self._sleep = found, sleep

    def look(self) -> str:
        self.looks += 1
        return "looked" if self.looks == self._found else ""

    def sleep(self) -> str:
        self.sleeps += 1
        time.sleep(self._sleep)
        return "slept"


class _LateLooks(_Calls):
    """As if another process had the core in between."""

    def look(self) -> str:
        time.sleep(0.0002)
        return super().look()


def _some_time(holds: Callable[[], bool]) -> bool:
    """Whether it holds once in many trials: another process may have the core at any moment."""
    return any(holds() for _ in range(2_000))


def test_the_first_wait_sleeps() -> None:
    calls = _Calls(found=1)
    assert ShortWaits().wait(calls.look, calls.sleep) == "slept"
    assert (calls.looks, calls.sleeps) == (0, 1)


@pytest.mark.skipif(not _MANY_CORES, reason="with one core nobody looks")
def test_a_wait_after_a_short_one_looks_until_it_finds() -> None:
    def finds() -> bool:
        waits, first, second = ShortWaits(), _Calls(), _Calls(found=3)
        waits.wait(first.look, first.sleep)
        return waits.wait(second.look, second.sleep) == "looked" and second.looks == 3 and not second.sleeps

    assert _some_time(finds)


def test_a_wait_that_gets_long_ends_in_sleep_and_the_next_one_sleeps_at_once() -> None:
    waits, short, long, last = ShortWaits(), _Calls(), _Calls(sleep=0.002), _Calls(found=1)
    waits.wait(short.look, short.sleep)
    assert waits.wait(long.look, long.sleep) == "slept"
    assert long.sleeps == 1
    assert waits.wait(last.look, last.sleep) == "slept"
    assert last.looks == 0


def test_what_a_look_raises_comes_out() -> None:
    def fails() -> str:
        raise KeyboardInterrupt

    waits = ShortWaits()
    for _ in range(2_000):
        try:
            waits.wait(fails, lambda: "slept")
        except KeyboardInterrupt:
            return
    assert not _MANY_CORES


def test_nobody_looks_where_there_is_one_core() -> None:
    script = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from headrace._base.short_waits import ShortWaits
waits = ShortWaits()
for _ in range(100):
    waits.wait(lambda: 1 / 0, lambda: "slept")
"""
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.skipif(not _MANY_CORES, reason="with one core nobody looks")
def test_once_another_process_had_the_core_waits_sleep_for_a_while() -> None:
    def looks_right_after() -> bool:
        waits, calls, late, after = ShortWaits(), _Calls(), _LateLooks(), _Calls(found=1)
        waits.wait(calls.look, calls.sleep)
        waits.wait(late.look, late.sleep)
        return late.looks > 0 and waits.wait(after.look, after.sleep) == "looked"

    def looks_later() -> bool:
        waits, calls, late = ShortWaits(), _Calls(), _LateLooks()
        waits.wait(calls.look, calls.sleep)
        waits.wait(late.look, late.sleep)
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            if waits.wait(lambda: "looked", calls.sleep) == "looked":
                return True
        return False

    assert not any(looks_right_after() for _ in range(100))
    assert any(looks_later() for _ in range(20))
