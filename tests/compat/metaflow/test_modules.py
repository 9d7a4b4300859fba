"""Every module of Metaflow's wheel can be imported with ours in its place, with the names that it defines."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

harness: Any = sys.modules["compat_metaflow_harness"]

#: Imports all modules of a file of names and looks at their names; prints what fails.
ASK = """
import importlib, json, sys
for module, names in json.load(open(sys.argv[1])).items():
    try:
        found = importlib.import_module(module)
    except BaseException as error:
        print(module, repr(error))
        continue
    for name in names:
        try:
            getattr(found, name)
        except BaseException as error:
            print(module, name, repr(error))
"""


def ours(*argv: str, folder: Path) -> subprocess.CompletedProcess[str]:
    env = harness.environment(folder, sys.executable, real=False)
    done: subprocess.CompletedProcess[str] = harness.process([sys.executable, *argv], folder, env)
    return done


def defined(file: Path) -> list[str]:
    """The public names that a module defines itself."""
    names: list[str] = []
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            names.append(node.name)
        elif isinstance(node, ast.Assign):
            names += [one.id for one in node.targets if isinstance(one, ast.Name)]
    return [one for one in names if not one.startswith("_")]


def test_every_module_of_the_wheel_and_its_names_can_be_imported(real_python: str, tmp_path: Path) -> None:
    where = "import metaflow, os; print(os.path.dirname(metaflow.__file__))"
    top = Path(subprocess.run([real_python, "-c", where], capture_output=True, text=True, check=True).stdout.strip())
    wanted = {}
    for file in sorted(top.rglob("*.py")):
        parts = [one for one in file.relative_to(top.parent).with_suffix("").parts if one != "__init__"]
        if not {"_vendor", "tutorials"} & set(parts) and len(parts) > 1:
            wanted[".".join(parts)] = defined(file)
    assert len(wanted) > 250
    (tmp_path / "wanted.json").write_text(json.dumps(wanted))

    done = ours("-c", ASK, "wanted.json", folder=tmp_path)

    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (
            "from metaflow.plugins.aws.batch.batch import Batch; Batch()",
            "metaflow.plugins.aws.batch.batch.Batch is a part of Metaflow that Headrace does without",
        ),
        (
            "from metaflow.plugins.kubernetes.kube_utils import parse_cli_options as it; it('x')",
            "metaflow.plugins.kubernetes.kube_utils.parse_cli_options is a part of Metaflow",
        ),
        ("from metaflow.plugins.aws.batch.batch import Nothing", "ImportError: cannot import name 'Nothing'"),
        ("import metaflow.plugins.nothing", "ModuleNotFoundError: No module named 'metaflow.plugins.nothing'"),
    ],
)
def test_what_nothing_stands_behind_is_refused_when_it_is_used(tmp_path: Path, code: str, expected: str) -> None:
    done = ours("-c", code, folder=tmp_path)
    assert done.returncode == 1
    assert expected in done.stderr.strip().splitlines()[-1]


def test_exceptions_and_decorators_of_internal_modules_can_be_named(tmp_path: Path) -> None:
    code = """
from metaflow.plugins.aws.batch.batch import BatchException
from metaflow.exception import MetaflowException
from metaflow.plugins.retry_decorator import RetryDecorator
from metaflow._vendor import click
import metaflow.plugins.kubernetes.kubernetes_decorator as there
class Mine(there.KubernetesDecorator):
    pass
try:
    raise BatchException("why")
except MetaflowException as error:
    print(error, RetryDecorator.name, sorted(RetryDecorator.defaults), click.Option.__module__, Mine.name)
"""
    done = ours("-c", code, folder=tmp_path)
    assert done.stdout.strip() == "why retry ['minutes_between_retries', 'times'] click.core kubernetes", done.stderr
