"""Garbage collection while modules are imported."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator

import pytest

from headrace._base.collection import CollectionPausedForImports


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    was_on = gc.isenabled()
    yield
    (gc.enable if was_on else gc.disable)()


def test_collection_goes_on_after_the_block_and_after_an_error_in_it() -> None:
    gc.enable()
    with CollectionPausedForImports():
        assert not gc.isenabled()
        with CollectionPausedForImports():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), CollectionPausedForImports():
        raise ZeroDivisionError
    assert gc.isenabled()


def test_collection_that_was_off_stays_off() -> None:
    gc.disable()
    with CollectionPausedForImports():
        pass
    assert not gc.isenabled()


def test_new_objects_are_old_at_once_and_are_still_collected() -> None:
    script = """
import gc
import subprocess
import sys
from headrace._base.collection import CollectionPausedForImports

gc.collect()
with CollectionPausedForImports():
    kept = [[number] for number in range(20_000)]
assert gc.get_count()[0] < 10_000, gc.get_count()
assert gc.get_freeze_count() == 0, gc.get_freeze_count()
kept.append(kept)
del kept
assert gc.collect() > 0
"""
    subprocess.run([sys.executable, "-c", script], check=True)  # a process in which nothing was frozen before


def test_objects_that_the_user_froze_stay_frozen() -> None:
    if gc.get_freeze_count():
        pytest.skip("something froze objects before")
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        with CollectionPausedForImports():
            pass
        assert gc.get_freeze_count() >= frozen - 1000
    finally:
        gc.unfreeze()
