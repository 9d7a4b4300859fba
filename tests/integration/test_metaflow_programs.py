"""Programs around Metaflow flows: ``Runner`` from another folder, ``spin`` and what it leaves behind."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.integration.conftest import Finished, Project

LOOPS = """
from metaflow import FlowSpec, Parameter, card, current, project, retry, schedule, step

@schedule(daily=True)
@project(name="mine")
class LoopFlow(FlowSpec):
    alpha = Parameter("alpha", default=2)

    @step
    def start(self):
        self.count = 0
        self.big = "x" * 100_000
        self.next(self.again)

    @card
    @retry
    @step
    def again(self):
        self.count += 1
        print("count", self.count, current.project_flow_name, current.task.pathspec, current.run.id, len(self.big))
        self.way = "on" if self.count < 3 else "out"
        self.next({"on": self.again, "out": self.end}, condition="way")

    @step
    def end(self):
        if self.alpha == 5:
            self.partial = 1
            raise ValueError("five")

if __name__ == "__main__":
    LoopFlow()
"""


@pytest.fixture(scope="session")
def shim() -> str:
    command = [sys.executable, "-m", "headrace", "dialect", "metaflow"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def flow(project: Project, shim: str) -> Flow:
    (project.path / "loops.py").write_text(LOOPS)
    return Flow(project, shim)


class Flow:
    """The flow of ``loops.py`` and programs beside it, with ``metaflow`` to be imported."""

    def __init__(self, project: Project, shim: str) -> None:
        self._project = project
        self._shim = shim

    @property
    def path(self) -> Path:
        return self._project.path

    def call(self, *argv: str, **env: str) -> Finished:
        return self._project.finish(self._project.start(*argv, METAFLOW_USER="tester", PYTHONPATH=self._shim, **env))

    def start(self, *argv: str) -> subprocess.Popen[str]:
        return self._project.start(*argv, METAFLOW_USER="tester", PYTHONPATH=self._shim)

    def finish(self, process: subprocess.Popen[str]) -> Finished:
        return self._project.finish(process)

    def eventually(self, condition: Callable[[], object]) -> None:
        self._project.eventually(condition)

    def last_state(self) -> str:
        return str(self._project.last().state)

    def ask(self, text: str) -> str:
        """What a program prints."""
        (self.path / "program.py").write_text("from metaflow import *\n" + text)
        done = self.call("program.py")
        assert done.code == 0, done.err
        return done.out.strip()


SLOW = """
import os, time
from metaflow import FlowSpec, step

class Slow(FlowSpec):
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        if os.path.exists("wait"):
            open("begun", "w").close()
            time.sleep(60)

if __name__ == "__main__":
    Slow()
"""


# --- spin ---------------------------------------------------------------------------------------------------------


def test_a_turn_of_a_loop_is_spun_with_what_it_was_given(flow: Flow) -> None:
    flow.call("loops.py", "run")

    done = flow.call("loops.py", "spin", "1/again/3")

    assert done.code == 0, done.err
    assert "count 2 mine.user.tester.LoopFlow LoopFlow/1/again/1 1 100000" in done.out
    assert "[Warning] Ignoring Step decorator 'retry'" in done.out
    assert "[Warning] Ignoring Flow decorator 'schedule'" in done.out
    assert "card" not in done.out


def test_spun_tasks_are_in_no_listing_and_resume_does_not_find_them(flow: Flow) -> None:
    flow.call("loops.py", "run")
    flow.call("loops.py", "spin", "end", "--persist")
    flow.call("loops.py", "spin", "again")

    assert flow.ask("print(len(list(Flow('LoopFlow'))), Flow('LoopFlow').latest_run)") == "1 Run('LoopFlow/1')"
    assert "LoopFlow/2" not in flow.call("-m", "headrace", "runs").out
    assert "LoopFlow/2" in flow.call("-m", "headrace", "runs", HEADRACE_PROJECT="default.spin").out
    assert flow.call("loops.py", "resume").code == 0
    assert flow.ask("print(Flow('LoopFlow').latest_run, Flow('LoopFlow').latest_run.origin_pathspec)") == (
        "Run('LoopFlow/2') LoopFlow/1"
    )


def test_what_leads_up_and_down_from_a_spun_task_is_spun_too(flow: Flow) -> None:
    flow.call("loops.py", "run")
    flow.call("loops.py", "run")
    flow.call("loops.py", "spin", "1/again/4", "--persist")

    said = flow.ask(
        """
import pickle
with Runner("loops.py", show_output=False) as runner:
    task = runner.spin("2/again/2", persist=True).task
    print(task.pathspec, task.parent.parent, list(task.parent), task.parent.parent.parent.latest_run.id)
    same = pickle.loads(pickle.dumps(task))
    print(same["count"].data, same.data.way, [one.id for one in same.artifacts], same.origin_pathspec)
