"""``python -m metaflow code``: the code of runs. The real one keeps none of runs on this machine."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from headrace.frontends.metaflow.programs.script import environment

if TYPE_CHECKING:
    from tests.integration.conftest import Finished, Project

FLOW = """
import helper
from metaflow import FlowSpec, step

class Tooled(FlowSpec):
    @step
    def start(self):
        print(helper.WORD)
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    Tooled()
"""


def call(project: Project, *argv: str) -> Finished:
    """``python ...`` with ours for the package."""
    return project.finish(project.start(*argv, PYTHONPATH=environment({})["PYTHONPATH"], METAFLOW_USER="tester"))


def code(project: Project, *argv: str) -> Finished:
    """``python -m metaflow code ...``."""
    return call(project, "-m", "metaflow", "code", *argv)


def test_code_of_runs_is_pulled_compared_and_made_a_patch_of(project: Project) -> None:
    helper = project.path / "helper.py"
    project.write(FLOW, "tooled.py")
    for word in ("one", "two"):
        helper.write_text(f'WORD = "{word}"')
        assert call(project, "tooled.py", "run").code == 0

    assert code(project, "pull", "Tooled/1").code == 0
    pulled = project.path / "tooled_1_code"
    assert sorted(one.name for one in pulled.iterdir()) == ["helper.py", "tooled.py"]
    assert (pulled / "helper.py").read_text() == 'WORD = "one"'
    again = code(project, "pull", "Tooled/1")
    assert (again.code, "--dir" in again.err) == (1, True)

    done = code(project, "diff", "Tooled/1")
    assert ('-WORD = "two"' in done.out, '+WORD = "one"' in done.out) == (True, True)
    assert "tooled.py is identical" in done.err
    assert '+WORD = "one"' in code(project, "diff-runs", "Tooled/1", "Tooled/2").out

    helper.write_text('# edited\nWORD = "three"\n')
    assert code(project, "patch", "Tooled/2").code == 0
    assert code(project, "patch", "Tooled/2").code == 1
    assert code(project, "patch", "Tooled/2", "--overwrite").code == 0
    if shutil.which("git") is None:
        pytest.skip("there is no git to apply the patch with")
    subprocess.run(["git", "apply", "tooled_2.patch"], cwd=project.path, check=True)
    assert helper.read_text() == 'WORD = "two"'


def test_a_run_that_does_not_exist_is_an_error(project: Project) -> None:
    done = code(project, "diff", "Tooled/1")

    assert done.code == 1
    assert "Tooled/1" in done.err
