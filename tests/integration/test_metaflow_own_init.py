"""Flow classes with an ``__init__`` of their own, where Metaflow's answer is an error or hides artifacts.

What works there too is compared with it, in ``compat/metaflow``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.frontends.metaflow.programs.script import environment

if TYPE_CHECKING:
    from tests.integration.conftest import Project

FLOW = """
from metaflow import FlowSpec, step

class Counting(FlowSpec):
    def __init__(self, first=FIRST):
        self.first = first
        super().__init__()
        self.second = 0

    @step
    def start(self):
        with open("ran", "a") as file:
            print("start", self.first, file=file)
        self.items = [1, 2]
        self.next(self.fit, foreach="items")

    @step
    def fit(self):
        self.first = self.first + self.input
        self.next(self.join)

    @step
    def join(self, inputs):
        self.found = [one.first for one in inputs], self.first
        self.next(self.end)

    @step
    def end(self):
        print("FOUND", self.found)

if __name__ == "__main__":
    Counting(CALL)
"""


def run(project: Project, *argv: str, first: str = "1", call: str = "10") -> str:
    (project.path / "counting.py").write_text(FLOW.replace("FIRST", first).replace("CALL", call))
    done = project.finish(project.start("counting.py", *argv, PYTHONPATH=environment({})["PYTHONPATH"]))
    assert done.code == 0, done.out + done.err
    return done.out


def ran(project: Project) -> list[str]:
    return (project.path / "ran").read_text().splitlines()


def test_branches_of_a_join_have_their_own_artifacts_and_not_what_init_sets(project: Project) -> None:
    assert "FOUND ([11, 12], 10)" in run(project, "run")


def test_what_the_file_calls_its_flow_with_counts_as_code_for_the_cache(project: Project) -> None:
    for call in ("10", "10", "20"):
        run(project, "run", "--cache", call=call)
    assert ran(project) == ["start 10", "start 20"]


def test_a_subflow_takes_the_defaults_of_init(project: Project) -> None:
    run(project, "run")
    out = project.succeed(
        """
        from headrace.metaflow import subflow
        counting = subflow("counting.py")

        @flow
        def native() -> object:
            return counting().found

        if __name__ == "__main__":
            print(native())
        """
    )
    assert "([2, 3], 1)" in out


def test_a_subflow_whose_init_must_have_arguments_says_so(project: Project) -> None:
    run(project, "run")
    file = project.path / "counting.py"
    file.write_text(file.read_text().replace("first=1", "first"))
    done = project.run("from headrace.metaflow import subflow\nsubflow('counting.py')\n")
    assert done.code == 1
    assert "Counting.__init__ cannot be called without arguments (missing a required argument: 'first')" in done.err


def test_arguments_that_cannot_be_stored_are_refused_before_the_run(project: Project) -> None:
    (project.path / "counting.py").write_text(FLOW.replace("FIRST", "1").replace("CALL", "(one for one in [])"))
    done = project.finish(project.start("counting.py", "run", PYTHONPATH=environment({})["PYTHONPATH"]))
    assert done.code == 1
    assert "Counting is called with what cannot be stored" in done.err
    assert not (project.path / "ran").exists()
