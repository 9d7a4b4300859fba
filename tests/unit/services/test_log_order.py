"""Output comes in one order, whatever the order of its arrival: pages of it go on where the last one ended."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from headrace.model.records import LogChunk
from headrace.services.logs import read_logs
from headrace.stores.artifacts.local import LocalStore
from headrace.testing._metadata_samples import new_run
from headrace.testing.metadata import MemoryMetadata

CHUNKS = st.lists(st.tuples(st.integers(1, 3), st.floats(0, 10)), max_size=30)


@given(CHUNKS, st.randoms())
def test_order_is_by_time_and_within_an_attempt_by_seq(made: list[tuple[int, float]], chance: random.Random) -> None:
    store = MemoryMetadata()
    run = new_run(store, "train")
    chunks = [
        LogChunk(run_id=run.id, step="fit", number=n, attempt=1, seq=i, stream="out", time=t, data=b"%d" % i)
        for i, (n, t) in enumerate(made)
    ]
    orders = []
    for _ in range(2):
        chance.shuffle(chunks)
        store = MemoryMetadata()
        run = new_run(store, "train")
        store.commit(list(chunks))
        found = list(read_logs(store, LocalStore("/nowhere"), run.id))
        keys = [(one.time, one.step, one.number, one.attempt, one.seq) for one in found]
        assert keys == sorted(keys)
        orders.append([one.data for one in found])
    assert orders[0] == orders[1]
