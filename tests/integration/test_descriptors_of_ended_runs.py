"""What a run had open is closed with its last user: none of its objects wait for a garbage collection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.conftest import Project

FLOWS = """
import asyncio, gc

@step
def double(x: int) -> int:
    print("doubling")
    headrace.log_metric("x", x)
    return 2 * x

@step(isolated=True, retries=1)
def fails(x):
    raise ValueError("no")

@flow
def mapped():
    return sum(one.result() for one in double.map(range(4)))

@flow
def failing():
    return fails(1)

@flow
def caught():
    try:
        fails(2)
    except ValueError:
        return 1

@flow
def raising():
    waits = double.submit(3)
    raise RuntimeError("the flow itself")

@flow
async def together():
    return sum(await asyncio.gather(double.submit(1), double.submit(2)))

@flow
def stored_badly():
    return (n for n in range(3))

def opened():
    links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
    return sorted(os.readlink(one) for one in links if os.path.lexists(one) and "/home" in os.readlink(one))
"""
CONNECTED = """
    gc.disable()
    for number, one in enumerate([mapped, failing, caught, raising, together, stored_badly] * 2):
        client = headrace.connect(home=f"home{number}")
        run = client.start(one)
        assert run.state == ("succeeded" if one in (mapped, caught, together) else "failed"), run.error
        str(run.logs), run.tasks, run.metrics
        del client, run
        assert opened() == [], (one.name, opened())
"""
BY_SETTING = """
    gc.disable()
    for number in range(30):
        os.environ["HEADRACE_HOME"] = os.path.abspath(f"home{number}")
        mapped()
    homes = {link.partition("/home")[2].partition("/")[0] for link in opened()}
    assert len(homes) <= 8, homes
"""


@pytest.mark.parametrize("main", [CONNECTED, BY_SETTING], ids=["connected", "by-setting"])
def test_descriptors_of_databases_are_closed_without_a_garbage_collection(project: Project, main: str) -> None:
    project.succeed(f"{FLOWS}\nif __name__ == '__main__':{main}")
