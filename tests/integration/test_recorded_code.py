"""Going on with a run where the files of its flow are not, or are others: from the code that the run kept."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

from headrace import wiring
from headrace.services.code.recorded_code import code_of
from headrace.settings import Settings
from headrace.stores.metadata.protocol import RunFilter

FLOW = """
import os, sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "src"))
import headrace
from headrace import flow, step
from shop import times

class Kept:
    def __init__(self, value):
        self.value = value

HERE = Path(__file__).parent
PLACES = {"data": str(HERE / "data")}

@step
def first(n: int) -> Kept:
    print("first ran")
    assert os.path.isdir(PLACES["data"])
    return Kept(times(n))

@step
def second(kept: Kept) -> int:
    if "BROKEN" in os.environ:
        raise ValueError("not yet")
    return kept.value + int((HERE / "data/offset.txt").read_text())

@flow
def train(n: int = 2) -> int:
    return second(first(n))

if __name__ == "__main__":
    print(train())
"""
SHOP = """
def times(n):
    from shop import late  # imported by a task only
    return n * late.FACTOR
"""


class Place(NamedTuple):
    """A project with its flow, a home elsewhere for its runs, and another folder that has none of it."""

    project: Path
    home: Path
    other: Path

    def call(self, *words: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")}
        return subprocess.run(
            [sys.executable, *words],
            cwd=cwd or self.other,
            env={**clean, "HEADRACE_HOME": str(self.home), **env},
            capture_output=True,
            text=True,
            timeout=120,
        )

    def headrace(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        return self.call("-m", "headrace", *words, **env)

    def succeed(self, *words: str, **env: str) -> str:
        done = self.headrace(*words, **env)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @property
    def workspace(self) -> wiring.Workspace:
        return wiring.Workspace(Settings(home=str(self.home)))


def lay_out(project: Path) -> None:
    for path, text in {
        "pyproject.toml": '[tool.headrace]\ninclude = ["data/*.txt"]\n',
        "train.py": FLOW,
        "src/shop/__init__.py": SHOP,
        "src/shop/late.py": "FACTOR = 5\n",
        "data/offset.txt": "1",
    }.items():
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text(text)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A run of the flow has failed in its second step."""
    made = Place(tmp_path / "project", tmp_path / "home", tmp_path / "other")
    lay_out(made.project)
    made.other.mkdir()
    done = made.call("train.py", cwd=made.project, BROKEN="yes")
    assert "ValueError: not yet" in done.stderr
    return made


def test_the_package_has_what_the_flow_can_reach(place: Place) -> None:
    listed = place.succeed("code", "train")
    for path in ("train.py", "src/shop/__init__.py", "src/shop/late.py", "data/offset.txt"):
        assert f"{path} " in listed
    place.succeed("code", "train", "--extract", "here")
    assert (place.other / "here/train.py").read_text() == FLOW
    again = place.headrace("code", "train", "--extract", "here")
    assert (again.returncode, "here is not empty" in again.stderr) == (2, True)


def test_code_is_read_through_the_client(place: Place) -> None:
    script = """
    import headrace
    code = headrace.Run("train/1").code
    code.extract("there")
    print(len(code), code.entry, len(code.digest), code["data/offset.txt"].decode())
    try:
        code["data/offsets.txt"]
    except KeyError as error:
        print("data/offset.txt" in str(error))
    """
    done = place.call("-c", textwrap.dedent(script))
    assert done.stdout.split() == ["4", "train.py:train", "64", "1", "True"], done.stderr
    assert (place.other / "there/src/shop/late.py").read_text() == "FACTOR = 5\n"


