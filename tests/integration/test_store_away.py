"""A metadata store that does not answer for a while costs a run time and nothing else."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.integration.store_faults import lock_held

from headrace.model.records import LEASE_SECONDS, TaskId
from headrace.model.states import RunState
from headrace.stores.metadata.open import open_metadata
from headrace.testing.postgres import restartable_postgres

if TYPE_CHECKING:
    from tests.integration.conftest import Finished, Project

FLOW = """
from pathlib import Path

@step
def part(n):
    with open("started", "a") as file:
        file.write(f"{n} {time.time()}\\n")
    print("part", n)
    headrace.log_metric("n", n)
    time.sleep(0.2)
    return n

@step(cache=True)
def total(numbers):
    return sum(numbers)

@flow
def train():
    first = part(0)
    Path("begun").touch()
    return total(part.map(range(1, COUNT)))

if __name__ == "__main__":
    print("value", train())
"""


def started(project: Project) -> list[tuple[int, float]]:
    """Which parts began, and when."""
    lines = (project.path / "started").read_text().splitlines()
    return [(int(number), float(when)) for number, when in map(str.split, lines)]


def assert_told_once(done: Finished) -> None:
    assert done.err.count("the metadata store does not answer since") == 1, done.err
    assert done.err.count("the metadata store answers again") == 1, done.err


@pytest.mark.parametrize("held", [LEASE_SECONDS + 3, pytest.param(60.0, marks=pytest.mark.slow)])
def test_run_outlives_a_database_that_another_process_locks_for_longer_than_a_lease(
    project: Project, held: float
) -> None:
    process = project.start(str(project.write(FLOW.replace("COUNT", "12"))))
    project.eventually((project.path / "begun").exists, 30)
    with lock_held(project.home / "metadata.db", held) as locked:
        done = project.finish(process, held + 120)
    assert done.code == 0, done.err
    assert done.out.endswith(f"value {sum(range(12))}\n")
    assert_told_once(done)
    assert sorted(number for number, _ in started(project)) == list(range(12))  # each ran once
    # A moment passes until the driver first meets the lock; from then on nothing starts.
    assert not [when for _, when in started(project) if locked + 4 < when < locked + held - 0.5]
    assert {task.state.value for task in project.tasks()} == {"succeeded"}
    assert {task.attempts for task in project.tasks()} == {1}
    [summary] = project.metadata.metric_summaries([project.last().id])
    assert summary.count == 12
    assert b"".join(project.log("part", n) for n in range(1, 13)).count(b"part") == 12


def test_locked_database_delays_the_end_of_a_run(project: Project) -> None:
    """The lock is taken when only the last word is missing."""
    process = project.start(
        str(
            project.write(
                """
                from pathlib import Path

                @flow
                def train():
                    Path("begun").touch()
                    while not Path("locked").exists():
                        time.sleep(0.01)
                    return 7

                if __name__ == "__main__":
                    print("value", train())
                """
            )
        )
    )
    project.eventually((project.path / "begun").exists, 30)
    connection = sqlite3.connect(project.home / "metadata.db", isolation_level=None, timeout=60)
    connection.execute("BEGIN IMMEDIATE")
    (project.path / "locked").touch()
    time.sleep(6)
    assert process.poll() is None
    connection.execute("ROLLBACK")
    connection.close()
    done = project.finish(process)
    assert done.code == 0, done.err
    assert done.out == "value 7\n"
    assert project.last().state is RunState.SUCCEEDED


def test_run_that_was_taken_over_while_its_store_was_away_ends(project: Project) -> None:
    process = project.start(str(project.write(FLOW.replace("COUNT", "40"))))
    project.eventually((project.path / "begun").exists, 30)
    connection = sqlite3.connect(project.home / "metadata.db", isolation_level=None, timeout=60)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE leases SET owner = 'other:1:1', token = token + 1000, expires = expires + 1000")
    time.sleep(5)
    connection.execute("COMMIT")
    connection.close()
    done = project.finish(process)
    assert done.code == 1
    assert "another process has taken it over" in done.err
    project.assert_nothing_left(10)


@pytest.mark.parametrize(
    ("count", "down"),
    [
        (24, 0.0),
        pytest.param(24, LEASE_SECONDS + 3, marks=pytest.mark.slow),
        pytest.param(100, 60.0, marks=pytest.mark.slow),
    ],
)
def test_run_outlives_a_restart_of_postgresql(project: Project, count: int, down: float) -> None:
    with restartable_postgres() as server:
        file = project.write(FLOW.replace("COUNT", str(count)))
        process = project.start(str(file), HEADRACE_DATABASE=server.url)
        project.eventually((project.path / "begun").exists, 60)
        server.stop()
        time.sleep(down)
        server.start()
        done = project.finish(process, 300)
        assert done.code == 0, done.err
        assert done.out.endswith(f"value {sum(range(count))}\n")
        if down:
            assert_told_once(done)
        assert sorted(number for number, _ in started(project)) == list(range(count))
        store = open_metadata(server.url)
        run = store.run("train", 1)
        assert run is not None
        assert run.state is RunState.SUCCEEDED
        [summary] = store.metric_summaries([run.id])
        assert summary.count == count
        assert {task.attempts for task in store.tasks(run.id)} == {1}
        assert store.task(run.id, TaskId("total", 1)) is not None
        store.close()


@pytest.mark.slow
def test_cut_connections_to_postgresql_write_nothing_twice(project: Project) -> None:
    import psycopg

    with restartable_postgres() as server:
        file = project.write(FLOW.replace("COUNT", "40").replace("time.sleep(0.2)", "time.sleep(0.05)"))
        process = project.start(str(file), HEADRACE_DATABASE=server.url)
        project.eventually((project.path / "begun").exists, 30)
        while process.poll() is None:
            with psycopg.connect(server.url, autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
                )
            time.sleep(0.05)
            if Path(project.path / "started").read_text().count("\n") == 40:
                break
        done = project.finish(process, 120)
        assert done.code == 0, done.err
        store = open_metadata(server.url)
        run = store.run("train", 1)
        assert run is not None
        [summary] = store.metric_summaries([run.id])
        assert summary.count == 40
        assert sum(len(chunk.values) for chunk in store.metrics(run.id)) == 40
        assert {task.attempts for task in store.tasks(run.id)} == {1}
        store.close()


SLOW_STORE = """
import signal, threading
from headrace.stores.metadata.store import SqlMetadata

