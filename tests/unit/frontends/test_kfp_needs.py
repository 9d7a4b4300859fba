"""What components need: packages, another Python, a container, and what is told where it is not to be had."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headrace.frontends.kfp.executors.needs import PODS, Needs, check_container, kind_of, needs_of
from headrace.frontends.kfp.ir import Executor
from headrace.model.environments import Environment
from headrace.model.errors import EnvironmentSetupError

from .kfp_parts import OWN, PIP, lightweight

SOURCE = "def f():\n    pass\n"
HERE = ".".join(map(str, sys.version_info[:2]))
OTHER = "3.12" if HERE != "3.12" else "3.13"


def executor(container: dict[str, Any]) -> Executor:
    return msgspec.convert({"container": container}, Executor)


def needs(image: str, tmp_path: Path, packages: str = "", mode: str = "auto") -> Needs:
    install = f"{PIP}{packages}  &&  {PIP}{OWN}" if packages else f"{PIP}{OWN}"
    return needs_of(executor(lightweight(SOURCE, "f", install, image)), mode, str(tmp_path), "outer.a")


@pytest.mark.parametrize("image", ["python:3.7", "python:3.9", "python:3.11", "", "python", f"python:{HERE}-slim"])
def test_component_of_the_default_image_runs_here(image, tmp_path):
    assert needs(image, tmp_path) == Needs()


@pytest.mark.parametrize("image", [f"python:{OTHER}", f"docker.io/library/python:{OTHER}.1-slim-bookworm"])
def test_image_of_another_python_is_that_version(image, tmp_path):
    assert needs(image, tmp_path) == Needs(environment=Environment(python=OTHER))


def test_python_that_is_too_old_is_replaced_and_told(tmp_path):
    found = needs("python:3.8-slim", tmp_path)
    assert found.environment == Environment(python="3.10")
    assert found.note.startswith("outer.a: image python:3.8-slim has Python 3.8;")


def test_packages_that_are_missing_need_an_environment(tmp_path):
    found = needs("python:3.11", tmp_path, "'no-such-package-here>=1' 'msgspec'")
    assert found.environment == Environment(packages=["no-such-package-here>=1", "msgspec"])


@pytest.mark.parametrize("packages", ["'msgspec>=0.1'", "'msgspec' 'click>=1; python_version<\"3\"'"])
def test_packages_that_are_here_need_nothing(packages, tmp_path):
    assert needs("python:3.11", tmp_path, packages) == Needs()


@pytest.mark.parametrize("packages", ["'msgspec>=1000'", "'msgspec[yaml]'", "'git+https://example.com/x'"])
def test_packages_of_another_version_extra_or_place_need_an_environment(packages, tmp_path):
    assert needs("python:3.11", tmp_path, packages).environment is not None


def test_indexes_are_in_the_list_of_requirements(tmp_path):
    options = "--index-url https://a/s --extra-index-url https://b/s --trusted-host a "
    found = needs("python:3.11", tmp_path, f"{options}'no-such-package-here'")
    assert found.environment is not None
    lines = Path(found.environment.file).read_text().splitlines()
    assert lines == [
        "--index-url https://a/s",
        "--extra-index-url https://b/s",
        "--trusted-host a",
        "no-such-package-here",
    ]


def test_other_image_is_not_used_where_no_engine_is_and_that_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = needs("mine/image:1", tmp_path)
    assert (found.image, found.as_command) == ("", False)
    assert "outer.a: image mine/image:1 is not used" in found.note


def test_other_image_is_not_used_on_the_host(tmp_path):
    assert needs("mine/image:1", tmp_path, mode="host") == Needs()


def test_engine_that_was_asked_for_and_is_not_here_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentSetupError, match="podman is not on this machine"):
        needs("mine/image:1", tmp_path, mode="podman")


@pytest.mark.parametrize(
    ("container", "kind"),
    [
        (lightweight(SOURCE, "f"), "Python"),
        (lightweight(SOURCE, "f", f"{PIP}'a' 'b>=2'  &&  {PIP}{OWN}", "python:3.12"), "Python 3.12 with a, b>=2"),
        (lightweight(SOURCE, "f", image="mine/image:1"), "Python in mine/image:1"),
        ({"image": "alpine", "command": ["true"]}, "container alpine"),
    ],
)
def test_components_are_described_in_a_few_words(container, kind):
    assert kind_of(executor(container)) == kind


def test_container_component_without_an_engine_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentSetupError, match=r"outer\.a: .*mine/image:1.*podman.*--containers host"):
        check_container(executor({"image": "mine/image:1", "command": ["true"]}), "auto", "outer.a")


def test_command_that_is_not_here_is_told_unless_it_is_an_input(tmp_path):
    with pytest.raises(EnvironmentSetupError, match=r"outer\.a: command 'no-such-command'"):
        check_container(executor({"image": "i", "command": ["no-such-command"]}), "host", "outer.a")
    check_container(executor({"image": "i", "command": ["{{$.inputs.parameters['c']}}"]}), "host", "outer.a")
    with pytest.raises(EnvironmentSetupError, match=r"outer\.a: .*no command"):
        check_container(executor({"image": "i", "args": ["x"]}), "host", "outer.a")


def test_component_with_an_image_has_pods_of_it(tmp_path):
    command = {"image": "alpine:3", "command": ["true"]}
    assert needs_of(executor(command), PODS, str(tmp_path), "outer.a") == Needs(image="alpine:3", as_command=True)
    assert needs("mine/image:1", tmp_path, mode=PODS) == Needs(image="mine/image:1")
    assert needs("mine/image:1", tmp_path, "'a'", mode=PODS) == Needs(image="mine/image:1", as_command=True)
    assert needs(f"python:{OTHER}", tmp_path, mode=PODS) == Needs(environment=Environment(python=OTHER))
    with pytest.raises(EnvironmentSetupError, match=r"outer\.a: .*no command: image alpine:3"):
        needs_of(executor({"image": "alpine:3", "args": ["x"]}), PODS, str(tmp_path), "outer.a")


def test_claims_need_nothing_and_are_called_so(tmp_path):
    made = executor({"image": "argostub/createpvc"})
    assert needs_of(made, "podman", str(tmp_path), "outer.a") == Needs()
    check_container(made, "podman", "outer.a")
    assert kind_of(made) == "volume claim"
