"""A task has a row before anything that it printed or logged can be read."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from headrace.stores.metadata.protocol import RunFilter

if TYPE_CHECKING:
    from tests.integration.conftest import Project

FLOW = """
@step
def logs(n):
    headrace.log_metric("n", n)
    print("logged", n, flush=True)
    headrace.log_table("t", {"n": [n]})
    time.sleep(0.03)
    return n

@flow
def train():
    return sum(one.result() for one in logs.map(range(200)))

if __name__ == "__main__":
    train()
"""


def test_metrics_and_artifacts_of_a_live_run_belong_to_tasks_that_have_a_row(project: Project) -> None:
    process = project.start(str(project.write(FLOW)))
    project.eventually(lambda: (project.home / "metadata.db").exists() and project.metadata.runs(RunFilter()), 60)
    run, store, seen = project.last(), project.metadata, 0
    while process.poll() is None:
        found = {(one.step, one.number) for one in store.metrics(run.id)}
        found |= {(one.step, one.number) for one in store.artifacts(run.id)}
        seen += len(found)
        rows = {(one.step, one.number) for one in store.tasks(run.id)}  # read later, so it may have more
        assert {one for one in found if one[1]} - rows == set()  # number 0 is the flow, or the code of a step
        time.sleep(0.002)
    assert project.finish(process).code == 0
    assert seen > 0
