"""Tasks of Metaflow files as users know them: ids over the run, retries, ends by signals, gangs, projects, tags."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from headrace.frontends.metaflow.programs.script import environment

if TYPE_CHECKING:
    from tests.integration.conftest import Finished, Project


def start(project: Project, name: str, *argv: str, **env: str) -> Finished:
    """``python NAME ...`` for a user called tester."""
    env = {"PYTHONPATH": environment({})["PYTHONPATH"], "METAFLOW_USER": "tester", **env}
    return project.finish(project.start(name, *argv, **env), timeout=120)


def ask(project: Project, program: str) -> list[str]:
    """The lines that a program prints that uses the Client API."""
    project.write(program, "ask.py")
    done = start(project, "ask.py")
    assert done.code == 0, done.err
    return done.out.splitlines()


def names(project: Project) -> list[str]:
    """The tasks of the newest run."""
    return sorted(str(task.id) for task in project.tasks())


COUNTED = """
from metaflow import FlowSpec, current, step, Parameter
import os

class Counted(FlowSpec):
    fail = Parameter("fail", default=False)

    @step
    def start(self):
        self.items = "abc"
        self.next(self.left, self.right)

    @step
    def left(self):
        self.mine = current.task_id
        self.next(self.each, foreach="items")

    @step
    def each(self):
        self.mine = current.task_id
        if self.fail and self.input == "b" and not os.path.exists("fine"):
            raise ValueError("not fine")
        self.next(self.gather)

    @step
    def gather(self, inputs):
        self.mine = current.task_id
        self.next(self.join)

    @step
    def right(self):
        self.mine = current.task_id
        open(f"file-of-{current.task_id}", "w").write(current.pathspec)
        self.next(self.join)

    @step
    def join(self, inputs):
        print("mine", [one.mine for one in inputs])
        try:
            self.merge_artifacts(inputs)
        except Exception as error:
            print(type(error).__name__)
        self.rounds = 0
        self.next(self.turn)

    @step
    def turn(self):
        self.rounds += 1
        self.again = "yes" if self.rounds < 3 else "no"
        self.next({"yes": self.turn, "no": self.end}, condition="again")

    @step
    def end(self):
        pass

if __name__ == "__main__":
    Counted()
"""


def test_task_ids_count_over_the_run(project: Project) -> None:
    project.write(COUNTED, "counted.py")
    done = start(project, "counted.py", "run", "--max-workers", "1")
    assert done.code == 0, done.err
    numbers = sorted(task.number for task in project.tasks())
    assert numbers == list(range(1, 13))
    assert re.search(r"mine \['\d+', '3'\]", done.out)
    assert "MergeArtifactsException" in done.out
    assert Path(project.path / "file-of-3").read_text() == "Counted/1/right/3"
    assert start(project, "counted.py", "logs", "show", "1/join/8").out.startswith("mine")
    lines = ask(
        project,
        "from metaflow import Run, Task, namespace\n"
        "namespace(None)\n"
        "ids = [task.id for step in Run('Counted/1') for task in step]\n"
        "print(len(ids), len(set(ids)))\n"
        "print(sorted(Task('Counted/1/left/2').child_task_pathspecs))\n"
        "print(Run('Counted/1')['turn'].task.pathspec, [t.id for t in Task('Counted/1/turn/9').child_tasks])\n",
    )
    each = [f"Counted/1/each/{n}" for n in (4, 5, 6)]
    assert lines == ["12 12", str(each), "Counted/1/turn/11 ['10']"]


@pytest.mark.parametrize("how", ["python", "headrace"])
def test_task_ids_are_unique_after_a_resume(project: Project, how: str) -> None:
    project.write(COUNTED, "counted.py")
    assert start(project, "counted.py", "run", "--fail", "true").code == 1
    before = {str(task.id): task for task in project.tasks()}
    (project.path / "fine").touch()
    argv = ("counted.py", "resume") if how == "python" else ("-m", "headrace", "resume", "Counted/1")
    done = start(project, *argv)
    assert done.code == 0, done.err
    after = project.tasks()
    assert len({task.number for task in after}) == len(after) == 12
    if how == "headrace":  # the run went on: what was there keeps its name
        assert set(before) <= set(names(project))
    else:
        assert {task.number for task in after} == set(range(1, 13))
        assert {task.reused_from for task in after if task.reused_from} <= {f"Counted/1/{name}" for name in before}


GANG = """
from metaflow import FlowSpec, current, parallel, step, Parameter

