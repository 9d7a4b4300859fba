"""Commands in R, Java, Go and Node, as ``examples/languages.py`` has them, and tables by Arrow."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import headrace
from headrace import command, flow

if TYPE_CHECKING:
    from tests.integration.conftest import Project

EXAMPLES = Path(__file__).parents[2] / "examples"


def require(*programs: str) -> None:
    missing = [one for one in programs if shutil.which(one) is None]
    if missing:
        said = f"{', '.join(missing)} not installed"
        pytest.fail(f".ci/run installs what is missing: {said}") if os.environ.get("CI") else pytest.skip(said)


@pytest.mark.timeout(600)  # the first time, go compiles its standard library
def test_five_languages_work_on_one_flow(here: Project) -> None:
    require("Rscript", "java", "go", "node")
    for name in ("languages.py", "languages"):
        (shutil.copytree if name == "languages" else shutil.copy)(EXAMPLES / name, here.path / name)
    asked = [sys.executable, "-m", "headrace", "run", "languages.py", "--share", "0.02"]
    done = subprocess.run(
        asked, cwd=here.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "minutes over" in done.stdout
    run = headrace.Run("languages")
    assert run.result.open().read().startswith("<svg")
    logged = {step: list(run[step][1].metrics) for step in ("load", "fit", "score", "sum_up", "draw")}
    assert logged == {
        "load": ["flights"],
        "fit": ["r squared"],
        "score": ["root mean square"],
        "sum_up": ["airlines"],
        "draw": ["bars"],
    }
    assert run.metrics["bars"].last == run.metrics["airlines"].last > 5
    _edit_java(here.path / "languages" / "Score.java")
    done = subprocess.run(
        asked, cwd=here.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    ran = {one.id.step for one in here.tasks() if here.attempts(one.id.step, one.id.number)}
    assert ran == {"score"}  # it prints another word, and its output is the same


def _run(here: Project) -> str:
    asked = [sys.executable, "-m", "headrace", "run", "languages.py", "--share", "0.02"]
    done = subprocess.run(asked, cwd=here.path, stdout=-1, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


def _edit_java(file: Path) -> None:
    file.write_text(file.read_text().replace('"predicted "', '"scored "'))


def test_table_passes_through_another_language_by_arrow(here: Project) -> None:
    """The other side reads and writes the Arrow IPC file by itself; here it is Python without Headrace."""
    import pandas as pd

    (here.path / "double.py").write_text(
        "import sys, pyarrow as pa, pyarrow.compute as pc\n"
        "table = pa.ipc.open_file(sys.argv[1]).read_all()\n"
        "table = table.set_column(0, 'a', pc.multiply(table['a'], 2))\n"
        "with pa.ipc.new_stream(sys.argv[2], table.schema) as writer: writer.write_table(table)\n"
    )
    made = command(
        [sys.executable, str(here.path / "double.py"), "{frame}", "{out}"],
        inputs={"frame": "frame"},
        outputs={"out": "frame"},
    )

    frame = pd.DataFrame({"a": [1, 2], "when": pd.to_datetime(["2013-01-01", None]), "c": ["x", None]})

    @flow
    def main() -> Any:
        return made(frame)

    pd.testing.assert_frame_equal(main(), frame.assign(a=[2, 4]))
