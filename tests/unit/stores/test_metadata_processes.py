"""Several processes on one database file: writers at once, openers at once, and death at any moment."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from headrace.model.records import TaskId
from headrace.model.states import TaskState
from headrace.stores.metadata.open import open_metadata
from headrace.testing.metadata import new_run

WRITER = """
import sys
from headrace.model.errors import LeaseLostError
from headrace.stores.metadata.open import open_metadata
from headrace.testing.metadata import artifact, attempt, new_run, points, task

path, step, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
store = open_metadata(path)
run = store.latest_run() or new_run(store)
lease = store.acquire(f"{run.id}/{step}", step, 60, dead=step)
assert lease is not None
first = len(store.tasks(run.id, step)) + 1
print("ready", flush=True)
for number in range(first, first + count):
    store.commit(
        [
            task(run.id, step, number),
            attempt(run.id, step, number),
            *[artifact(run.id, step, number, name=f"a{index}") for index in range(5)],
            points(run.id, "done", 1.0, step=step),
        ],
        lease,
    )
    store.step_counts(run.id)
store.close()
"""


def writer(path: Path, step: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), step, str(count)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_writers_at_once(tmp_path: Path) -> None:
    """No "database is locked", nothing lost, from the very creation of the file on."""
    path = tmp_path / "headrace.db"
    writers = [writer(path, step, 100) for step in "abcd"]
    for process in writers:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    store = open_metadata(str(path))
    # Each may have opened a run of its own before it saw another's.
    counts = [row.count for run in range(1, 5) for row in store.step_counts(run)]
    points = sum([summary.count for summary in store.metric_summaries(range(1, 5))])
    store.close()
    assert sum(counts) == 400
    assert points == 400


def test_killed_while_committing(tmp_path: Path) -> None:
    """After SIGKILL at random moments there are whole transactions only, and none that was reported is lost."""
    path = tmp_path / "headrace.db"
    store = open_metadata(str(path))
    run = new_run(store)
    rng = random.Random(7)
    for _ in range(8):
        process = writer(path, "s", 100_000)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0.0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        tasks = store.tasks(run.id)
        assert [row.number for row in tasks] == list(range(1, len(tasks) + 1))
        outputs = store.outputs(run.id, [row.id for row in tasks])
        assert all(len(found) == 5 for found in outputs.values())
        assert len(store.attempts(run.id)) == len(tasks)
        summaries = store.metric_summaries([run.id])
        assert sum([summary.count for summary in summaries]) == len(tasks)
        assert sum([len(chunk.values) for chunk in store.metrics(run.id)]) == len(tasks)
    assert store.tasks(run.id, states=(TaskState.RUNNING,)) == []
    assert len(store.tasks(run.id)) > 8
    store.close()


def test_two_owners_fence_each_other(tmp_path: Path) -> None:
    """Of two processes that each take the lease when the other's is over, only the holder's commits arrive."""
    path = tmp_path / "headrace.db"
    program = """
import sys, time
from headrace.model.errors import LeaseLostError
from headrace.stores.metadata.open import open_metadata
from headrace.testing.metadata import task

store, me = open_metadata(sys.argv[1]), sys.argv[2]
until = time.monotonic() + 1.0
number = lost = 0
while time.monotonic() < until:
    lease = store.acquire("run/1", me, 0.0)  # runs out at once: the other may take it at any moment
    while lease is not None and time.monotonic() < until:
        number += 1
        try:
            store.commit([task(lease.token, me, number)], lease)
        except LeaseLostError:
            lost += 1
            break
        time.sleep(0.001)  # else one of them keeps the database busy all the time
print(lost)
store.close()
"""
    open_metadata(str(path)).close()
    owners = [
        subprocess.Popen([sys.executable, "-c", program, str(path), name], stdout=subprocess.PIPE, text=True)
        for name in "ab"
    ]
    lost = [int(owner.communicate(timeout=60)[0]) for owner in owners]
    assert sum(lost) > 3
    store = open_metadata(str(path))
    tokens = store._database.rows("SELECT run_id, COUNT(DISTINCT step) FROM tasks GROUP BY run_id")
    store.close()
    assert len(tokens) > 3
    assert {owners_of_token for _, owners_of_token in tokens} == {1}


def test_child_that_exits_leaves_the_parent_alone(tmp_path: Path) -> None:
    store = open_metadata(str(tmp_path / "headrace.db"))
    run = new_run(store)
    child = os.fork()
    if child == 0:
        store.close()
        del store
        os._exit(0)
    os.waitpid(child, 0)
    assert store.task(run.id, TaskId("x", 1)) is None
    store.close()


def test_a_fork_waits_for_what_other_threads_do_with_the_database(tmp_path: Path) -> None:
    """SQLite's own locks, which a child would inherit held by a thread that it does not have."""
    store = open_metadata(str(tmp_path / "headrace.db"))
    inside, over = threading.Event(), []

    def write() -> None:
        with store._database.write(9.0):
            inside.set()
            time.sleep(0.2)
            over.append(True)

    thread = threading.Thread(target=write)
    thread.start()
    assert inside.wait(30)
    child = os.fork()
    if child == 0:
        os._exit(0 if over else 1)
    assert os.waitpid(child, 0)[1] == 0
    thread.join()
    new_run(store)  # nothing is left locked here
    store.close()
