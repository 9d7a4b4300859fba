"""Metaflow flows where something is missing: a folder that can be written to, an output, the way back to the run."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from headrace.frontends.metaflow.standin import SHIM

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.conftest import Project

FLOW = """
    from headrace.metaflow import FlowSpec, Run, current, step

    class Placed(FlowSpec):
        @step
        def start(self):
            self.x = 1
            LINE
            self.next(self.end)

        @step
        def end(self):
            print("ended")

    if __name__ == "__main__":
        Placed()
"""


def write(project: Project, line: str = "pass") -> Path:
    return project.write(FLOW.replace("LINE", line), "placed.py")


def shell(project: Project, command: str) -> subprocess.CompletedProcess[str]:
    """Run what stands behind ``python`` with the redirections of a shell."""
    done = subprocess.run(
        ["bash", "-c", f"exec {sys.executable} {command}"], cwd=project.path, capture_output=True, text=True, timeout=60
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_run_without_standard_streams(project: Project, closed: str) -> None:
    assert shell(project, f"{write(project)} run {closed}").returncode == 0
    assert project.last().state == "succeeded"
    assert project.log("end", 2) == b"ended\n"


def test_an_output_that_takes_nothing_fails_the_run_and_is_said_once(project: Project) -> None:
    file = write(project)
    done = shell(project, f"{file} run > /dev/full")
    assert (done.returncode, done.stderr.count("the output cannot be written: No space left on device")) == (1, 1)
    assert project.last().state == "failed"
    done = shell(project, f"{file} show > /dev/full")
    assert (done.returncode, done.stderr.count("the output cannot be written")) == (1, 1)
    done = shell(project, "-m headrace --help > /dev/full")
    assert (done.returncode, done.stderr.count("the output cannot be written")) == (1, 1)


@pytest.mark.parametrize("option", ["--run-id-file", "--runner-attribute-file"])
def test_a_file_about_the_run_that_cannot_be_written_fails_it(project: Project, option: str) -> None:
    file = write(project)
    (project.path / "file").touch()
    done = shell(project, f"{file} run {option} file/id")
    assert (done.returncode, "file/id cannot be written: " in done.stderr) == (1, True), done.stderr
    assert project.last().state == "failed"


@pytest.mark.parametrize("home", ["", "kept"])
def test_a_step_that_went_elsewhere_finds_its_run(project: Project, home: str) -> None:
    (project.path / "elsewhere").mkdir()
    line = 'os.chdir("elsewhere"); print(current.run.created_at, current.task.created_at, Run(current.run.pathspec))'
    file = write(project, line)
    done = project.finish(project.start(str(file), "run", **({"HEADRACE_HOME": home} if home else {})))
    assert done.code == 0, done.out + done.err
    assert "Run('Placed/1')" in done.out
    assert not list((project.path / "elsewhere").iterdir())


def test_looking_makes_nothing(project: Project) -> None:
    file = write(project)
    out = project.succeed(
        """
    from headrace.frontends.metaflow.exceptions import MetaflowNotFound
    from headrace.metaflow import Flow, Metaflow, Run, get_metadata
    print(list(Metaflow()), "Placed" in Metaflow(), get_metadata() != "")
    for look in (lambda: Flow("Placed"), lambda: Run("Placed/1"), lambda: Metaflow()["Placed"]):
        try:
            look()
        except MetaflowNotFound as error:
            print(error)
    """,
        name="look.py",
    )
    assert out.splitlines() == [
        "[] False True",
        "Flow('Placed') does not exist",
        "Run('Placed/1') does not exist",
        "Flow('Placed') does not exist",
    ]
    for words in (["dump", "1/end"], ["resume"], ["spin", "end"], ["logs", "show", "1/end"]):
        done = project.finish(project.start(str(file), *words))
        assert done.code == 1 and "Traceback" not in done.err, done.err
    assert not project.home.exists()


def test_a_folder_that_was_removed_is_said(project: Project) -> None:
    file = write(project)
    done = subprocess.run(
        ["bash", "-c", f"mkdir gone && cd gone && rmdir ../gone && exec {sys.executable} {file} run"],
        cwd=project.path,
        env={"PYTHONPATH": SHIM, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, "the current folder was removed" in done.stderr) == (2, True), done.stderr
    assert "Traceback" not in done.stderr
