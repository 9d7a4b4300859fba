"""Small values that many tasks share are in the database once, and every task has them whole."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from headrace.model.records import TaskId

if TYPE_CHECKING:
    from tests.integration.conftest import Project

SHARED = """
@step
def work(n, config):
    assert len(config) == 15_000
    return n if n != BAD else 1 / 0

@flow
def train(count: int = 2000):
    config = "".join(chr(97 + i % 26) for i in range(15_000))
    return sum(one.result() for one in work.map(range(count), config=config))

BAD = -1
if __name__ == "__main__":
    train()
"""


def size(project: Project) -> int:
    return sum(file.stat().st_size for file in project.home.glob("metadata.db*"))


def test_2000_tasks_that_share_15_kb_grow_the_database_by_less_than_2_mb(project: Project) -> None:
    project.write(SHARED)
    once = project.finish(project.start("-m", "headrace.cli", "run", "train.py", "--count", "1"))
    assert once.code == 0, once.err
    project.metadata.compact()
    before = size(project)
    project.succeed(SHARED)
    project.metadata.compact()
    assert size(project) - before < 2_000_000
    run = project.last()
    tasks = project.metadata.tasks(run.id)
    assert len(tasks) == 2000
    for task in (tasks[0], tasks[1], tasks[-1]):
        [config] = [one for one in task.inputs if one.name == "config"]
        assert len(config.value.inline) >= 15_000


def test_run_with_shared_values_is_shown_exported_and_resumed(project: Project) -> None:
    project.write(SHARED.replace("BAD = -1", "BAD = 7"))
    failed = project.finish(project.start("-m", "headrace.cli", "run", "train.py", "--count", "20"))
    assert failed.code == 1, failed.err
    run = project.last()
    shown = project.finish(project.start("-m", "headrace.cli", "show", f"{run.name}/work/9", "--json"))
    [config] = [one for one in json.loads(shown.out)["inputs"] if one["name"] == "config"]
    assert config["text"].startswith("'abcdef")
    for argv in (("export", run.name, "out.run"), ("import", "out.run")):
        done = project.finish(project.start("-m", "headrace.cli", *argv))
        assert done.code == 0, done.err
    copy = project.last()
    assert copy.id != run.id
    assert [task.inputs for task in project.metadata.tasks(copy.id)] == [
        task.inputs for task in project.metadata.tasks(run.id)
    ]
    project.write(SHARED)
    for name in (run.name, copy.name):
        done = project.finish(project.start("-m", "headrace.cli", "resume", name, "--reuse-changed"))
        assert done.code == 0, done.err
    again = project.metadata.attempts(run.id, TaskId("work", 1))
    assert [one.attempt for one in again] == [1]
