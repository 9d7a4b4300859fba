from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import headrace.services.provenance as provenance
from headrace.model.records import RunDetails
from headrace.services.provenance import (
    environment_digest,
    git_commit,
    installed_packages,
    snapshot,
    with_diff,
)
from headrace.stores.artifacts.memory import MemoryStore


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", *identity, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    (folder / "sub").mkdir(parents=True)
    git(folder, "init", "-q")
    (folder / "train.py").write_text("x = 1\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "one")
    return folder


def test_the_rest_of_the_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "somebody")
    monkeypatch.chdir(tmp_path)
    found = snapshot("")
    assert found.user == "somebody"
    assert found.pid == os.getpid()
    assert found.details.cwd == str(tmp_path)
    assert found.details.python == ".".join(map(str, sys.version_info[:3]))
    assert found.details.packages["msgspec"] == __import__("msgspec").__version__
    assert "pytest-timeout" in found.details.packages
    assert found.git_commit == ""


def test_without_a_name_a_user_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("LOGNAME", "USER"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)
    assert provenance.user_name() == str(2**31 - 7)


def test_packages_are_those_of_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "one", tmp_path / "site-packages"
    for folder, name in (
        (first, "Some_Thing-1.0.dist-info"),
        (second, "some_thing-2.0.dist-info"),
        (second, "old-3.0-py3.11.egg-info"),
        (second, "nodash.egg-info"),
    ):
        (folder / name).mkdir(parents=True)
    monkeypatch.setattr(sys, "path", ["/bin", str(first), str(second), str(tmp_path / "gone")])
    assert installed_packages() == {"old": "3.0", "some-thing": "1.0"}
    monkeypatch.setattr(sys, "path", [str(first), str(second)])  # now the first is where the script lies
    assert installed_packages() == {"old": "3.0", "some-thing": "2.0"}


def test_the_environment_changes_with_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = environment_digest()
    assert len(before) == 32
    assert environment_digest() == before
    (tmp_path / "site-packages" / "new-1.dist-info").mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "site-packages")])
    assert environment_digest() != before


def test_the_commit_is_read_in_every_form(repository: Path, tmp_path: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    assert git_commit(str(repository)) == commit
    assert git_commit(str(repository / "sub")) == commit
    git(repository, "pack-refs", "--all")
    assert git_commit(str(repository)) == commit
    git(repository, "worktree", "add", "-q", str(tmp_path / "tree"), "-b", "feature/x")
    assert git_commit(str(tmp_path / "tree")) == commit
    git(repository, "checkout", "-q", "--detach")
    assert git_commit(str(repository)) == commit


def test_no_commit_where_there_is_none(tmp_path: Path) -> None:
    assert git_commit(str(tmp_path)) == ""
    git(tmp_path, "init", "-q")
    assert git_commit(str(tmp_path)) == ""


def test_the_diff_is_kept_when_there_is_one(repository: Path) -> None:
    store = MemoryStore()
    details = RunDetails()
    assert with_diff(details, b"", store) is details
    assert with_diff(details, None, store) is details
    kept_diff = with_diff(details, b"+x = 2", store).git_diff
    assert kept_diff is not None
    assert bytes(store.get(kept_diff)) == b"+x = 2"
