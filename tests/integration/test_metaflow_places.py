"""Where Metaflow files keep their runs when an option or setting of Metaflow's says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.frontends.metaflow.programs.script import environment

if TYPE_CHECKING:
    from tests.integration.conftest import Finished, Project

FLOW = """
from metaflow import Flow, FlowSpec, namespace, step

class Kept(FlowSpec):
    @step
    def start(self):
        namespace(None)
        print("this is", Flow("Kept").latest_run)
        self.next(self.end)

    @step
    def end(self):
        if not os.path.exists("fixed"):
            raise ValueError("not fixed")

if __name__ == "__main__":
    Kept()
"""


def call(project: Project, *argv: str, **env: str) -> Finished:
    """``python kept.py ...``."""
    path = environment({})["PYTHONPATH"]
    return project.finish(project.start(*argv, PYTHONPATH=path, METAFLOW_USER="tester", **env))


def test_runs_are_where_the_option_says(project: Project) -> None:
    project.write(FLOW, "kept.py")
    there = ("kept.py", "--datastore-root", "there")

    done = call(project, *there, "run")
    assert done.code == 1
    assert "this is Run('Kept/1')" in done.out
    (project.path / "fixed").touch()
    done = call(project, *there, "resume")
    assert done.code == 0, done.err

    assert (project.path / "there/.headrace").is_dir()
    assert not project.home.exists()
    ask = "from metaflow import Flow, metadata; metadata('local@there'); print(len(list(Flow('Kept'))))"
    assert call(project, "-c", ask).out == "2\n"


def test_a_setting_of_headrace_goes_before_one_of_metaflow(project: Project) -> None:
    project.write(FLOW, "kept.py")
    (project.path / "fixed").touch()
    there = {"METAFLOW_DATASTORE_SYSROOT_LOCAL": "there"}

    assert call(project, "kept.py", "run", HEADRACE_HOME=str(project.home), **there).code == 0
    (project.path / "pyproject.toml").write_text('[tool.headrace]\nhome = ".headrace"\n')
    assert call(project, "kept.py", "run", **there).code == 0

    assert project.last().number == 2
    assert not (project.path / "there").exists()


def test_headrace_run_and_runner_find_the_run_there(project: Project) -> None:
    project.write(FLOW, "kept.py")
    where = {"METAFLOW_DATASTORE_SYSROOT_LOCAL": "there"}
    main = ("-c", "from headrace.cli.main import main; main()", "run")

    done = call(project, *main, "kept.py", **where)
    assert f"HEADRACE_HOME={project.path}/there/.headrace headrace resume Kept/1" in done.err
    (project.path / "fixed").touch()
    assert '"run": "Kept/2"' in call(project, *main, "--json", "kept.py", **where).out

    ask = "from metaflow import Runner; print(Runner('kept.py', ROOT, show_output=False).run().run)"
    assert call(project, "-c", ask.replace("ROOT, ", ""), **where).out == "Run('Kept/3')\n"
    assert call(project, "-c", ask.replace("ROOT", "datastore_root='there'")).out == "Run('Kept/4')\n"
    assert not project.home.exists()