def test_resume_elsewhere_after_the_source_is_gone(place: Place) -> None:
    shutil.rmtree(place.project)
    refused = place.headrace("resume", "train")
    assert refused.returncode == 2
    assert "train.py, the file of run train/1, is not here" in refused.stderr
    assert "headrace resume train/1 --code recorded" in refused.stderr

    failed = place.headrace("resume", "train/1", "--code", "recorded", BROKEN="yes")
    assert failed.returncode == 1
    assert "headrace resume train/1 --code recorded" in failed.stdout, "the next try needs the option too"

    done = place.headrace("resume", "train/1", "--code", "recorded")
    assert done.returncode == 0, done.stderr
    assert "1 reused" in done.stdout
    assert "its code changed" not in done.stdout + done.stderr
    assert "first ran" not in done.stdout + done.stderr
    assert place.succeed("get", "train/1").strip() == "11"
    assert f"{place.project}/train.py:train" in place.succeed("show", "train/1")


def test_recorded_code_is_used_although_the_file_changed(place: Place) -> None:
    (place.project / "src/shop/late.py").write_text("FACTOR = 100\n")
    (place.project / "data/offset.txt").write_text("1000")
    place.succeed("resume", "train", "--code=recorded", "--from", "first")
    assert place.succeed("get", "train/1").strip() == "11"
    place.succeed("resume", "train", "--from", "first")
    assert place.succeed("get", "train/1").strip() == "1200"


def test_modules_of_the_working_directory_do_not_stand_in_for_recorded_ones(place: Place) -> None:
    shutil.rmtree(place.project)
    (place.other / "shop.py").write_text("raise RuntimeError('the wrong module')")
    (place.other / "train.py").write_text("raise RuntimeError('the wrong flow')")
    place.succeed("resume", "train", "--code", "recorded", "--from", "first", "--n", "3")
    assert place.succeed("get", "train/1").strip() == "16"


def test_resume_in_a_process_that_has_the_changed_modules(place: Place) -> None:
    (place.project / "src/shop/late.py").write_text("FACTOR = 100\n")
    script = """
    import sys; sys.path[:0] = [sys.argv[1], sys.argv[1] + "/src"]
    import headrace, shop.late, train
    run = headrace.resume("train/1", code="recorded", again="first")
    print(run.result, run.code.entry, shop.late.FACTOR)
    """
    done = place.call("-c", "\n".join(line.strip() for line in script.splitlines()), str(place.project))
    assert done.stdout.split() == ["11", "train.py:train", "100"], done.stderr


def test_an_exported_run_is_resumed_on_another_machine(place: Place, tmp_path: Path) -> None:
    place.succeed("export", "train/1", "moved.run")
    shutil.rmtree(place.project)
    shutil.rmtree(place.home)
    place.succeed("import", "moved.run")
    place.succeed("resume", "train/1", "--code", "recorded")
    assert place.succeed("get", "train/1").strip() == "11"


def test_the_folder_of_a_package_is_private_and_repaired(place: Place) -> None:
    shutil.rmtree(place.project)
    place.succeed("resume", "train", "--code", "recorded")
    [folder] = [one for one in (place.home / "code").iterdir() if one.is_dir()]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "train.py").stat().st_mode) == 0o444
    (folder / "train.py").chmod(0o644)
    (folder / "train.py").write_text("raise RuntimeError('somebody was here')")
    place.succeed("resume", "train", "--code", "recorded", "--from", "second")
    assert (folder / "train.py").read_text() == FLOW
    names = {one.name for one in (place.home / "code").iterdir() if ".known" not in one.name}
    assert names == {folder.name, f"{folder.name}.manifest"}


def test_a_missing_file_of_the_package_is_named(place: Place) -> None:
    workspace = place.workspace
    [run] = workspace.metadata_of("default").runs(RunFilter())
    whole = workspace.metadata.run_by_id(run.id)
    assert whole is not None
    blob = code_of(whole, workspace.artifacts).files["train.py"]
    workspace.artifacts.delete([blob.digest])
    workspace.close()
    done = place.headrace("resume", "train", "--code", "recorded")
    assert done.returncode == 1
    assert blob.hex in done.stderr
    assert not [one for one in (place.home / "code").iterdir() if one.is_dir()]


