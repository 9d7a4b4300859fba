"""A gang of a Metaflow file is taken from the cache whole, or runs whole."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.integration.conftest import Project

FLOW = """
from metaflow import FlowSpec, Parameter, current, parallel, step

class Gang(FlowSpec):
    size = Parameter("size", default=2)

    @step
    def start(self):
        self.next(self.work, num_parallel=self.size)

    @parallel
    @step
    def work(self):
        with open("ran", "a") as file:
            file.write(f"{current.parallel.node_index} ")
        self.node = current.parallel.node_index
        self.next(self.join)

    @step
    def join(self, inputs):
        self.nodes = [one.node for one in inputs]
        self.next(self.end)

    @step
    def end(self):
        print("nodes:", self.nodes)

if __name__ == "__main__":
    Gang()
"""


def test_gang_of_an_earlier_run_is_taken_from_the_cache_whole(project: Project) -> None:
    (project.path / "gang.py").write_text(FLOW)

    def run(*more: str) -> str:
        done = project.finish(project.start("-m", "headrace", "run", "gang.py", "--cache", *more))
        assert done.code == 0, done.err
        return "".join(sorted((project.path / "ran").read_text().split()))

    assert run() == "01"
    assert run() == "01", "the second run takes all"
    assert run("--size", "3") == "001" + "12", "another gang has nothing to take"
    shown = json.loads(project.finish(project.start("-m", "headrace", "show", "Gang/2/work", "--json")).out)
    assert shown
    explained = project.finish(project.start("-m", "headrace", "explain", "Gang/2/work/2"))
    assert "came from the cache" in explained.out, explained.out
