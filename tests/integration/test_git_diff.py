"""The diff of a run's repository never holds the run up, and what is missing of it is said."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from headrace.services import gitdiff
from headrace.services.code.recorded_code import code_of
from headrace.services.describe import details_of
from headrace.services.gitdiff import Diff, GitDiff
from headrace.stores.artifacts.local import LocalStore

if TYPE_CHECKING:
    from tests.integration.conftest import Project

    from headrace.model.records import RunDetails


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    (tmp_path / "notes.txt").write_text("one\n")
    (tmp_path / ".gitignore").write_text(".headrace\n*.py\nbin\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    return tmp_path


def begun(folder: Path) -> GitDiff:
    diff = GitDiff(str(folder))
    diff.start()
    return diff


def fake_git(folder: Path, script: str) -> str:
    """A ``PATH`` on which git is ``script``."""
    program = folder / "bin" / "git"
    program.parent.mkdir(exist_ok=True)
    program.write_text("#!/bin/sh\n" + script)
    program.chmod(0o755)
    return f"{program.parent}{os.pathsep}{os.environ['PATH']}"


# --- git itself ---------------------------------------------------------------------------------------------------


def test_diff_of_a_repository(repository: Path) -> None:
    assert begun(repository).read() == Diff(b"")
    (repository / "notes.txt").write_text("two\n")
    found = begun(repository).read()
    assert found.content is not None
    assert b"+two" in found.content
    assert found.left_out == ""


def test_long_diff_is_cut(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gitdiff, "DIFF_LIMIT", 1 << 20)
    (repository / "notes.txt").write_text("line\n" * 1_000_000)
    found = begun(repository).read()
    assert found.content is not None
    assert found.content.endswith(b"\n... cut off here\n")
    assert len(found.content) < (1 << 20) + 100
    assert found.left_out == "cut after 1 MiB"


@pytest.mark.parametrize(
    ("script", "left_out"),
    [
        ("sleep 60", "git took longer than 1 s"),
        ("sleep 60 & wait", "git took longer than 1 s"),
        ("yes", "cut after 8 MiB"),
        ("exit 128", "git ended with exit code 128"),
        ("kill -SEGV $$", "git ended with exit code"),
    ],
)
def test_git_that_goes_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, left_out: str) -> None:
    monkeypatch.setattr(gitdiff, "DIFF_SECONDS", 1.0)
    monkeypatch.setenv("PATH", fake_git(tmp_path, script))
    began = time.monotonic()
    found = begun(tmp_path).read()
    assert left_out in found.left_out
    assert time.monotonic() - began < 20


def test_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "cannot be started" in begun(tmp_path).read().left_out


def test_diff_that_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", fake_git(tmp_path, f"touch {tmp_path}/begun; sleep 60 & wait"))
    diff, found = begun(tmp_path), []
    reader = threading.Thread(target=lambda: found.append(diff.read()))
    reader.start()
    while not (tmp_path / "begun").exists():
        time.sleep(0.01)
    diff.close()
    reader.join(30)
    assert found == [Diff(None, "the run ended before git did")]
    assert GitDiffStopped(tmp_path).read().left_out == "the run ended first"


def GitDiffStopped(folder: Path) -> GitDiff:
    diff = begun(folder)
    diff.close()
    return diff


# --- runs ---------------------------------------------------------------------------------------------------------

HELLO = """
@step
def one() -> int:
    return 1

@flow
def hello() -> int:
    return one()

if __name__ == "__main__":
    print(hello())
"""

PATIENT = """
from pathlib import Path

@step
def one() -> int:
    while not Path("enough").exists():
        time.sleep(0.01)
    return 1

@flow
def hello() -> int:
    return one()

if __name__ == "__main__":
    print(hello())
"""

TRACKED = """
with headrace.track("tracked"):
    headrace.log_metric("x", 1)
"""


def details(project: Project) -> RunDetails:
    run = project.metadata.run_by_id(project.last().id)
    assert run is not None
    return details_of(run)


def code_of_last(project: Project) -> set[str]:
    run = project.metadata.run_by_id(project.last().id)
    assert run is not None
    return set(code_of(run, LocalStore(project.home / "artifacts")).files)


def test_run_records_the_diff(project: Project, repository: Path) -> None:
    (repository / "notes.txt").write_text("two\n")
    process = project.start(str(project.write(PATIENT)))
    project.eventually((project.home / "metadata.db").exists, 30)
    project.eventually(lambda: project.metadata.latest_run() is not None, 30)
    project.eventually(lambda: details(project).git_diff, 30)
    (repository / "enough").touch()
    assert project.finish(process).code == 0
    assert project.last().git_dirty
    assert details(project).left_out == {}
    assert code_of_last(project) == {"train.py"}


@pytest.mark.parametrize("script", ["sleep 60", "sleep 60 & wait", "trap '' TERM INT HUP; while :; do sleep 1; done"])
@pytest.mark.parametrize("text", [HELLO, TRACKED], ids=["flow", "tracked"])
def test_git_that_hangs_does_not_hold_up_a_run(project: Project, repository: Path, script: str, text: str) -> None:
    quick = project.run(text).seconds
    done = project.run(text, PATH=fake_git(repository, script))
    assert done.code == 0, done.err
    assert done.seconds < quick + 5
    project.assert_nothing_left(10)
    run = project.last()
    assert run.git_commit
    found = details(project)
    assert "the run ended" in found.left_out["git diff"]
    assert code_of_last(project) == {"train.py"}
    shown = project.finish(project.start("-m", "headrace", "show", run.name))
    assert "git diff: the run ended" in shown.out


def test_failure_to_record_the_surroundings_is_said(project: Project, repository: Path) -> None:
    done = project.run(
        """
        from headrace.services import provenance

        def refuse(*_):
            raise OSError("the drive is gone")

        provenance._platform = refuse
        """
        + HELLO.replace("\n", "\n        "),
        HEADRACE_LOG="text",
    )
    assert done.code == 0, done.err
    assert "cannot be recorded: OSError: the drive is gone" in done.err
    assert details(project).left_out == {"surroundings": "OSError: the drive is gone"}