def test_a_flow_of_a_package_is_loaded_by_its_name(tmp_path: Path) -> None:
    place = Place(tmp_path / "project", tmp_path / "home", tmp_path / "other")
    place.other.mkdir()
    package = place.project / "pkg"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "inner.py").write_text("X = 4\n")
    (package / "train.py").write_text(
        "import os\nfrom headrace import flow, step\nfrom .inner import X\n"
        "@step\ndef first() -> int:\n    return X\n"
        "@step\ndef second(x: int) -> int:\n    assert 'BROKEN' not in os.environ\n    return x + 1\n"
        "@flow\ndef train() -> int:\n    return second(first())\n"
        "if __name__ == '__main__':\n    train()\n"
    )
    place.call("-m", "pkg.train", cwd=place.project, BROKEN="yes")
    shutil.rmtree(place.project)
    done = place.headrace("resume", "train", "--code", "recorded")
    assert done.returncode == 0, done.stderr
    assert "1 reused" in done.stdout
    assert place.succeed("get", "train/1").strip() == "5"


def test_a_metaflow_run_is_resumed_from_recorded_code(tmp_path: Path) -> None:
    place = Place(tmp_path / "project", tmp_path / "home", tmp_path / "other")
    place.other.mkdir()
    place.project.mkdir()
    (place.project / "helper.py").write_text("X = 4\n")
    (place.project / "sums.py").write_text(
        "import os\nfrom metaflow import FlowSpec, step\n"
        "class Sums(FlowSpec):\n"
        "    @step\n    def start(self):\n        import helper\n        self.x = helper.X\n"
        "        self.next(self.end)\n"
        "    @step\n    def end(self):\n        assert 'BROKEN' not in os.environ\n        self.y = self.x + 1\n"
        "if __name__ == '__main__':\n    Sums()\n"
    )
    failed = place.headrace("run", str(place.project / "sums.py"), BROKEN="yes")
    assert failed.returncode == 1
    assert "helper.py" in place.succeed("code", "Sums")
    shutil.rmtree(place.project)
    refused = place.headrace("resume", "Sums")
    assert "--code recorded" in refused.stderr
    place.succeed("resume", "Sums", "--code", "recorded")
    assert "5" in place.succeed("artifacts", "Sums/1/end")


def test_a_run_of_before_there_were_packages_is_resumed_from_its_sources(tmp_path: Path) -> None:
    """The store was made by commit d06bfe5, in a folder that is not here."""
    place = Place(tmp_path / "project", tmp_path / "home", tmp_path / "other")
    place.other.mkdir()
    with zipfile.ZipFile(Path(__file__).parent / "stores/d06bfe5.zip") as archive:
        archive.extractall(place.home)
    assert "helper.py" in place.succeed("code", "train/1")
    assert "train.FACTOR" in place.succeed("explain", "train/1/fit/1")
    shown = "run['fit'][1].result.weight, *run.sources, run.code.digest"
    assert place.call("-c", f"import headrace; run = headrace.Run('train/1'); print({shown})").stdout.split() == [
        "6",
        "helper.py",
        "train.py",
    ]
    assert "--code recorded" in place.headrace("resume", "train").stderr
    place.succeed("resume", "train", "--code", "recorded", "--reuse-changed")
    assert place.succeed("get", "train/1").strip() == "7"
    assert "package" in place.succeed("code", "train/1")


def test_project_and_commit_stay_those_where_the_run_began(place: Place) -> None:
    before = place.succeed("show", "train/1", "--json")
    shutil.rmtree(place.project)
    place.succeed("resume", "train", "--code", "recorded")
    read = "d = headrace.Run('train/1')._reader.details(); print(d.root, d.code.module, d.code.entry)"
    found = place.call("-c", f"import headrace; {read}").stdout.split()
    assert found == [str(place.project), "train", "train.py:train"]
    digests = [
        json.loads(text)["surroundings"]["code"]["digest"]
        for text in (before, place.succeed("show", "train/1", "--json"))
    ]
    assert digests[0] == digests[1]
