"""``headrace run`` with files of all kinds, with the real metaflow installed beside Headrace, and without."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

harness: Any = sys.modules["compat_metaflow_harness"]

BODY = """\
    @{0}step
    def start(self):
        import metaflow
        self.home, self.here = metaflow.__file__, __import__("os").getcwd()
        {1}
        self.next(self.end)
    @{0}step
    def end(self):
        print("ended", self.name)
"""
MAIN = "if __name__ == '__main__':\n    {}()\n"
NATIVE = """
import metaflow
from headrace import flow, step
@step
def one():
    return metaflow.__file__
@flow
def native(fail: bool = False):
    assert not fail
    return one()
"""
FAIL = "assert __import__('os').path.exists('go')"


def flow(imports: str, head: str, module: str = "", more: str = "", ending: str = "") -> str:
    """The text of a file with one flow: ``class`` and ``head``, with ``more`` in its first step."""
    end = MAIN.format(ending) if ending else ""
    return f"{imports}\nclass {head}\n{BODY.format(module, more)}{end}"


FILES = {
    "renamed.py": flow("import metaflow as mf", "Renamed(mf.FlowSpec):", "mf.", ending="Renamed"),
    "lines.py": flow("from metaflow import (\n    FlowSpec,\n    step,\n)", "Lines(FlowSpec):", ending="Lines"),
    "new.py": flow("from headrace.metaflow import FlowSpec, step", "New(FlowSpec):", ending="New"),
    "library.py": flow("from metaflow import FlowSpec, step", "Far(FlowSpec):"),
    "imports.py": "from library import Far\n" + MAIN.format("Far"),
    "derived.py": "import library\nclass Derived(library.Far): ...\n" + MAIN.format("Derived"),
    "failing.py": flow("from metaflow import FlowSpec, step", "Fails(FlowSpec):", more=FAIL),
    "imports_failing.py": "import failing\n" + MAIN.format("failing.Fails"),
    "sub/reads.py": flow(
        "from metaflow import FlowSpec, IncludeFile, step\nimport helper",
        "Reads(FlowSpec):\n    text = IncludeFile('text', default='data.txt')",
        more="self.read = helper.WORD + open('data.txt').read() + self.text",
        ending="Reads",
    ),
    "sub/helper.py": "WORD = 'help'\n",
    "sub/data.txt": "data of sub\n",
    "data.txt": "data above\n",
    "both.py": flow(NATIVE, "Other(metaflow.FlowSpec):", "metaflow.", ending="Other"),
}


class Place:
    """A folder with the files, and a way to call ``headrace`` there."""

    def __init__(self, python: str, path: Path) -> None:
        self.path = path
        for name, text in FILES.items():
            file = path / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        self.command = [python, "-c", "import sys; from headrace.cli.main import main; sys.exit(main())"]
        self.env = {**harness.environment(path, python, True), "HEADRACE_HOME": str(path / ".headrace")}
        if python != sys.executable:  # that has Headrace no more than this environment has metaflow
            packages = [one for one in sys.path if one.endswith("site-packages")]
            self.env["PYTHONPATH"] = os.pathsep.join([str(harness.ROOT / "src"), *packages])

    def call(self, *arguments: str, folder: str = "") -> subprocess.CompletedProcess[str]:
        """``headrace *arguments``."""
        done: subprocess.CompletedProcess[str] = harness.process(
            [*self.command, *arguments], self.path / folder, self.env
        )
        return done

    def run(self, target: str, flow: str, *, folder: str = "") -> None:
        """Run a Metaflow flow to its good end, with ours in place of the real one."""
        done = self.call("run", target, folder=folder)
        assert done.returncode == 0, done.stderr
        assert f"ended {flow}" in done.stdout
        assert self.get(f"{flow}/1/start/1", "home").startswith(str(harness.ROOT / "src"))
        assert Path(self.get(f"{flow}/1/start/1", "here")) == self.path / folder

    def get(self, name: str, artifact: str) -> str:
        """An artifact, through the command line."""
        done = self.call("get", f"{name}/{artifact}")
        assert done.returncode == 0, done.stderr
        return str(done.stdout).rstrip("\n")


@pytest.fixture(params=["absent", "installed"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "absent":
        return Place(sys.executable, tmp_path)
    place = Place(request.getfixturevalue("real_python"), tmp_path)
    check = "import metaflow, headrace; print(metaflow.__version__)"
    asked = harness.process([place.command[0], "-c", check], tmp_path, place.env)
    assert asked.stdout.strip() == harness.VERSION, asked.stderr
    return place


@pytest.mark.parametrize(
    ("target", "flow"),
    [
        ("renamed.py", "Renamed"),
        ("lines.py:Lines", "Lines"),
        ("imports.py", "Far"),
        ("derived.py", "Derived"),
        ("new.py", "New"),
        ("both.py:Other", "Other"),
    ],
)
def test_metaflow_files(place: Place, target: str, flow: str) -> None:
    place.run(target, flow)


def test_relative_files_are_looked_for_where_one_is(place: Place) -> None:
    place.run("reads.py", "Reads", folder="sub")
    assert place.get("Reads/1/start/1", "read") == "helpdata of sub\ndata of sub"
    done = place.call("run", "sub/reads.py")
    assert done.returncode == 0, done.stderr
    assert place.get("Reads/2/start/1", "read") == "helpdata above\ndata above"


def test_a_run_of_an_imported_class_is_resumed_by_its_script(place: Place) -> None:
    assert place.call("run", "imports_failing.py").returncode == 1
    (place.path / "sub/go").touch()
    done = place.call("resume", "Fails/1", folder="sub")
    assert done.returncode == 0, done.stderr
    assert "ended Fails" in done.stdout


def test_a_class_that_nothing_runs_is_an_error_that_says_so(place: Place) -> None:
    done = place.call("run", "library.py")
    assert done.returncode == 2
    assert "library.py defines Far and does not run it" in done.stderr


def test_a_file_with_flows_of_both_kinds_wants_a_choice(place: Place) -> None:
    done = place.call("run", "both.py")
    assert done.returncode == 2
    assert "  both.py:native\n  both.py:Other" in done.stderr


def test_the_native_flow_of_such_a_file_runs_and_is_resumed(place: Place) -> None:
    done = place.call("run", "both.py:native", "--fail", "true")
    assert done.returncode == 1, done.stderr
    done = place.call("resume", "native/1", "--fail", "false", folder="sub")
    assert done.returncode == 0, done.stderr
    assert place.get("native/1/one/1", "result").startswith(str(harness.ROOT / "src"))
