"""How many tasks wait and run, as readers in other processes see it."""

from __future__ import annotations

from headrace.engine.queue_counts import QueueCounts
from headrace.engine.rows import running_records
from headrace.testing.engine import Bench


def test_task_whose_worker_is_not_up_is_ready_until_it_is() -> None:
    bench = Bench()
    step = bench.step()
    bench.submit(step, "a")
    bench.submit(step, "b")
    bench.submit(step, "c")
    assert len(bench.start()) == 2
    up: dict[int, tuple[str, int]] = {}
    queue = QueueCounts(bench.state, up.get)
    [row] = queue.take(1.0, 1.0)
    assert (row.ready, row.running) == (3, 0)
    assert queue.shown() == {"work": {"ready": 3}}
    first, second = bench.state.placement.unrecorded
    up[first] = ("pod-1 on n7", 12)
    running_records(bench.state, up.get)
    [row] = queue.take(2.0, 2.0)
    assert (row.ready, row.running) == (2, 1)
    up[second] = ("pod-2 on n7", 12)
    running_records(bench.state, up.get)
    [row] = queue.take(3.0, 3.0)
    assert (row.ready, row.running) == (1, 2)
    assert queue.shown() == {"work": {"ready": 1, "running": 2}}
