"""An artifact store that refuses for a while delays an attempt; one that refuses for long fails it, by its own name."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from tests.integration.store_faults import refuse

from headrace.model.states import AttemptState
from headrace.testing.proxy import HttpProxy

if TYPE_CHECKING:
    from tests.integration.conftest import Project

FLOW = """
import headrace.stores.artifacts.objects as objects
objects.PATIENCE_SECONDS, objects.RETRY_SECONDS = PATIENCE

@step(retries=headrace.Retry(RETRIES, delay=0.2, on="StoreAwayError"))
def make(n):
    open("begun", "w").close()
    while not os.path.exists("go"):
        time.sleep(0.01)
    return os.urandom(100_000)

@step
def size(data):
    return len(data)

@flow
def train():
    return size(make.submit(1))

if __name__ == "__main__":
    print("value", train())
"""


def text(patience: tuple[float, float], retries: int) -> str:
    return FLOW.replace("PATIENCE\n", f"{patience}\n").replace("RETRIES", str(retries))


def test_attempt_waits_for_a_store_that_refuses_for_a_while(
    project: Project, s3: tuple[HttpProxy, dict[str, str]]
) -> None:
    proxy, places = s3
    process = project.start(str(project.write(text((60.0, 1.0), 0))), **places)
    project.eventually((project.path / "begun").exists, 60)
    proxy.fault = refuse
    (project.path / "go").touch()
    time.sleep(5)
    assert process.poll() is None
    assert proxy.failed > 0
    proxy.fault = lambda method, path: None
    done = project.finish(process, 120)
    assert done.out == "value 100000\n", done.err
    assert {task.attempts for task in project.tasks()} == {1}


@pytest.mark.parametrize("retries", [0, 3])
def test_attempt_fails_by_its_own_name_when_the_store_refuses_for_long(
    project: Project, s3: tuple[HttpProxy, dict[str, str]], retries: int
) -> None:
    proxy, places = s3
    process = project.start(str(project.write(text((1.0, 0.5), retries))), **places)
    project.eventually((project.path / "begun").exists, 60)
    proxy.fault = refuse
    (project.path / "go").touch()

    def failures() -> list[str]:
        return [one.failure for one in project.attempts("make") if one.state is AttemptState.FAILED]

    project.eventually(failures, 60)
    proxy.fault = lambda method, path: None
    done = project.finish(process, 120)
    attempts = project.attempts("make")
    assert attempts[0].failure == "store"
    assert "StoreAwayError: cannot" in attempts[0].error
    assert f"the artifact store {places['HEADRACE_ARTIFACTS']}" in attempts[0].error
    assert "tried" in attempts[0].error
    if retries:
        assert done.out == "value 100000\n", done.err
        assert attempts[-1].state is AttemptState.SUCCEEDED
    else:
        assert done.code == 1
        assert "StoreAwayError" in done.err
        assert len(attempts) == 1
