"""Decorators of the user's below and above ``@step``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.conftest import Project

FLOW = """
import functools, sys, threading
from headrace import flow, step

def add(n):
    def decorate(fn):
        @functools.wraps(fn)
        def wrapper(*args, **kwargs):
            return fn(*args, **kwargs) + n
        return wrapper
    return decorate

def add_async(fn):
    @functools.wraps(fn)
    async def wrapper(*args):
        return await fn(*args) + 100
    return wrapper

@step
@add(100)
def below(x):
    return x

@step(isolated=True, cache=True)
@add(10)
@add(100)
def twice(x):
    return x

@add(1000)
@step
def above(x):
    return x

@add(1000)
@step
@add(100)
def both(x):
    return x

@step
@add_async
async def awaited(x):
    return x

def local():
    @step
    @add(100)
    def inner(x):
        return x
    return inner

@flow
async def train(thread: bool = False):
    if thread:
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    return [below(1), twice(1), above(1), both(1), await awaited(1), local()(1), below.options(cpu=1)(1)]

if __name__ == "__main__":
    print(train(thread="thread" in sys.argv))
"""


@pytest.mark.parametrize("argv", [(), ("thread",)], ids=["forked", "fresh"])
def test_decorators_of_steps_do_their_work_once(project: Project, argv: tuple[str, ...]) -> None:
    assert project.succeed(FLOW, *argv) == "[101, 111, 1001, 1101, 101, 101, 101]\n"