commit, commits, interrupted = SqlMetadata.commit, [], []

def slow_commit(store, writes, lease=None, *more):
    if lease is not None and slow.is_set():
        commits.append(time.monotonic())
        time.sleep(2)
        if len(commits) == 3:  # the interrupt comes in the middle of the next one
            threading.Timer(1.0, interrupt).start()
    commit(store, writes, lease, *more)

def interrupt():
    interrupted.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)

slow = threading.Event()
SqlMetadata.commit = slow_commit

@step
def talks(n):
    for line in range(20):
        print("line", line, flush=True)
        headrace.log_metric("n", line)
        time.sleep(0.01)
    return n

@step
def forever():
    while True:
        print("still here", flush=True)
        time.sleep(0.05)

@flow
def train():
    slow.set()
    waits = forever.submit()
    began = time.monotonic()
    futures = [talks.submit(n) for n in range(4)]
    print("submitted in", time.monotonic() - began, file=sys.stderr)
    try:
        waits.result()
    except KeyboardInterrupt:
        print("heard after", time.monotonic() - interrupted[0], file=sys.stderr)
        slow.clear()
        raise

if __name__ == "__main__":
    train()
"""


def test_commits_that_take_two_seconds_keep_no_call_and_no_interrupt_waiting(project: Project) -> None:
    project.write(SLOW_STORE)
    done = project.finish(project.start("train.py"))
    said = dict(line.rsplit(" ", 1) for line in done.err.splitlines() if line.startswith(("submitted", "heard")))
    assert float(said["heard after"]) < 1.0, done.err
    assert float(said["submitted in"]) < 1.5, done.err
    assert project.last().state is RunState.INTERRUPTED
    finished = {task.id: str(task.state) for task in project.tasks()}
    assert finished[TaskId("forever", 1)] == "cancelled"
    assert project.log("talks", 1).count(b"line ") == 20  # nothing that it printed is lost
