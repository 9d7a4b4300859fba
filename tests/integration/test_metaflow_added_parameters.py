"""A Metaflow run goes on with a file that has got parameters since: as in the original, steps do not have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headrace.frontends.metaflow.programs.script import environment

if TYPE_CHECKING:
    from tests.integration.conftest import Project

FLOW = """
from metaflow import FlowSpec, IncludeFile, JSONType, Parameter, step
import os

class Grown(FlowSpec):
    first = Parameter("first", default=1)
    ADDED

    @step
    def start(self):
        self.next(self.middle)

    @step
    def middle(self):
        if not os.path.exists("fine"):
            raise ValueError("not yet")
        self.seen = {}
        for name in ("first", "number", "text", "file", "maybe", "late"):
            try:
                self.seen[name] = repr(getattr(self, name))
            except (KeyError, AttributeError) as error:
                self.seen[name] = f"{type(error).__name__} {error}"
        self.next(self.end)

    @step
    def end(self):
        print("seen", self.seen)

if __name__ == "__main__":
    Grown()
"""
ADDED = """number = Parameter("number", default=7)
    text = Parameter("text", type=JSONType, default='{"a": 1}')
    file = IncludeFile("file", default="grown.py")
    maybe = Parameter("maybe", required=False, type=int)
    late = Parameter("late", default=lambda context: "now")"""
WITHOUT = {name: f"KeyError {name!r}" for name in ("number", "text", "file", "maybe", "late")}


@pytest.mark.parametrize("how", ["python", "headrace"])
def test_steps_of_a_resumed_run_do_not_have_parameters_that_the_file_got_since(project: Project, how: str) -> None:
    def start(*argv: str) -> str:
        return project.finish(project.start(*argv, PYTHONPATH=environment({})["PYTHONPATH"])).out

    (project.path / "grown.py").write_text(FLOW.replace("ADDED", ""))
    start("grown.py", "run")
    (project.path / "grown.py").write_text(FLOW.replace("ADDED", ADDED))
    (project.path / "fine").touch()
    argv = ("grown.py", "resume") if how == "python" else ("-m", "headrace", "resume", "Grown/1")
    assert f"seen {{'first': '1', {str(WITHOUT)[1:]}" in start(*argv)
    assert "'number': '7'" in start("grown.py", "run")
