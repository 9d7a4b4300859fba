"""Files and folders as outputs of tasks, read back through the client."""

from __future__ import annotations

import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import headrace
from headrace import File, Folder, flow, step

if TYPE_CHECKING:
    from tests.integration.conftest import Project


class Made(NamedTuple):
    model: File
    parts: Folder


@step
def make() -> Made:
    Path("parts").mkdir()
    Path("parts/a.txt").write_text("a")
    Path("model.bin").write_bytes(b"model")
    return Made(File("model.bin", {"rows": 3}), Folder("parts"))


@step
def read(made: Made) -> str:
    with made.model.open("rb") as stream, made.parts.open("a.txt") as other:
        return stream.read().decode() + other.read()


@step
def count() -> list[int]:
    return [1, 2]


@flow
def files() -> str:
    count()
    return read(make())


def test_artifacts_say_where_files_are_and_what_is_noted_of_them(here: Project) -> None:
    assert files() == "modela"
    artifacts = headrace.Run("files")["make"][1].artifacts
    model, parts = artifacts["model"], artifacts["parts"]
    assert (model.type, model.metadata, parts.metadata) == ("headrace.File", {"rows": 3}, {})
    with urllib.request.urlopen(model.uri) as answer:
        assert answer.read() == b"model"
    assert parts.uri == "headrace:files/1/make/1/parts"
    assert headrace.Artifact("files/1/count/1").metadata == {}
