from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from blake3 import blake3

import headrace.services.provenance as provenance
from headrace.model.records import RunDetails
from headrace.model.values import Blob
from headrace.services.provenance import (
    environment_digest,
    git_commit,
    installed_packages,
    project_root,
    snapshot,
    with_diff,
)
from headrace.stores.artifacts.protocol import ArtifactStore


class Kept:
    """As much of an artifact store as is used here."""

    def __init__(self) -> None:
        self.blobs: dict[bytes, bytes] = {}

    def put(self, parts: Sequence[bytes]) -> Blob:
        content = b"".join(parts)
        digest = blake3(content).digest()
        self.blobs[digest] = content
        return Blob(digest, len(content))


def look(root_file: str | Path, kept: Kept) -> provenance.Snapshot:
    store: ArtifactStore = kept  # type: ignore[assignment]
    return snapshot(str(root_file), store)


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


def test_the_users_files_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "lib").mkdir()
    (tmp_path / "train.py").write_text("import prov_helper")
    (tmp_path / "lib" / "prov_helper.py").write_text("import prov_big")
    (tmp_path / "lib" / "prov_big.py").write_text("#" * (1 << 20) + "\n")
    (tmp_path / "lib" / "unused.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path / "lib")
    __import__("prov_helper")
    kept = Kept()
    found = look(tmp_path / "train.py", kept)
    for name in ("prov_helper", "prov_big"):
        del sys.modules[name]
    assert found.details.root == str(tmp_path)
    assert {path: kept.blobs[blob.digest] for path, blob in found.details.sources.items()} == {
        "train.py": b"import prov_helper",
        os.path.join("lib", "prov_helper.py"): b"import prov_big",
    }


def test_the_rest_of_the_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "somebody")
    monkeypatch.chdir(tmp_path)
    found = look("", Kept())
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


def test_the_project_is_the_nearest_folder_that_looks_like_one(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    assert project_root(str(deep / "train.py")) == str(deep)
    (tmp_path / "a" / "pyproject.toml").touch()
    assert project_root(str(deep / "train.py")) == str(tmp_path / "a")
    (deep / ".headrace").mkdir()
    assert project_root(str(deep / "train.py")) == str(deep)


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
    kept = Kept()
    store: ArtifactStore = kept  # type: ignore[assignment]
    details = RunDetails()
    assert with_diff(details, b"", store) is details
    assert with_diff(details, None, store) is details
    kept_diff = with_diff(details, b"+x = 2", store).git_diff
    assert kept_diff is not None
    assert kept.blobs[kept_diff.digest] == b"+x = 2"
