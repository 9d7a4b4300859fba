"""``NBRunner`` and ``NBDeployer`` in a real kernel, driven as a notebook drives it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.integration.conftest import Finished, Project

#: Plays cells in a kernel of its own; what each printed, or the name of its error.
PLAYER = """
import json, sys
from jupyter_client.manager import start_new_kernel

manager, client = start_new_kernel(kernel_name="python3")
found = []
try:
    for cell in json.load(open("cells.json")):
        texts = []

        def hear(message):
            content = message["content"]
            if message["msg_type"] == "stream":
                texts.append(content["text"])
            elif message["msg_type"] == "execute_result":
                texts.append(content["data"]["text/plain"])

        reply = client.execute_interactive(cell, output_hook=hear, timeout=60)["content"]
        found.append([reply["status"] + reply.get("ename", ""), "".join(texts)])
finally:
    client.stop_channels()
    manager.shutdown_kernel(now=True)
print(json.dumps(found))
"""
FLOW = """
!true
from metaflow import FlowSpec, NBRunner, Parameter, step
import os

class NotesFlow(FlowSpec):
    alpha = Parameter("alpha", default=2)

    @step
    def start(self):
        self.doubled = self.alpha * 2
        print("in a cell", self.alpha)
        self.next(self.end)

    @step
    def end(self):
        if self.alpha == 7:
            raise ValueError("seven")

"""


def play(project: Project, *cells: str) -> list[Any]:
    """Status and output of each cell."""
    command = [sys.executable, "-m", "headrace", "dialect", "metaflow"]
    shim = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    (project.path / "cells.json").write_text(json.dumps(cells))
    (project.path / "player.py").write_text(PLAYER)
    process = project.start("player.py", METAFLOW_USER="tester", PYTHONPATH=shim, IPYTHONDIR=str(project.path))
    done: Finished = project.finish(process, 100)
    assert done.code == 0, done.err
    answer: list[Any] = json.loads(done.out.splitlines()[-1])
    return answer


def test_a_flow_of_one_cell_runs_resumes_and_spins(project: Project) -> None:
    first, second, third, fourth = play(
        project,
        FLOW + "run = NBRunner(NotesFlow).nbrun(alpha=5)\nrun.data.doubled",
        FLOW + "runner = NBRunner(NotesFlow, show_output=False)\n"
        "spun = runner.spin('start', persist=True)\nprint(spun.task.data.doubled, spun.status)\n"
        "print(runner.run(alpha=7).status, runner.resume().run.origin_pathspec)\n"
        "print(len([one for one in os.listdir('.') if one.startswith('NotesFlow')]))\nrunner.cleanup()",
        FLOW + "executing = await NBRunner(NotesFlow, show_output=False).async_run(alpha=3)\n"
        "await executing.wait()\nprint(executing.status, executing.run.data.doubled)\nexecuting.runner.cleanup()",
        FLOW + "NBRunner(NotesFlow, show_output=False).nbresume(origin_run_id='1').data.doubled",
    )

    assert first[0] == "ok", first
    assert first[1].endswith("\n10")
    assert "in a cell 5" in first[1]
    assert second == ["ok", "10 successful\nfailed NotesFlow/2\n1\n"]
    assert third[0] == "ok", third
    assert third[1] == "successful 6\n"
    assert (fourth[0], fourth[1].strip()) == ("ok", "10")
    left = sorted(path.name for path in project.path.glob("NotesFlow*"))
    assert len(left) == 1, left  # of the third cell, whose NBRunner was not cleaned up


def test_a_cell_without_a_flow_and_arguments_that_do_not_exist(project: Project) -> None:
    answers = play(
        project,
        "from metaflow import FlowSpec, NBRunner, NBDeployer\nclass Other(FlowSpec): pass",
        "NBRunner(Other)",
        FLOW + "NBRunner(NotesFlow).nbrun(nonsense=1)",
        FLOW + "from metaflow import NBDeployer\ndeployer = NBDeployer(NotesFlow)\n"
        "try:\n    deployer.argo_workflows(name='x')\nfinally:\n    deployer.cleanup()",
    )

    assert [one[0] for one in answers] == [
        "ok",
        "errorModuleNotFoundError",
        "errorValueError",
        "errorNotSupportedException",
    ]
    assert not list(project.path.glob("NotesFlow*"))


def test_a_cell_that_needs_another_cell_is_told_that_it_runs_alone(project: Project) -> None:
    _, second = play(
        project,
        "from metaflow import FlowSpec, NBRunner, step",
        "class Lone(FlowSpec):\n    @step\n    def start(self):\n        self.next(self.end)\n"
        "    @step\n    def end(self):\n        pass\n"
        "try:\n    NBRunner(Lone)\nexcept NameError as error:\n    print(*error.__notes__)",
    )

    assert second[0] == "ok", second
    assert "repeat there the imports" in second[1]
    assert not list(project.path.glob("Lone*"))


@pytest.mark.parametrize("name", ["NBRunner", "NBDeployer"])
def test_outside_of_a_notebook_it_says_so(project: Project, name: str) -> None:
    (project.path / "program.py").write_text(
        f"from headrace.metaflow import FlowSpec, {name}\nclass A(FlowSpec): pass\n"
        f"try:\n    {name}(A)\nexcept Exception as error:\n    print(type(error).__name__, error)"
    )

    done = project.finish(project.start("program.py"))

    assert done.out.startswith(f"{name}InitializationError '{name}' requires an interactive Python environment"), (
        done.err
    )


def test_a_deployer_checks_its_file_and_says_what_is_not_there(project: Project) -> None:
    (project.path / "cell.py").write_text("from metaflow import FlowSpec\nclass A(FlowSpec): pass\n")
    (project.path / "program.py").write_text(
        """
from headrace.metaflow import DeployedFlow, Deployer
deployer = Deployer("cell.py")
for call in (
    lambda: Deployer("nowhere.py"),
    deployer.argo_workflows,
    lambda: deployer.step_functions(name="x"),
    lambda: DeployedFlow.from_deployment("x"),
    lambda: DeployedFlow.list_argo_workflows(),
    lambda: DeployedFlow.nonsense,
):
    try:
        call()
    except Exception as error:
        print(type(error).__name__, error)
"""
    )

    lines = project.finish(project.start("program.py")).out.splitlines()

    assert [line.split()[0] for line in lines] == [
        "FileNotFoundError",
        *["NotSupportedException"] * 4,
        "AttributeError",
    ]
    assert "Argo Workflows; docs/metaflow.md" in lines[1]
    assert "AWS Step Functions; docs/metaflow.md" in lines[2]
