"""``headrace reproduce`` of steps in containers: the recorded image is used, whatever its name means now."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from tests import images

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.conftest import Finished, Project

NAME = "localhost/headrace-test-moving:1"
FLOW = """
made = headrace.command(
    shell="if command -v python3 > /dev/null; then echo yes > {out}; else echo no > {out}; fi",
    outputs={"out": "text"}, image="localhost/headrace-test-moving:1",
)

@flow
def train():
    return made()
"""


@pytest.fixture(autouse=True)
def podman(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    images.require_podman()
    for name, value in images.settings(tmp_path).items():
        monkeypatch.setenv(name, value)
    yield
    images.remove_all()


def call(project: Project, *words: str) -> Finished:
    return project.finish(project.start("-m", "headrace", *words), 120)


def test_recorded_image_is_used_whatever_its_name_means_now(project: Project) -> None:
    tools, python = images.without_python(), images.with_python()
    subprocess.run(["podman", "tag", tools, NAME], check=True)
    project.write(FLOW)
    done = call(project, "run", "train.py")
    assert done.code == 0, done.err
    subprocess.run(["podman", "tag", python, NAME], check=True)
    found = call(project, "reproduce", "train/1", "--json")
    assert found.code == 0, found.out + found.err
    assert json.loads(found.out)["equal"] and not json.loads(found.out)["gaps"]
    later = call(project, "run", "train.py")  # with the image that has the name now
    assert later.code == 0, later.err
    assert [call(project, "get", f"train/{number}/result").out.strip() for number in (2, 3)] == ["no", "yes"]
