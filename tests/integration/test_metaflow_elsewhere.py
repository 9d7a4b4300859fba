"""Metaflow's decorators for other machines and environments: accepted, noted, and the steps run here as they are.

The real one refuses such flows where there is no cluster and no package manager, so there is nothing to compare with.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from headrace.frontends.metaflow.programs.script import environment

if TYPE_CHECKING:
    from tests.integration.conftest import Finished, Project

FLOW = """
from metaflow import FlowSpec, batch, conda, conda_base, kubernetes, pypi, pypi_base, resources, step

FLOW_DECORATOR
class Away(FlowSpec):
    @batch(cpu=64, memory=500_000, image="none/such:1", queue="q", gpu=8, inferentia=1)
    @step
    def start(self):
        self.items = [1, 2, 3]
        self.next(self.fit, foreach="items")

    @kubernetes(cpu=64, memory=500_000, image="none/such:1", namespace="n", node_selector="a=b", gpu=8)
    @conda(libraries={"six": "1.16.0"})
    @step
    def fit(self):
        self.squared = self.input ** 2
        self.next(self.join)

    @pypi(packages={"six": "1.16.0"})
    @step
    def join(self, inputs):
        self.total = sum(one.squared for one in inputs)
        self.next(self.end)

    @step
    def end(self):
        print("total", self.total)

if __name__ == "__main__":
    Away()
"""
STEPS_SAID = {"batch of start", "kubernetes of fit"}


def run(project: Project, decorator: str = "", *argv: str) -> Finished:
    """The flow's file, run."""
    project.write(FLOW.replace("FLOW_DECORATOR", decorator), "away.py")
    words = ("--environment=conda", *(argv or ("run",)))
    return project.finish(project.start("away.py", *words, PYTHONPATH=environment({})["PYTHONPATH"]))


def said(done: Finished) -> set[str]:
    """What was noted, each once."""
    found = re.findall(r"@(\S+ of [^@]*?) is recorded; the steps run on this machine as it is$", done.out, re.M)
    assert len(found) == len(set(found)), found
    return set(found)


def test_steps_run_here_whatever_they_ask_for_elsewhere(project: Project) -> None:
    done = run(project)
    assert done.code == 0, done.err
    assert "total 14" in done.out
    assert said(done) == STEPS_SAID


@pytest.mark.parametrize("name", ["batch", "kubernetes"])
def test_with(project: Project, name: str) -> None:
    done = run(project, "", "run", "--with", f"{name}:cpu=64,image=none/such:1")
    assert done.code == 0, done.err
    assert "total 14" in done.out
    assert any(note.startswith(f"{name} of ") and "end" in note for note in said(done))


def test_unknown_attributes_of_environments_are_refused(project: Project) -> None:
    done = run(project, "@conda_base(pakages={})")
    assert done.code == 1
    assert "pakages" in done.err


SECRETS = """
from metaflow import FlowSpec, secrets, step

class Hush(FlowSpec):
    @step
    def start(self):
        self.next(self.end)

    @secrets(sources=[SOURCE])
    @step
    def end(self):
        pass

if __name__ == "__main__":
    Hush()
"""


@pytest.mark.parametrize(
    "source", ['"aws-secrets-manager.prod/db"', '{"type": "gcp-secret-manager", "id": "prod/db"}', '"prod/db"']
)
def test_secrets_of_clouds_are_refused_before_the_run(project: Project, source: str) -> None:
    project.write(SECRETS.replace("SOURCE", source), "hush.py")
    env = {"PYTHONPATH": environment({})["PYTHONPATH"], "METAFLOW_DEFAULT_SECRETS_BACKEND_TYPE": "az-key-vault"}

    done = project.finish(project.start("hush.py", "run", **env))

    assert done.code == 1
    kind = re.search("aws-secrets-manager|gcp-secret-manager", source)
    assert f"step end asks {kind[0] if kind else 'az-key-vault'} for 'prod/db'" in done.err
    assert "Workflow starting" not in done.out


LARGE = """
import time
from metaflow import FlowSpec, batch, kubernetes, resources, step

class Large(FlowSpec):
    DECORATOR
    @step
    def start(self):
        block = bytearray(150 << 20)
        for position in range(0, len(block), 4096):
            block[position] = 1
        time.sleep(1.5)  # it is looked at four times a second
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    Large()
"""


@pytest.mark.parametrize(
    ("decorator", "argv"),
    [
        ("@resources(memory=100)", ()),
        ("@resources(memory='100', cpu=1)", ()),
        ("@kubernetes(memory=100)", ()),
        ("@batch(memory=100)", ()),
        ("", ("--with", "resources:memory=100")),
    ],
)
def test_a_step_may_use_more_memory_than_it_asks_for(project: Project, decorator: str, argv: tuple[str, ...]) -> None:
    (project.path / "large.py").write_text(LARGE.replace("DECORATOR", decorator))
    done = project.finish(project.start("large.py", "run", *argv, PYTHONPATH=environment({})["PYTHONPATH"]))
    assert done.code == 0, done.out + done.err


ALONE = """
import os, time
from metaflow import FlowSpec, resources, step

class Alone(FlowSpec):
    @step
    def start(self):
        self.items = list(range(3))
        self.next(self.fit, foreach="items")

    @resources(memory=100_000_000)
    @step
    def fit(self):
        os.mkdir("running")  # fails when another one does
        time.sleep(0.1)
        os.rmdir("running")
        self.next(self.join)

    @step
    def join(self, inputs):
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    Alone()
"""


def test_steps_that_ask_for_more_memory_than_there_is_run_one_by_one(project: Project) -> None:
    (project.path / "alone.py").write_text(ALONE)
    done = project.finish(project.start("alone.py", "run", PYTHONPATH=environment({})["PYTHONPATH"]))
    assert done.code == 0, done.out + done.err
