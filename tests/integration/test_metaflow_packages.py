"""Steps of Metaflow flows with packages and a Python of their own: ``@pypi``, ``@conda`` and their ``_base`` forms."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.interpreters import OTHER, OURS

from headrace.frontends.metaflow.programs.script import environment
from headrace.model.records import TaskId
from headrace.model.states import RunState

if TYPE_CHECKING:
    from tests.integration.conftest import Finished, Project

needs_other = pytest.mark.skipif(not OTHER, reason="there is one Python on this machine")


def run(project: Project, *words: str) -> Finished:
    """``python packaged.py ...``, which is written already."""
    return project.finish(project.start("packaged.py", *words, PYTHONPATH=environment({})["PYTHONPATH"]), 120)


def headrace(project: Project, *words: str) -> Finished:
    return project.finish(project.start("-m", "headrace", *words), 120)


FLOW = """
from metaflow import Config, FlowSpec, IncludeFile, Parameter, card, catch, conda, current, environment, pypi, retry
from metaflow import step
from metaflow.cards import Markdown
from dataclasses import dataclass
import json

@dataclass
class Point:
    x: int
    names: list

def here():
    try:
        import six
        version = six.__version__
    except ImportError:
        version = ""
    return [".".join(map(str, sys.version_info[:2])), version]

class Packaged(FlowSpec):
    n = Parameter("n", default=3)
    note = IncludeFile("note", default="note.txt")
    settings = Config("settings", default_value={"a": 1})

    @card
    @step
    def start(self):
        self.point = Point(1, ["a"])
        self.items = list(range(self.n))
        self.next(self.work, foreach="items")

    @retry(times=1)
    @pypi(packages={"six": "1.16.0", "numpy": ""}, python="OTHER")
    @environment(vars={"GIVEN": "1"})
    @card
    @step
    def work(self):
        import numpy
        assert self.point == Point(1, ["a"]) and self.note == "text\\n" and self.settings.a == 1
        assert os.environ["GIVEN"] == "1" and current.retry_count == 0 and self.index == self.input
        assert os.path.dirname(sys.executable) in os.environ["PATH"].split(":")
        current.card.append(Markdown(f"# Work {self.input}"))
        self.array = numpy.arange(5) * self.input
        self.where = here()
        self.next(self.join)

    @conda(libraries={"six": "=1.15"}, python="OURS")
    @step
    def join(self, inputs):
        self.merge_artifacts(inputs, exclude=["where", "array"])
        self.all = [one.where for one in inputs] + [here()]
        self.total = int(sum(one.array.sum() for one in inputs)) if OURS_HAS_NUMPY else 0
        self.next(self.end)

    @catch(var="failed")
    @pypi(disabled=True)
    @step
    def end(self):
        self.all = self.all + [here()]
        print("all", json.dumps(self.all))

if __name__ == "__main__":
    Packaged()
"""


@needs_other
def test_steps_get_their_packages_and_python(project: Project) -> None:
    (project.path / "note.txt").write_text("text\n")
    text = FLOW.replace("OTHER", OTHER).replace('"OURS"', f'"{OURS}"').replace("OURS_HAS_NUMPY", "False")
    project.write(text, "packaged.py")
    done = headrace(project, "run", "packaged.py")
    assert done.code == 0, done.out + done.err
    assert "Bootstrapping virtual environment(s) ..." in done.out
    assert "Card render failed" not in done.out
    told = next(line for line in done.out.splitlines() if "] all [" in line)
    six = [[OTHER, "1.16.0"]] * 3 + [[OURS, "1.15.0"]]
    everything = json.loads(told[told.index("all [") + 4 :])
    assert everything[:4] == six and everything[4][0] == OURS
    tasks = {str(task.id): task for task in project.tasks()}
    kinds = {tasks[name].environment for name in ("work/2", "work/3", "work/4")}
    assert len(kinds) == 1 and tasks["join/5"].environment not in kinds
    assert tasks["start/1"].environment == tasks["end/6"].environment
    again = headrace(project, "reproduce", "Packaged/1", "--json")
    assert again.code == 0 and json.loads(again.out)["equal"], again.out + again.err


SMALL = """
from metaflow import FlowSpec, conda, conda_base, pypi, pypi_base, step

