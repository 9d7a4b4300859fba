"""Options that ``Parameter`` hands on to click: ``headrace run``, ``Runner``, help; Metaflow has less."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import pytest

from headrace.frontends.metaflow.commands.cli import make_group
from headrace.frontends.metaflow.programs.script import environment
from headrace.metaflow import Config, FlowSpec, step

if TYPE_CHECKING:
    from tests.integration.conftest import Project

FLOW = """
from metaflow import FlowSpec, Parameter, project, step

@project(name="options")
class Options(FlowSpec):
    fast = Parameter("fast", is_flag=True, default=False, help="Be quick.")
    level = Parameter("level", count=True)
    pair = Parameter("pair", nargs=2, type=int, default=(1, 2))
    mixed = Parameter("mixed", type=(str, float), default=("a", 1.5))
    names = Parameter("names", multiple=True)
    token = Parameter("token", envvar="MY_TOKEN", show_envvar=True, hidden=False)
    loud = Parameter("loud", default="low", callback=lambda context, option, value: value.upper())

    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        print("GOT", self.fast, self.level, self.pair, self.mixed, self.names, self.token, self.loud)

if __name__ == "__main__":
    Options()
"""


@pytest.fixture
def file(project: Project) -> str:
    (project.path / "options.py").write_text(FLOW)
    return "options.py"


def got(out: str) -> str:
    return next(line.partition("GOT ")[2] for line in out.splitlines() if "GOT " in line)


def run(project: Project, *argv: str, **env: str) -> str:
    done = project.finish(project.start("-m", "headrace", *argv, **env))
    assert done.code == 0, done.out + done.err
    return done.out


def test_headrace_run_takes_options_of_any_width_in_any_order(project: Project, file: str) -> None:
    words = [
        "--fast",
        "--pair",
        "3",
        "4",
        "--level",
        "--production",
        "--level",
        "--mixed",
        "b",
        "2",
        "--names",
        "x",
        "--names",
        "y",
        "--loud",
        "v",
    ]
    assert got(run(project, "run", file, *words)) == "True 2 (3, 4) ('b', 2.0) ('x', 'y') None V"


def test_values_that_are_not_given(project: Project, file: str) -> None:
    assert got(run(project, "run", file)) == "False 0 (1, 2) ('a', 1.5) () None LOW"


def test_a_variable_of_the_environment(project: Project, file: str) -> None:
    assert got(run(project, "run", file, MY_TOKEN="t")).endswith(" t LOW")


def test_a_resume_has_the_values_of_its_origin(project: Project, file: str) -> None:
    run(project, "run", file, "--fast", "--pair", "5", "6", "--names", "x", "--loud", "v")
    done = project.finish(project.start(file, "resume", "end", PYTHONPATH=environment({})["PYTHONPATH"], MY_TOKEN="t"))
    assert got(done.out) == "True 0 (5, 6) ('a', 1.5) ('x',) None V"


def test_help_shows_them(project: Project, file: str) -> None:
    out = " ".join(run(project, "run", file, "--help").split())
    for text in (
        "--fast Be quick. [default: False]",
        "--pair INTEGER... [default: 1, 2]",
        "--mixed <TEXT FLOAT>... [default: a, 1.5]",
        "--token TEXT [env var: MY_TOKEN]",
    ):
        assert text in out


class Configured(FlowSpec):
    rates = Config("rates", default_value="{}")

    @step
    def start(self) -> None:
        self.next(self.end)

    @step
    def end(self) -> None:
        pass


def test_help_of_the_file_names_configs() -> None:
    group = make_group(Configured)

    out = " ".join(group.get_help(click.Context(group)).split())

    assert "--config NAME FILE The file of a config. Configs: rates." in out
    assert "--config-value NAME TEXT" in out


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"fast": True, "level": 2}, "True 2 (1, 2) ('a', 1.5) () None LOW"),
        ({"fast": False, "pair": [7, 8]}, "False 0 (7, 8) ('a', 1.5) () None LOW"),
        ({"mixed": ("c", 2.5), "names": ("x", "y")}, "False 0 (1, 2) ('c', 2.5) ('x', 'y') None LOW"),
    ],
)
def test_a_runner_takes_them_as_values(project: Project, file: str, given: dict[str, Any], expected: str) -> None:
    out = project.succeed(
        f"""
        from headrace.metaflow import Runner
        with Runner({file!r}, show_output=False).run(**{given!r}) as running:
            print(running.stdout)
        """
    )
    assert got(out) == expected


@pytest.mark.parametrize(
    ("declared", "complaint"),
    [
        ("is_flag=True, count=True", "cannot be a flag and be counted"),
        ("nargs=0", "nargs is 0"),
        ("nonsense=1", "has no argument 'nonsense'"),
        ("multiple=True, default=5", "several values: give a list"),
    ],
)
def test_what_no_option_can_be_is_refused(project: Project, file: str, declared: str, complaint: str) -> None:
    (project.path / file).write_text(FLOW.replace("count=True", declared))
    done = project.finish(project.start("-m", "headrace", "run", file))
    assert done.code == 1
    assert complaint in done.err
