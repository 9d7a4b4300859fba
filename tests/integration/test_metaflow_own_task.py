"""What a running task of the Metaflow dialect finds of itself, and what is kept of one that failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.frontends.metaflow.programs.script import environment

if TYPE_CHECKING:
    from tests.integration.conftest import Project


def lines(project: Project, code: str, *argv: str, exit_code: int = 0) -> list[str]:
    """What the flow's tasks print behind ``SEE``, in order."""
    (project.path / "own.py").write_text(code)
    done = project.finish(project.start("own.py", "run", *argv, PYTHONPATH=environment({})["PYTHONPATH"]))
    assert done.code == exit_code, done.out + done.err
    return [line.partition("SEE ")[2] for line in done.out.splitlines() if "SEE " in line]


def flow(start: str, end: str = "pass", head: str = "", decorators: str = "") -> str:
    """A flow of two steps."""
    return f"""
import os, subprocess, sys, threading, time
from metaflow import *
{head}
class Own(FlowSpec):
    {decorators}
    @step
    def start(self):
        {start}
        self.next(self.end)

    @step
    def end(self):
        {end}

if __name__ == "__main__":
    Own()
"""


def test_tasks_and_their_programs_know_the_run(project: Project) -> None:
    see = (
        'print("SEE", os.environ["METAFLOW_RUN_ID"] == current.run_id, os.environ["PYTHONUNBUFFERED"]);'
        'print("SEE", subprocess.getoutput("echo $METAFLOW_RUN_ID") == current.run_id)'
    )
    assert lines(project, flow(see, see)) == ["True x", "True"] * 2
    assert lines(project, flow(see, see), "--warm") == ["True x", "True"] * 2


def test_running_task_finds_its_attempts(project: Project) -> None:
    see = """t = Task(current.pathspec)
        print("SEE", t.metadata_dict.get("attempt"), t.current_attempt, t.finished)
        for n in range(current.retry_count):
            print("SEE", "try %d" % n in Task(current.pathspec, attempt=n).stderr)
        wanted = "attempt ds-root ds-type metaflow_version origin-run-id python_version runtime script-name user"
        print("SEE", set(wanted.split()) - set(t.metadata_dict))"""
    failing = f"""{see}
        if current.retry_count < 2:
            raise ValueError("try %d" % current.retry_count)"""
    retry = "@retry(times=2, minutes_between_retries=0)"
    first, second = ["0 0 False", "set()"], ["1 1 False", "True", "set()"]
    third = ["2 2 False", "True", "True", "set()"]
    assert lines(project, flow(failing, see, decorators=retry)) == [*first, *second, *third, *first]


NO_TEXT = """
class NoText(Exception):
    def __str__(self):
        raise RuntimeError("no text")
"""


def test_failed_step_keeps_its_artifacts_where_the_exception_has_no_text(project: Project) -> None:
    lines(project, flow("self.kept = 7; raise NoText", head=NO_TEXT), exit_code=1)
    code = (
        "from metaflow import Flow, namespace\nnamespace(None)\ntask = Flow('Own').latest_run['start'].task\n"
        "print(task['kept'].data, task.exception.type, task.exception.exception)"
    )
    (project.path / "look.py").write_text(code)
    done = project.finish(project.start("look.py", PYTHONPATH=environment({})["PYTHONPATH"]))
    assert done.out.split("\n")[0] == "7 __main__.NoText <exception str() failed>", done.err


def test_catch_keeps_an_exception_without_text(project: Project) -> None:
    see = 'print("SEE", self.kept, self.error.type); print("SEE", str(self.error).strip().splitlines()[-1])'
    code = flow("self.kept = 7; raise NoText", see, NO_TEXT, "@catch(var='error')")
    assert lines(project, code) == ["7 __main__.NoText", "NoText: <exception str() failed>"]


def test_catch_has_a_traceback_of_what_no_code_raised(project: Project) -> None:
    see = 'shown = str(self.error).strip().splitlines(); print("SEE", shown[0]); print("SEE", shown[-1][:60])'
    for broken in ("self.lock = threading.Lock()", "os._exit(3)"):
        found = lines(project, flow(broken, see, decorators="@catch(var='error')"))
        named = "metaflow.plugins.catch_decorator.FailureHandledByCatch: Task execution"
        assert found == ["Traceback (most recent call last):", named[:60]]


def test_click_tuple_takes_several_words(project: Project) -> None:
    head = "from metaflow._vendor import click"
    declared = """kv = Parameter("kv", type=click.Tuple([str, int]), default=("a", 3))
    many = Parameter("many", type=click.Tuple([str, float]), multiple=True)
    pick = Parameter("pick", type=click.Tuple([click.Choice(["x", "y"]), bool, click.IntRange(0, 5)]))"""
    code = flow('print("SEE", self.kv, self.many, self.pick)', head=head, decorators=declared)
    assert lines(project, code)[0].startswith("('a', 3) ()")
    words = ["--kv", "b", "4", "--many", "c", "1", "--many", "d", "2.5", "--pick", "y", "yes", "5"]
    assert lines(project, code, *words) == ["('b', 4) (('c', 1.0), ('d', 2.5)) ('y', True, 5)"]
    for wrong in (["--kv", "b", "x"], ["--pick", "z", "yes", "1"], ["--pick", "x", "yes", "9"], ["--kv", "b"]):
        assert lines(project, code, *wrong, exit_code=2) == []
    done = project.finish(project.start("-m", "headrace", "run", "own.py", *words))
    assert "('b', 4) (('c', 1.0), ('d', 2.5)) ('y', True, 5)" in done.out
