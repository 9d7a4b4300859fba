"""What waits in a live run is safe from garbage collection, and nothing is left when the run is over."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.conftest import Project

START = """
from pathlib import Path
import numpy as np

BIG = 100_000

@step
def slow() -> int:
    Path("begun").touch()
    while not Path("go").exists():
        time.sleep(0.01)
    return 1

@step
def use(data, factor=1) -> int:
    return len(data) * factor

@step
def both(first, second) -> int:
    return len(first) + len(second)
"""

#: Each flow packs something large that only a task that waits, or the flow itself, will use.
FLOWS = {
    "argument": """
@flow
def main():
    return use.submit(bytes(BIG), slow.submit()).result()
""",
    "array": """
@flow
def main():
    return use.submit(np.arange(BIG), factor=slow.submit()).result()
""",
    "several": """
@flow
def main():
    waits = slow.submit()
    tasks = [use.submit(bytes([n]) * BIG, waits) for n in range(5)]
    return sum(task.result() for task in tasks)
""",
    "map": """
@flow
def main():
    return [task.result() for task in use.map([bytes([n]) * BIG for n in range(5)], factor=slow.submit())]
""",
    "container": """
@flow
def main():
    return use.submit([bytes(BIG), np.ones(BIG), slow.submit()]).result()
""",
    "limit": """
@step(max_parallel=1)
def one(data):
    return slow.__wrapped__() if data[0] == 0 else len(data)

@flow
def main():
    return [task.result() for task in one.map([bytes([n]) * BIG for n in range(5)])]
""",
    "parameter": """
@flow
def main(data: bytes = b"p" * BIG):
    return use.submit(data, slow.submit()).result()
""",
    "subflow": """
@flow
def inner(data: bytes, wait: int):
    return use(data, wait)

@flow
def main():
    waits = slow.submit()
    return use(bytes(BIG), waits.result()) + inner(bytes(BIG + 1), waits.result())
""",
    "logged": """
@flow
def main():
    headrace.log_artifact("kept", bytes(BIG))
    return slow()
""",
    "held": """
@step
def make():
    return bytes(BIG)

@flow
def main():
    future = make.submit()
    again = use.submit(future, slow.submit())
    return again.result() + both.submit(future, bytes(BIG + 2)).result()
""",
}

END = """
if __name__ == "__main__":
    main()
"""


def collect(project: Project) -> str:
    done = project.finish(project.start("-m", "headrace", "gc", "--delete", "--grace", "0"))
    assert done.code == 0, done.err
    return done.out


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
def test_collection_leaves_what_a_live_run_holds(project: Project, flow: str) -> None:
    process = project.start(str(project.write(START + flow + END)))
    project.eventually((project.path / "begun").exists, 30)
    time.sleep(0.5)  # the flow goes on to submit what waits
    out = collect(project)
    assert "0 blobs, 0 B" in out, out
    (project.path / "go").touch()
    done = project.finish(process)
    assert done.code == 0, done.err
    assert {task.attempts for task in project.tasks()} == {1}


def test_value_stored_before_the_run_began_is_safe_when_it_is_used_again(project: Project) -> None:
    """The bytes are there already, old and unnamed: an earlier run put them, and was deleted."""
    flow = START + FLOWS["argument"] + END
    (project.path / "go").touch()
    project.succeed(flow)
    project.metadata.delete_run(project.last().id)
    for name in ("go", "begun"):
        (project.path / name).unlink()
    age_blobs(project, 7200)
    process = project.start(str(project.write(flow)))
    project.eventually((project.path / "begun").exists, 30)
    time.sleep(0.5)
    collect(project)
    (project.path / "go").touch()
    done = project.finish(process)
    assert done.code == 0, done.err


def test_bytes_of_a_killed_run_are_collected_later(project: Project) -> None:
    process = project.start(str(project.write(START + FLOWS["several"] + END)))
    project.eventually((project.path / "begun").exists, 30)
    time.sleep(0.5)
    process.kill()
    process.communicate()
    assert "5 blobs" in collect(project)


def test_run_elsewhere_protects_its_bytes_until_its_lease_is_long_over(project: Project) -> None:
    (project.path / "go").touch()
    project.succeed(START + FLOWS["argument"] + END)
    run = project.last()
    with sqlite3.connect(project.home / "metadata.db") as database:
        database.execute("UPDATE runs SET state = 'running'")
        database.execute("DELETE FROM tasks")
        database.execute(
            "INSERT INTO leases (name, owner, token, expires) VALUES (?, 'elsewhere:17:1-x', 99, ?)",
            (f"run:{run.id}", time.time() - 60),
        )
    database.close()
    assert "0 blobs" in collect(project)
    with sqlite3.connect(project.home / "metadata.db") as database:
        database.execute("UPDATE leases SET expires = expires - 7200")
    database.close()
    assert "1 blob" in collect(project)


def test_database_is_not_made_smaller_under_a_live_run(project: Project) -> None:
    (project.path / "go").touch()
    project.succeed(START + FLOWS["argument"] + END)
    for name in ("go", "begun"):
        (project.path / name).unlink()
    process = project.start(str(project.path / "train.py"))
    project.eventually((project.path / "begun").exists, 30)
    done = project.finish(project.start("-m", "headrace", "gc", "--keep", "1", "--delete", "--grace", "0"))
    assert "main/1" in done.out
    assert "not made smaller" in done.out
    (project.path / "go").touch()
    assert project.finish(process).code == 0


def age_blobs(project: Project, seconds: float) -> None:
    import os

    for path in (project.home / "artifacts").rglob("*"):
        if path.is_file():
            os.utime(path, (time.time() - seconds,) * 2)
