"""Flows in code that has no module: what ``exec`` runs, templates, rule engines, notebooks of other tools."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from headrace import Run

CODE = """
import dataclasses
from functools import partial
from headrace import flow, step

RATE = 3

def helper(x):
    return x * RATE

@dataclasses.dataclass
class Point:
    x: int

@step
def plain(x):
    return helper(x)

@step(isolated=True)
def alone(x):
    return helper(x) + 1

@step
def call(function, x):
    return function(x)

@step(cache=True)
def point(x):
    return Point(x).x

@step
def fail():
    raise ValueError("from a step without a module")

@flow
def f():
    try:
        fail()
    except ValueError as error:
        assert "without a module" in str(error)
    return [plain(1), alone(2), call(helper, 3), call(partial(pow, 2), 3), point(5)]
"""


@pytest.mark.parametrize("names", [{}, {"__name__": None}, {"__name__": "not.imported"}, {"__name__": ""}], ids=str)
@pytest.mark.parametrize("threads", [False, True])
def test_a_flow_in_code_without_a_module_runs(names: dict[str, Any], threads: bool, here: Any) -> None:
    scope = dict(names)
    exec(compile(CODE, "<text>", "exec", dont_inherit=True), scope)
    over = threading.Event()
    other = threading.Thread(target=over.wait)
    if threads:  # workers come from a fresh interpreter then
        other.start()
    try:
        assert scope["f"]() == [3, 7, 9, 8, 5]
    finally:
        over.set()
        if threads:
            other.join()
    assert Run("f/1").state == "succeeded"
