"""What the terminal says of Metaflow flows that go wrong: the user's own line, what is meant, what to do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from headrace.frontends.metaflow.programs.script import environment

if TYPE_CHECKING:
    from tests.integration.conftest import Finished, Project

FLOW = """
from metaflow import Config, FlowSpec, IncludeFile, Parameter, step

class Talk(FlowSpec):
    how = Parameter("how", default="")
    text = IncludeFile("text", default="text.txt")
    settings = Config("settings", default_value='{"model": {"depth": 3}}')

    @step
    def start(self):
        self.model = 1
        self.both = "both"
        if self.how == "words":
            raise ValueError("\\nfirst line of *two*\\nsecond line")
        if self.how == "clash":
            self.join = 3
            self.next(self.left, self.right) if False else self.next(self.join)
        self.next(self.left, self.right)

    @step
    def left(self):
        self.side = "left"
        self.next(self.join)

    @step
    def right(self):
        self.side = "right"
        if self.how == "typo":
            print(self.modle)
        if self.how == "config":
            print(self.settings.mdoel.depth)
        self.next(self.join)

    @step
    def join(self, inputs):
        if self.how == "branches":
            print(self.side)
        if self.how == "merge":
            self.merge_artifacts(inputs)
        self.next(self.end)

    @step
    def end(self):
        if self.how == "lost":
            print(self.both)

if __name__ == "__main__":
    Talk()
"""


def start(project: Project, *argv: str) -> Finished:
    """The flow's file, called."""
    project.write(FLOW, "talk.py")
    (project.path / "text.txt").write_text("some words\n" * 5_000)
    return project.finish(project.start("talk.py", *argv, PYTHONPATH=environment({})["PYTHONPATH"]))


def headrace(project: Project, *argv: str) -> str:
    """What a command prints."""
    done = project.finish(project.start("-m", "headrace", *argv))
    assert done.code == 0, done.err
    return done.out


@pytest.mark.parametrize(
    ("how", "line", "said"),
    [
        ("typo", "print(self.modle)", "Did you mean 'model'?"),
        ("branches", "print(self.side)", "The branches have it: inputs[0].side, [one.side for one in inputs], or"),
        ("lost", "print(self.both)", "A join passes on only what it sets itself or takes over with"),
        ("config", "print(self.settings.mdoel.depth)", "The config has model there."),
        ("merge", "self.merge_artifacts(inputs)", "UnhandledInMergeArtifactsException: Step join cannot merge"),
        (
            "clash",
            "self.next(self.join)",
            "Step start goes on to 3, which is not a step: self.join has that value.",
        ),
    ],
)
def test_a_mistake_is_shown_where_it_was_made_with_what_was_meant(
    project: Project, how: str, line: str, said: str
) -> None:
    done = start(project, "run", "--how", how)
    assert done.code == 1
    assert line in done.out
    assert said in done.out
    assert "/headrace/" not in done.out  # no frames but the user's
    assert done.out.index(line) < done.out.index(said)


def test_the_summary_of_an_error_is_how_it_begins(project: Project) -> None:
    assert start(project, "run", "--how", "words").code == 1
    shown = headrace(project, "show", "Talk/1")
    assert "Talk/1/start/1 failed: ValueError: first line of *two*" in shown
    assert re.search(r"^Look into it: headrace debug Talk/1/start/1$", shown, re.M)


def test_an_included_file_does_not_fill_the_screen(project: Project) -> None:
    assert start(project, "run").code == 0
    for words in (("runs",), ("show", "Talk/1"), ("show", "Talk/1/end/5")):
        shown = headrace(project, *words)
        assert len(shown) < 6_000
    assert "(55,000 characters)" in headrace(project, "show", "Talk/1")


@pytest.mark.parametrize("command", ["argo-workflows create", "step-functions trigger --x 1", "airflow create f.py"])
def test_other_schedulers_are_refused_by_name_with_what_to_do(project: Project, command: str) -> None:
    done = start(project, "--with", "retry", *command.split())
    name = " ".join(command.split()[:2])
    assert done.code == 1
    assert f"`{name}` did nothing" in done.err
    assert "To run the flow here: python talk.py run." in done.err
    assert "argo-workflows" not in start(project, "--help").out


def test_a_join_that_takes_no_inputs_is_named_with_its_file(project: Project) -> None:
    wrong = FLOW.replace("def join(self, inputs)", "def join(self)")
    project.write(wrong, "wrong.py")
    done = project.finish(project.start("wrong.py", "check", PYTHONPATH=environment({})["PYTHONPATH"]))
    assert done.code == 1
    assert re.search(r"^    wrong.py:\d+: Step end reached before", done.err, re.M)
    assert "Step join, to which left and right lead, does not join them" in done.err


def test_what_a_resume_took_over_is_not_said_to_come_from_the_cache(project: Project) -> None:
    assert start(project, "run", "--how", "typo").code == 1
    project.write(FLOW.replace("self.modle", "self.model"), "talk.py")
    done = project.finish(project.start("talk.py", "resume", PYTHONPATH=environment({})["PYTHONPATH"]))
    assert done.code == 0, done.err
    assert "Talk/2/start/1 was reused: Talk/1/start/1 had finished it" in headrace(project, "explain", "Talk/2/start/1")
    assert "Talk/2/right/3 ran" in headrace(project, "explain", "Talk/2/right/3")
