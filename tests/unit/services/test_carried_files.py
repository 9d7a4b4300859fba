"""Files that environments are made of go with the code, and are found there where the rest of the project is not."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.model.environments import DESCRIBED, Environment
from headrace.services.code.collect import CodeRules, collect
from headrace.services.environments.carried_files import carried_files
from headrace.services.environments.sources import content_of, read_source


@pytest.fixture(autouse=True)
def none_before() -> Iterator[None]:
    kept = dict(DESCRIBED)
    DESCRIBED.clear()
    yield
    DESCRIBED.clear()
    DESCRIBED.update(kept)


def test_files_of_environments_are_in_the_code_package_and_found_there(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "flows").mkdir(parents=True)
    (home / "pyproject.toml").write_text("[project]\nname='x'\nversion='1'\ndependencies=['six']\n")
    (home / "old.txt").write_text("six==1.16.0\n")
    (home / "flows" / "own.txt").write_text("six==1.15.0\n")
    flow = home / "flows" / "train.py"
    flow.write_text("")
    named = Environment(file=str(home / "old.txt"), name="old")
    own = Environment(file="own.txt")
    gone = Environment(file=str(home / "missing.txt"), name="gone")
    assert set(DESCRIBED) == {named, own, gone}
    found = collect(str(flow), CodeRules(), carried_files(f"{flow}:train"))
    assert set(found.files) == {"flows/train.py", "flows/own.txt", "flows/.environments/old/old.txt"}

    pod = tmp_path / "pod"
    for place, one in found.files.items():
        (pod / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(one.path, pod / place)
    there = str(pod / "flows")
    before = content_of(named, str(home / "flows"))
    shutil.rmtree(home)
    assert content_of(named, there) == before, "so the lock that was recorded for it answers"
    assert read_source(named, there).requirements == "six==1.16.0\n"
    assert read_source(own, there).requirements == "six==1.15.0\n"


def test_project_and_its_lock_are_carried_together(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "uv.lock"):
        (tmp_path / name).write_text("")
    Environment(file=str(tmp_path / "uv.lock"), name="all")
    places = [place for place, _ in carried_files(f"{tmp_path / 'train.py'}:train")]
    assert places == [".environments/all/uv.lock", ".environments/all/pyproject.toml"]