class Gang(FlowSpec):
    quiet = Parameter("quiet", default="workers")

    @step
    def start(self):
        self.next(self.train, num_parallel=3)

    @parallel
    @step
    def train(self):
        self.mine = current.task_id
        node = current.parallel.node_index
        if self.quiet == "elsewhere" and node:
            self.next(self.end)
            return
        if self.quiet == "all" or (self.quiet == "workers" and node) or (self.quiet == "first" and not node):
            return
        self.next(self.join)

    @step
    def join(self, inputs):
        print("nodes", [one.mine for one in inputs], current.task_id)
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    Gang()
"""


@pytest.mark.parametrize("quiet", ["nobody", "workers", "first", "all", "elsewhere"])
def test_nodes_of_a_gang_lead_to_its_join_whatever_they_say(project: Project, quiet: str) -> None:
    project.write(GANG, "gang.py")
    done = start(project, "gang.py", "run", "--quiet", quiet)
    assert done.code == 0, done.err
    assert "nodes ['2', '2_node_1', '2_node_2'] 3" in done.out
    assert names(project) == ["end/4", "join/3", "start/1", "train/2", "train/2_node_1", "train/2_node_2"]


def test_native_commands_know_nodes_by_their_ids(project: Project) -> None:
    project.write(GANG, "gang.py")
    assert start(project, "gang.py", "run").code == 0
    shown = start(project, "-m", "headrace", "show", "Gang/1/train/2_node_1")
    assert "Gang/1/train/2_node_1" in shown.out, shown.err
    assert start(project, "-m", "headrace", "get", "Gang/1/train/2_node_2/mine").out.strip() == "2_node_2"
    wrong = start(project, "-m", "headrace", "show", "Gang/1/join/1")
    assert (wrong.code, "Gang/1 has no task join/1; it is join/3" in wrong.err) == (2, True)


FAILING = """
import os, signal, sys
from metaflow import FlowSpec, Parameter, current, retry, step

class Failing(FlowSpec):
    how = Parameter("how", default="raise")

    DECORATOR
    @step
    def start(self):
        print("began", flush=True)
        sys.stderr.write("no end of line")
        sys.stderr.flush()
        if current.retry_count == 0:
            if self.how == "raise":
                raise ValueError("own words")
            if self.how == "segv":
                os.kill(os.getpid(), signal.SIGSEGV)
            if self.how == "null":
                __import__("ctypes").string_at(0)
            if self.how == "exit":
                os._exit(3)
            os.kill(os.getpid(), getattr(signal, self.how))
            signal.pause()
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    Failing()
"""
ENDS = "from metaflow import Task, namespace\nnamespace(None)\nprint(repr(Task('Failing/1/start/1', attempt=0).stderr))"


@pytest.mark.parametrize(
    ("how", "end"),
    [
        ("segv", "Task failed with a segmentation fault."),
        ("null", "Task failed with a segmentation fault."),
        ("SIGKILL", "its worker was killed with SIGKILL from outside\\nTask failed."),
        ("SIGTERM", "its worker died of SIGTERM (terminated)\\nTask failed."),
        ("SIGABRT", "its worker died of SIGABRT (aborted)\\nTask failed."),
        ("exit", "ended its process with os._exit(3)\\nTask failed."),
    ],
)
def test_the_stderr_of_a_task_says_what_ended_its_process(project: Project, how: str, end: str) -> None:
    project.write(FAILING.replace("DECORATOR", ""), "failing.py")
    done = start(project, "failing.py", "run", "--how", how)
    assert done.code == 1
    for line in end.split("\\n"):
        assert done.out.count(f") {line}") + done.out.count(f"] {line}") == 1, done.out
    assert ask(project, ENDS) == [f"'no end of line\\n{end}\\n'"]


def test_a_retry_that_says_nothing_of_minutes_follows_at_once(project: Project) -> None:
    for decorator in ("@retry", "@retry(times=2)"):
        project.write(FAILING.replace("DECORATOR", decorator), "failing.py")
        began = time.monotonic()
        done = start(project, "failing.py", "run")
        assert (done.code, done.out.count("Task is starting (retry).")) == (0, 1), done.out
        assert "waits until" not in done.out
        assert time.monotonic() - began < 100
    project.write(FAILING.replace("DECORATOR", ""), "failing.py")
    assert start(project, "failing.py", "run", "--with", "retry").code == 0
    assert start(project, "failing.py", "run", "--with", "retry:times=1").code == 0


def test_a_retry_that_waits_says_until_when(project: Project) -> None:
    project.write(FAILING.replace("DECORATOR", "@retry(times=1, minutes_between_retries=0.02)"), "failing.py")
    done = start(project, "failing.py", "run")
    assert done.code == 0
    said = re.search(r"\] Task failed\.\n.*\] The next try waits until (\S+ \S+), as", done.out)
    assert said is not None, done.out
    assert abs(time.mktime(time.strptime(said[1], "%Y-%m-%d %H:%M:%S")) - time.time()) < 120


PROJECT = """
from metaflow import FlowMutator, FlowSpec, JSONType, Parameter, StepMutator, current, project, step

NAMES = ("project_name", "branch_name", "project_flow_name", "is_user_branch", "is_production", "flow_name")

