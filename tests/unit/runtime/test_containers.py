"""Which engine runs containers, and what it is told. docker here is a program of the test that answers like docker."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.model.errors import EnvironmentSetupError
from headrace.runtime.containers.clients import Docker, Podman
from headrace.runtime.containers.engine import Engine, Limits, Mount, Order, why_not_run
from headrace.runtime.containers.found import find_engine

PODMAN, DOCKER = Podman("/usr/bin/podman"), Docker("/usr/bin/docker")


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that alone is on the PATH, beside the shell's."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def write(folder: Path, name: str, script: str) -> Path:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


def test_podman_is_taken_before_docker(programs: Path) -> None:
    write(programs, "docker", "echo 28.2")
    assert find_engine().kind == "docker"
    write(programs, "podman", "exit 1")
    assert find_engine() == Podman(str(programs / "podman"))


def test_docker_without_its_daemon_is_not_taken(programs: Path) -> None:
    write(programs, "docker", "echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    with pytest.raises(
        EnvironmentSetupError, match=r"docker is, but does not work: Cannot connect to the Docker daemon"
    ):
        find_engine()


def test_image_is_fetched_when_it_is_missing(programs: Path) -> None:
    there = programs / "there"
    write(programs, "docker", f'case "$1" in image) [ -e {there} ] && echo 0123;; pull) : > {there};; esac')
    assert Docker(str(programs / "docker")).image_id("r-base:4.4") == "sha256:0123"


def test_image_that_cannot_be_fetched_is_an_error_with_the_engines_words(programs: Path) -> None:
    engine = Docker(str(write(programs, "docker", "echo 'Error: manifest unknown' >&2; exit 1")))
    with pytest.raises(EnvironmentSetupError, match=r"'r-base:9' is not on this machine.*docker.*: manifest unknown"):
        engine.image_id("r-base:9")


@pytest.mark.parametrize("engine", [PODMAN, DOCKER])
def test_limits_and_devices_are_told(engine: Engine) -> None:
    told = engine.arguments(Order("x", limits=Limits(1.5, 64 << 20, ("0", "2")), variables=["TOKEN"]))
    assert {"--cpus=1.5", "--memory=67108864", "--pull=never", "--rm"} <= set(told)
    assert told[told.index("--env") + 1] == "TOKEN"  # the name alone: a value would be seen by all users
    devices = {
        "podman": ["--device=nvidia.com/gpu=0", "--device=nvidia.com/gpu=2"],
        "docker": ['--gpus="device=0,2"'],
    }
    assert [one for one in told if "gpu" in one] == devices[engine.kind]
    assert told[-2:] == ["--entrypoint=", "x"]


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1))
def test_path_of_a_mount_is_one_field(path: str) -> None:
    told = PODMAN.arguments(Order("x", mounts=[Mount(f"/{path}", "/in")]))
    fields = next(csv.reader([told[told.index("--mount") + 1]], strict=True)) if "\n" not in path else None
    assert fields is None or fields == ["type=bind", f"source=/{path}", "target=/in", "readonly"]


def test_machine_that_forbids_to_raise_limits_is_told_with_the_remedy() -> None:
    said = "Error: runc: error setting rlimits for ready process: error setting rlimit type 7: operation not permitted"
    told = why_not_run("podman", 126, "Rscript", said)
    assert "default_ulimits" in told
    assert "containers.conf" in told
    assert said in told
    assert why_not_run("podman", 127, "Rscript", "") == (
        "mostly that means: the program is not in the image ('Rscript'). podman says: nothing"
    )
