"""A generator without a seed is not a part of a step's code; the seed of one that has it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.integration.conftest import Project

FLOW = """
import random
import numpy as np
from headrace import flow, step

PYTHON, NUMPY, LEGACY = random.Random({python}), np.random.default_rng({numpy}), np.random.RandomState({legacy})

class Holder:
    inside = [np.random.Generator(np.random.Philox({numpy}))]

def default(generator=random.Random({python})):
    return generator.random()

@step(cache=True)
def draw(i: int) -> float:
    return PYTHON.random() + float(NUMPY.random()) + float(LEGACY.rand()) + float(Holder.inside[0].random()) + default()

@step
def last(fail: bool) -> None:
    if fail:
        raise ValueError("boom")

@flow
def f(fail: bool = False) -> float:
    found = sum(one.result() for one in draw.map(range(3)))
    last(fail)
    return found
"""


def flow(python: str = "", numpy: str = "", legacy: str = "") -> str:
    return FLOW.format(python=python, numpy=numpy, legacy=legacy)


def headrace(project: Project, *argv: str, code: int = 0) -> Any:
    done = project.finish(project.start("-m", "headrace", *argv, "--json"))
    assert done.code == code, done.out + done.err
    return json.loads(done.out)


def test_a_resume_and_the_cache_reuse_what_unseeded_generators_made(project: Project) -> None:
    project.write(flow(), "f.py")
    headrace(project, "run", "f.py", "--fail", code=1)
    resumed = headrace(project, "resume", "f/1", "--no-fail")
    assert (resumed["executed"], resumed["reused"]) == (1, 3)
    again = headrace(project, "run", "f.py")
    assert (again["executed"], again["reused"]) == (1, 3)
    assert again["result"]["digest"] == resumed["result"]["digest"]


@pytest.mark.parametrize("edit", [{"python": "1"}, {"numpy": "7"}, {"legacy": "3"}], ids=str)
def test_a_seed_that_the_file_got_is_a_changed_step(project: Project, edit: dict[str, str]) -> None:
    project.write(flow(), "f.py")
    headrace(project, "run", "f.py")
    project.write(flow(**edit), "f.py")
    seeded = headrace(project, "run", "f.py")
    assert (seeded["executed"], seeded["reused"]) == (4, 0)
    parts = headrace(project, "explain", "f/2/draw/1")["compared"]["parts"]
    assert "code" in [part["part"] for part in parts if not part["same"]]
    again = headrace(project, "run", "f.py")
    assert (again["executed"], again["reused"]) == (1, 3)
    project.write(flow(**{name: value + "1" for name, value in edit.items()}), "f.py")
    assert headrace(project, "run", "f.py")["executed"] == 4