def facts():
    return [getattr(current, name, "none") for name in NAMES]

def deployed(context):
    assert not current.is_running_flow and current.run_id is None
    return facts()

class Names(FlowMutator):
    def pre_mutate(self, flow):
        print("before", facts())

    def mutate(self, flow):
        print("after", facts())

class StepNames(StepMutator):
    def mutate(self, step):
        print("step", facts())

@Names
@project(name="shop")
class Named(FlowSpec):
    plain = Parameter("plain", default=deployed, type=JSONType)
    text = Parameter("text", default=lambda context: current.project_name + ":" + current.get("branch_name"))

    @StepNames
    @step
    def start(self):
        print("step itself", facts())
        assert self.plain == facts(), self.plain
        assert self.text == f"{current.project_name}:{current.branch_name}"
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    Named()
"""


@pytest.mark.parametrize(
    ("options", "env", "branch"),
    [
        ((), {}, "user.tester"),
        (("--branch", "b1"), {}, "test.b1"),
        (("--branch=b1", "--production"), {}, "prod.b1"),
        (("--production",), {}, "prod"),
        ((), {"METAFLOW_BRANCH": "b2"}, "test.b2"),
    ],
)
def test_current_knows_the_project_before_the_run(
    project: Project, options: tuple[str, ...], env: dict[str, str], branch: str
) -> None:
    project.write(PROJECT, "named.py")
    done = start(project, "named.py", *options, "run", **env)
    assert done.code == 0, done.out + done.err
    is_user, is_production = branch.startswith("user"), branch.startswith("prod")
    known = ["shop", branch, f"shop.{branch}.Named", is_user, is_production, "Named"]
    assert f"step itself {known}" in done.out
    assert f"step {known}" in done.out
    assert f"after {known}" in done.out
    assert f"before {['none'] * 5 + [None]}" in done.out


TAGGED = """
from metaflow import FlowSpec, Run, current, step

class Tagged(FlowSpec):
    @step
    def start(self):
        self.items = list(range(25))
        self.next(self.each, foreach="items")

    @step
    def each(self):
        n, run = self.input, Run(f"{current.flow_name}/{current.run_id}")
        self.seen = []
        run.add_tag(f"first{n}")
        self.seen.append(f"first{n}" in run.user_tags and f"first{n}" in Run(run.pathspec).tags)
        run.replace_tag(f"first{n}", f"second{n}")
        self.seen.append(f"first{n}" not in run.tags and f"second{n}" in run.tags)
        run.add_tags(["shared", f"third{n}", f"second{n}"])
        self.seen.append({"shared", f"third{n}"} <= set(current.run.user_tags))
        run.remove_tags([f"third{n}", "never there"])
        self.seen.append(f"third{n}" not in Run(run.pathspec).user_tags and f"second{n}" in run.user_tags)
        self.next(self.join)

    @step
    def join(self, inputs):
        assert all(all(one.seen) for one in inputs), [one.seen for one in inputs]
        assert Run(f"Tagged/{current.run_id}").user_tags == {"shared", *(f"second{n}" for n in range(25))}
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    Tagged()
"""


def test_tags_that_many_tasks_change_at_once_are_not_lost(project: Project) -> None:
    project.write(TAGGED, "tagged.py")
    done = start(project, "tagged.py", "run", "--max-workers", str(max(8, os.cpu_count() or 1)))
    assert done.code == 0, done.out[-3000:] + done.err


OVER = """
from headrace import flow, step
from headrace.metaflow import subflow

first, second = subflow("counted.py"), subflow("gang.py")

@flow
def over():
    return len(first(fail=False).again + second().how)

if __name__ == "__main__":
    over()
"""


def test_tasks_of_a_subflow_are_numbered_together(project: Project) -> None:
    project.write(COUNTED, "counted.py")
    project.write(
        GANG.replace("    def end(self):\n        pass", "    def end(self):\n        self.how = 'well'"), "gang.py"
    )
    project.write(OVER, "over.py")
    done = start(project, "over.py")
    assert done.code == 0, done.err
    found = [task.id for task in project.tasks()]
    assert sorted(one.number for one in found if one.step.startswith("Counted.")) == list(range(1, 13))
    assert "Gang.train/2_node_1" in map(str, found)


ONE_BY_ONE = """
from metaflow import FlowSpec, step

class Each(FlowSpec):
    @step
    def start(self):
        self.items = [1, 2, 3]
        self.next(self.work, foreach="items")

    @step
    def work(self):
        print("begun", self.input)
        assert self.input > 1
        self.next(self.join)

    @step
    def join(self, inputs):
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    Each()
"""


def test_no_task_starts_after_one_that_failed(project: Project) -> None:
    project.write(ONE_BY_ONE, "each.py")
    done = start(project, "each.py", "run", "--max-workers", "1")
    assert done.code == 1
    assert re.findall(r"begun \d", done.out) == ["begun 1"]
