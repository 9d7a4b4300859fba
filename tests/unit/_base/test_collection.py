"""Garbage collection while modules are imported and large values are loaded."""

from __future__ import annotations

import gc
import pickle
import subprocess
import sys
from collections.abc import Iterator
from typing import ClassVar

import pytest

from headrace._base.collection import CollectionPaused, CollectionPausedForImports
from headrace.stores.codecs.versions import load_pickle


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    was_on = gc.isenabled()
    yield
    (gc.enable if was_on else gc.disable)()


@pytest.mark.parametrize("pause", [CollectionPaused, CollectionPausedForImports])
def test_collection_goes_on_after_the_block_and_after_an_error_in_it(pause: type[CollectionPaused]) -> None:
    gc.enable()
    with pause():
        assert not gc.isenabled()
        with pause():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), pause():
        raise ZeroDivisionError
    assert gc.isenabled()


@pytest.mark.parametrize("pause", [CollectionPaused, CollectionPausedForImports])
def test_collection_that_was_off_stays_off(pause: type[CollectionPaused]) -> None:
    gc.disable()
    with pause():
        pass
    assert not gc.isenabled()


class _Tells:
    """Tells, when it is loaded, whether garbage is collected."""

    told: ClassVar[list[bool]] = []

    def __setstate__(self, state: object) -> None:
        _Tells.told.append(gc.isenabled())

    def __getstate__(self) -> str:
        return "x"


def test_values_of_many_objects_are_loaded_without_collection_and_small_ones_with_it() -> None:
    gc.enable()
    _Tells.told.clear()
    load_pickle(pickle.dumps([_Tells(), *range(10)]), (), ())
    load_pickle(pickle.dumps([_Tells(), *range(10**6)]), (), ())
    assert _Tells.told == [True, False]
    assert gc.isenabled()
    with pytest.raises(pickle.UnpicklingError):
        load_pickle(pickle.dumps(list(range(10**6)))[:-10], (), ())
    assert gc.isenabled()


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
assert gc.get_freeze_count() < 1000, gc.get_freeze_count()
kept.append(kept)
del kept
assert gc.collect() > 0
"""
    subprocess.run([sys.executable, "-c", script], check=True)  # a process in which nothing was frozen before


def test_objects_that_the_user_froze_stay_frozen() -> None:
    if gc.get_freeze_count() >= 1000:
        pytest.skip("something froze objects before")
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        with CollectionPausedForImports():
            pass
        assert gc.get_freeze_count() >= frozen - 1000
    finally:
        gc.unfreeze()