DECORATOR
class Packaged(FlowSpec):
    @STEP
    @step
    def start(self):
        try:
            import six
            self.six = six.__version__
        except ImportError:
            self.six = ""
        self.next(self.end)

    @step
    def end(self):
        import six, requests
        self.last = six.__version__

if __name__ == "__main__":
    Packaged()
"""


def small(project: Project, base: str, step: str = "pypi()") -> None:
    project.write(SMALL.replace("DECORATOR", base).replace("@STEP", f"@{step}" if step else ""), "packaged.py")


def texts(project: Project) -> tuple[str, str]:
    outputs = project.metadata.outputs(project.last().id, [TaskId("start", 1), TaskId("end", 2)])
    return (
        outputs[TaskId("start", 1)]["six"].preview.text.strip("'"),
        outputs[TaskId("end", 2)]["last"].preview.text.strip("'"),
    )


@pytest.mark.parametrize("kind", ["pypi", "conda"])
def test_packages_of_the_flow_are_those_of_all_its_steps(project: Project, kind: str) -> None:
    small(project, f"@{kind}_base(packages={{'six': '1.16.0'}})", f"{kind}(packages={{'six': '1.15.0'}})")
    done = run(project, "--environment", kind, "run")
    assert done.code == 0, done.out + done.err
    assert texts(project) == ("1.15.0", "1.16.0")


def test_with_gives_packages_to_all_steps(project: Project) -> None:
    small(project, "", "")
    done = run(project, "--environment=pypi", "run", "--with", 'pypi:packages={"six": "1.16.0"}')
    assert done.code == 0, done.out + done.err
    assert texts(project) == ("1.16.0", "1.16.0")
    again = headrace(project, "reproduce", "Packaged/1", "--json")
    assert again.code == 0 and json.loads(again.out)["equal"], again.out + again.err


def test_environment_that_was_not_asked_for_is_refused(project: Project) -> None:
    small(project, "@pypi_base(packages={'six': '1.16.0'})", "")
    for words in (["run"], ["--environment=uv", "run"], ["--environment=local", "check"]):
        done = run(project, *words)
        assert (
            done.code == 1 and "@pypi_base of the flow requires --environment=conda or --environment=pypi" in done.err
        )
    assert headrace(project, "run", "packaged.py").code == 0


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("conda(packages={'cudatoolkit': '11'})", "package cudatoolkit cannot be had: it is not a Python package"),
        ("conda(packages={'conda-forge::six': '1'})", "package conda-forge::six cannot be had"),
        ("conda(packages={'headrace-no-such-package-x': '1'})", "headrace-no-such-package-x"),
        ("pypi(packages={'six': '99.9'})", "six==99.9"),
        ("pypi(packages=['six'])", "packages must be a dictionary"),
    ],
)
def test_what_cannot_be_had_is_refused_before_the_run(project: Project, step: str, said: str) -> None:
    small(project, "", step)
    done = run(project, "--environment=pypi", "run")
    assert done.code == 1, done.out + done.err
    assert "Ran into an error while setting up environment:" in done.err
    assert said in done.err
    assert "Workflow starting" not in done.out
    assert not (project.home / "metadata.db").exists() or not project.metadata.flows("default")


def test_resume_uses_the_environment_of_the_run(project: Project) -> None:
    text = SMALL.replace("DECORATOR", "").replace("@STEP", "@pypi(packages={'six': '1.15.0'})")
    text = text.replace("import six, requests", "open('fixed').close()\n        import six")
    text = text.replace("    @step\n    def end", "    @pypi(packages={'six': '<1.17'})\n    @step\n    def end")
    project.write(text, "packaged.py")
    assert run(project, "--environment=pypi", "run").code == 1
    (project.path / "fixed").touch()
    done = headrace(project, "resume", "Packaged/1")
    assert done.code == 0, done.out + done.err
    assert project.last().state is RunState.SUCCEEDED
    assert texts(project) == ("1.15.0", "1.16.0")
