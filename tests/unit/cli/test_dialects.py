"""What ``headrace run`` takes a file for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from headrace.cli.dialects import Target, target_of
from headrace.model.errors import UsageError

MAIN = "\nif __name__ == '__main__':\n    {}()\n"
NATIVE = "from headrace import flow\n@flow\ndef train(): ...\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "library.py").write_text("from metaflow import FlowSpec\nclass Far(FlowSpec): ...\nclass No: ...\n")
    (tmp_path / "between.py").write_text("from library import Far as Nearer\n")
    (tmp_path / "package").mkdir()
    (tmp_path / "package/__init__.py").write_text("")
    (tmp_path / "package/inner.py").write_text("import metaflow.plugins\nclass Inner(metaflow.FlowSpec): ...\n")
    (tmp_path / "package/outer.py").write_text(
        "from .inner import Inner\nclass Outer(Inner): ..." + MAIN.format("Outer")
    )
    (tmp_path / "round.py").write_text("from train import Mine\nclass Round(Mine): ...\n")
    return tmp_path


@pytest.mark.parametrize(
    "text",
    [
        "from metaflow import FlowSpec, step\nclass A(FlowSpec): ...",
        "from metaflow import (\n    step,\n    FlowSpec,\n)\nclass A(FlowSpec): ...",
        "import metaflow as mf\nclass A(mf.FlowSpec): ...",
        "import metaflow\nclass A(metaflow.FlowSpec): ...",
        "from metaflow import *\nclass A(FlowSpec): ...",
        "from metaflow import FlowSpec as Base\nclass Between(Base): ...\nclass A(Between): ...",
        "try:\n    from metaflow import FlowSpec\nexcept ImportError:\n    raise\nclass A(FlowSpec): ...",
        "from headrace.metaflow import FlowSpec\nclass A(FlowSpec): ...",
        "from library import Far as A",
        "from library import *\nA = Far\nclass A(Far): ...",
        "import library\nclass A(library.Far): ...",
        "from between import Nearer\nclass A(Nearer): ...",
        "from package.inner import Inner\nclass A(Inner): ...",
        "from package import inner\nclass A(inner.Inner): ...",
        "# headrace and its metaflow\nimport headrace\nfrom metaflow import FlowSpec\nclass A(FlowSpec): ...",
    ],
)
def test_metaflow_files(here: Path, text: str) -> None:
    (here / "train.py").write_text(text + MAIN.format("A"))
    assert target_of("train.py") == Target("metaflow", "train.py")
    assert target_of(str(here / "train.py:A")) == Target("metaflow", str(here / "train.py"))


def test_a_class_that_is_called_by_its_module(here: Path) -> None:
    (here / "train.py").write_text("import library" + MAIN.format("library.Far"))
    assert target_of("train.py") == Target("metaflow", "train.py")


def test_a_file_in_a_package_with_relative_imports(here: Path) -> None:
    assert target_of("package/outer.py") == Target("metaflow", "package/outer.py")


def test_modules_on_the_python_path(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = here / "elsewhere"
    folder.mkdir()
    (folder / "train.py").write_text("from library import Far" + MAIN.format("Far"))
    assert target_of("elsewhere/train.py").dialect == "native"
    monkeypatch.setenv("PYTHONPATH", str(here))
    assert target_of("elsewhere/train.py").dialect == "metaflow"


@pytest.mark.parametrize(
    "text",
    [
        NATIVE,
        NATIVE + "# as metaflow's FlowSpec\n",
        "import headrace as h\nfrom metaflow import Flow\n@h.flow(name='x')\ndef train(): print(Flow('FlowSpec'))",
        "from metaflow import Run\nprint(Run('FlowSpec/1'))",
        "from library import No\nNo()",
        "from library import Far",
        "class FlowSpec: ...\nclass A(FlowSpec): ...\nA()  # metaflow",
        "from headrace.metaflow import subflow\nfrom headrace import flow\ntrain = subflow('other.py')\n",
        "from absent import Far\nFar()",
        "this is no Python, metaflow",
        "x = 1\n",
        "",
    ],
)
def test_native_files(here: Path, text: str) -> None:
    (here / "train.py").write_text(text)
    assert target_of("train.py") == Target("native", "train.py")
    assert target_of("train.py:train") == Target("native", "train.py:train")


@pytest.mark.parametrize("target", ["none.py", "none.py:train", "some.module", "some.module:train", "folder"])
def test_what_is_no_file_is_left_to_who_loads_flows(here: Path, target: str) -> None:
    (here / "folder").mkdir()
    assert target_of(target) == Target("native", target)


def test_modules_that_import_each_other_come_to_an_end(here: Path) -> None:
    (here / "train.py").write_text("from round import Round\nclass Mine(Round): ...\nMine()")
    assert target_of("train.py").dialect == "native"


class TestBoth:
    """A file with flows of both kinds."""

    METAFLOW = "from metaflow import FlowSpec\nclass A(FlowSpec): ...\n"

    def test_one_must_be_chosen(self, here: Path) -> None:
        (here / "train.py").write_text(NATIVE + self.METAFLOW + MAIN.format("A"))
        with pytest.raises(UsageError, match=r"(?s)native flows and Metaflow flows.*train.py:train\n.*train.py:A"):
            target_of("train.py")
        assert target_of("train.py:A") == Target("metaflow", "train.py")
        assert target_of("train.py:train") == Target("native", "train.py:train", mixed=True)

    def test_one_that_the_script_does_not_run_is_no_choice(self, here: Path) -> None:
        (here / "train.py").write_text(NATIVE + self.METAFLOW + MAIN.format("train"))
        assert target_of("train.py") == Target("native", "train.py", mixed=True)


@pytest.mark.parametrize(
    ("text", "target", "message"),
    [
        (
            "",
            "train.py",
            r"train.py defines A and does not run it: end it with\n  if __name__ == \"__main__\":\n      A\(\)",
        ),
        (MAIN.format("A"), "train.py:B", "no flow 'B' in train.py; flows in it: A"),
        ("class B(A): ..." + MAIN.format("A"), "train.py:B", r"train.py runs A, as a script, and not B(?s:.*)B\(\)"),
    ],
)
def test_what_cannot_run_is_said_before(here: Path, text: str, target: str, message: str) -> None:
    (here / "train.py").write_text("from metaflow import FlowSpec\nclass A(FlowSpec): ...\n" + text)
    with pytest.raises(UsageError, match=message):
        target_of(target)


def test_a_flow_that_a_function_of_the_script_runs(here: Path) -> None:
    (here / "train.py").write_text(
        "from metaflow import FlowSpec\nclass A(FlowSpec): ...\ndef main(cls): cls()\n"
        "if __name__ == '__main__': main(A)"
    )
    assert target_of("train.py") == Target("metaflow", "train.py")


@pytest.mark.parametrize(
    ("name", "text"),
    [("p.yaml", "pipelineInfo: x\n"), ("w.yml", "kind: Workflow\n"), ("x.json", '{"pipelineInfo": 1}')],
)
def test_files_with_keys_of_a_pipeline_are_kubeflow_pipelines(here: Path, name: str, text: str) -> None:
    (here / name).write_text(text)
    assert target_of(name).dialect == "kfp"


@pytest.mark.parametrize(("name", "text"), [("x.json", "{}"), ("x.yaml", "a: 1\n")])
def test_other_files_are_no_flows(here: Path, name: str, text: str) -> None:
    (here / name).write_text(text)
    with pytest.raises(UsageError, match="is not a flow"):
        target_of(name)


# --- standing in for the package ----------------------------------------------------------------------------------


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of installed packages of an environment."""
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_an_environment_finds_the_dialect_by_itself(packages: Path, call: Any) -> None:
    shim = call("dialect", "metaflow").out
    assert call("dialect", "metaflow", "--install").code == 0
    code = f"import site; site.addsitedir({str(packages)!r}); import metaflow; print(metaflow.FlowSpec.__module__)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.startswith("headrace.")
    assert call("dialect", "metaflow", "--install").code == 0, "again is the same as once"
    assert (packages / "headrace-metaflow.pth").read_text() == shim
    assert "is removed" in call("dialect", "metaflow", "--uninstall").out
    assert not list(packages.iterdir())
    assert "nothing to undo" in call("dialect", "metaflow", "--uninstall").out


def test_the_package_itself_would_be_found_first(packages: Path, call: Any) -> None:
    (packages / "metaflow").mkdir()
    (packages / "metaflow" / "__init__.py").touch()
    done = call("dialect", "metaflow", "--install")
    assert done.code == 2
    assert f"{packages}/metaflow" in done.err
    assert "pip uninstall metaflow" in done.err
    assert not (packages / "headrace-metaflow.pth").exists()


def test_an_environment_that_cannot_be_written_to(packages: Path, call: Any) -> None:
    (packages / "headrace-metaflow.pth").mkdir()
    done = call("dialect", "metaflow", "--install")
    assert done.code == 2
    assert "virtual environment" in done.err
    assert call("dialect", "metaflow", "--install", "--uninstall").code == 2


@pytest.mark.parametrize("target", ["pipe.yaml", "pipe.yaml:main", "folder/pipe.json"])
def test_pipeline_whose_file_is_missing_is_not_looked_for_among_modules(here: Path, target: str) -> None:
    (here / "pipe.py").write_text("raise AssertionError")
    with pytest.raises(UsageError, match=r"^no such file: .*pipe\.(yaml|json)$"):
        target_of(target)
