"""``resume --clone-only`` of Metaflow files: a run of what was finished before, in which nothing ran.

With local metadata, the real client finds no step in such a run, so there is nothing to compare with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.frontends.metaflow.programs.script import environment
from headrace.model.states import RunState, TaskState

if TYPE_CHECKING:
    from tests.integration.conftest import Finished, Project

FLOW = """
from metaflow import FlowSpec, step

class Taken(FlowSpec):
    reentrant = "a name of an option"

    @step
    def start(self):
        self.items = [1, 2, 3]
        self.next(self.fit, foreach="items")

    @step
    def fit(self):
        open("began", "a").write("x")
        if self.input == 2 and not os.path.exists("fixed"):
            raise ValueError("not fixed")
        self.squared = self.input ** 2
        self.next(self.join)

    @step
    def join(self, inputs):
        self.total = sum(one.squared for one in inputs)
        self.next(self.end)

    @step
    def end(self):
        print("total", self.total)

if __name__ == "__main__":
    Taken()
"""


def call(project: Project, *argv: str) -> Finished:
    """``python taken.py ...``."""
    return project.finish(project.start("taken.py", *argv, PYTHONPATH=environment({})["PYTHONPATH"]))


def test_only_what_was_finished_is_taken_over_and_the_run_can_go_on(project: Project) -> None:
    project.write(FLOW, "taken.py")
    assert call(project, "run", "--max-workers", "1").code == 1
    (project.path / "fixed").touch()
    finished = {task.id for task in project.tasks() if task.state is TaskState.SUCCEEDED}
    began = (project.path / "began").read_text()

    done = call(project, "resume", "--clone-only")

    assert done.code == 0, done.err
    assert "headrace resume Taken/2" in done.out
    assert {task.reused_from for task in project.tasks()} == {f"Taken/1/{one}" for one in finished}
    taken_over = {task.id for task in project.tasks()}
    assert project.last().state is RunState.INTERRUPTED
    assert (project.path / "began").read_text() == began

    done = call(project, "resume", "--origin-run-id", "2")

    assert done.code == 0, done.err
    assert "total 14" in done.out
    again = {task.reused_from for task in project.tasks() if task.reused_from}
    assert again == {f"Taken/2/{one}" for one in taken_over}
    assert len(project.tasks()) == 6


def test_a_run_cannot_be_named(project: Project) -> None:
    project.write(FLOW, "taken.py")
    (project.path / "fixed").touch()
    assert call(project, "run").code == 0

    done = call(project, "resume", "--run-id", "nightly")

    assert done.code == 1
    assert "--run-id nightly" in done.err
    assert project.last().number == 1