print(len(list(Flow("LoopFlow"))))
inspect_spin(".")
print(len(list(Flow("LoopFlow"))), Task("LoopFlow/1/again/1").data.count, get_metadata().startswith("spin@"))
print(default_metadata().startswith("local@"), len(list(Flow("LoopFlow"))))
"""
    ).splitlines()

    assert said == [
        "LoopFlow/2/again/1 Run('LoopFlow/2') [Task('LoopFlow/2/again/1')] 2",
        "1 on ['alpha', 'big', 'count', 'name', 'way'] None",
        "2",
        "2 3 True",
        "True 2",
    ]


def test_blobs_that_a_spun_task_took_outlive_the_run_they_came_from(flow: Flow) -> None:
    flow.call("loops.py", "run")
    flow.call("loops.py", "spin", "again", "--persist")

    gone = flow.call("-m", "headrace", "gc", "--flow", "LoopFlow", "--keep", "0", "--grace", "0", "--delete")

    assert gone.code == 0, gone.err
    assert flow.ask("print(len(list(Metaflow())))") == "0"
    assert flow.ask("inspect_spin('.'); print(len(Flow('LoopFlow').latest_run['again'].task.data.big))") == "100000"


def test_a_spin_can_be_cancelled_as_a_run_can(flow: Flow) -> None:
    (flow.path / "slow.py").write_text(SLOW)
    assert flow.call("slow.py", "run").code == 0
    (flow.path / "wait").touch()
    for command, where in ((["spin", "end"], "default.spin"), (["run"], "default")):
        process = flow.start("slow.py", *command)
        flow.eventually((flow.path / "begun").exists)
        number = "1" if where == "default.spin" else "2"
        done = flow.call("-m", "headrace", "cancel", f"Slow/{number}", HEADRACE_PROJECT=where)
        assert done.code == 0, done.err
        assert flow.finish(process).code != 0
        assert flow.last_state() == "cancelled"
        (flow.path / "begun").unlink()


def test_what_a_failed_spin_had_made_is_kept_with_persist_only(flow: Flow) -> None:
    flow.call("loops.py", "run", "--alpha", "5")

    kept = flow.call("loops.py", "spin", "end", "--persist", "--run-id-file", "id")
    bare = flow.call("loops.py", "spin", "end")

    assert (kept.code, bare.code) == (1, 1)
    assert "Step end (task-id 1) failed" in kept.err
    assert (flow.path / "id").read_text() == "1"
    said = flow.ask(
        "inspect_spin('.')\n"
        "for run in Flow('LoopFlow'):\n"
        "    task = run['end'].task\n"
        "    print(run.id, task.successful, sorted(one.id for one in task), 'ValueError: five' in task.stderr)"
    )
    assert said.splitlines() == [
        "2 False [] True",
        "1 False ['alpha', 'big', 'count', 'name', 'partial', 'way'] True",
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("OTHER = 1", "has no dictionary ARTIFACTS"),
        ("ARTIFACTS = [1]", "has no dictionary ARTIFACTS"),
        ("raise KeyError('no')", "KeyError: 'no'"),
        ("ARTIFACTS = {'_transition': 1}", "cannot be the name of an artifact"),
        ("ARTIFACTS = {'thread': __import__('threading').Lock()}", "thread cannot be stored"),
    ],
)
def test_artifacts_that_cannot_be_given_are_refused_before_anything_runs(flow: Flow, text: str, complaint: str) -> None:
    flow.call("loops.py", "run")
    (flow.path / "given.py").write_text(text)

    done = flow.call("loops.py", "spin", "end", "--artifacts-module", "given.py")

    assert done.code == 1
    assert complaint in done.err
    assert "LoopFlow" not in flow.call("-m", "headrace", "runs", HEADRACE_PROJECT="default.spin").out


# --- Runner -------------------------------------------------------------------------------------------------------


def test_a_runner_reads_runs_of_another_folder_where_they_are(flow: Flow) -> None:
    (flow.path / "elsewhere" / ".headrace").mkdir(parents=True)

    said = flow.ask(
        """
with Runner("loops.py", show_output=False, cwd="elsewhere").run(alpha=3) as running:
    run = running.run
    print(run, run.successful, run.data.alpha, [step.id for step in run], len(list(run.parent)))
try:
    Flow("LoopFlow")
except Exception as error:
    print(type(error).__name__)
"""
    ).splitlines()

    assert said == ["Run('LoopFlow/1') True 3 ['end', 'again', 'start'] 1", "MetaflowNotFound"]


def test_a_runner_needs_no_shim_on_the_path(flow: Flow, project: Project) -> None:
    (flow.path / "program.py").write_text(
        "from headrace.metaflow import Runner\nprint(Runner('loops.py', show_output=False).run().run.data.count)"
    )

    done = project.finish(project.start("program.py", METAFLOW_USER="tester"))

    assert (done.code, done.out.strip()) == (0, "3"), done.err


def test_a_flow_that_does_not_begin_in_time_is_ended(flow: Flow) -> None:
    (flow.path / "sleeps.py").write_text(
        "import time\nfrom metaflow import FlowSpec, step\nclass Sleeps(FlowSpec):\n"
        "    @step\n    def start(self): self.next(self.end)\n    @step\n    def end(self): pass\n"
        "if __name__ == '__main__':\n    time.sleep(60)\n    Sleeps()\n"
    )

    said = flow.ask(
        "try:\n    Runner('sleeps.py', file_read_timeout=1).run()\n"
        "except Exception as error:\n    print(type(error).__name__, str(error)[:15])"
    )

    assert said == "RuntimeError Error executing"


def test_two_flows_in_a_file_are_refused_by_name(flow: Flow) -> None:
    (flow.path / "two.py").write_text(
        "from metaflow import FlowSpec\nclass One(FlowSpec): pass\nclass Two(FlowSpec): pass\n"
    )

    said = flow.ask("try:\n    Runner('two.py')\nexcept Exception as error:\n    print(type(error).__name__, error)")

    assert said.startswith("MetaflowException Multiple FlowSpec classes")
    assert said.endswith("One, Two")
