"""A driver in the cluster that the API server does not hear, beside another one that wants its run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from lightkube.resources.core_v1 import Pod
from tests.cluster import common
from tests.clusters import Cluster
from tests.kubernetes.conftest import Space
from tests.kubernetes.network import cut
from tests.kubernetes.projects import allow_drivers, driven_project
from tests.kubernetes.test_pods_bad_luck import AWAY
from tests.kubernetes.test_pods_trouble import attempts, wait_for

FLOW = """
import os
import time
from headrace import flow, step

@step(cpu=0.02)
def work(n: int) -> int:
    print("attempt of", n, flush=True)
    if int(os.environ["HEADRACE_POD"].rpartition("-")[2]) <= 2:
        time.sleep(600)
    return n

@flow
def train() -> int:
    return sum(one.result() for one in work.map([1, 2]))
"""


@pytest.mark.timeout(300)
def test_driver_that_is_cut_off_from_the_api_server_makes_up_for_it_and_no_other_takes_its_run(
    tmp_path: Path, space: Space, cluster: Cluster, image: str, database: str, bucket: dict[str, str]
) -> None:
    if cluster.kubeconfig != common.KUBECONFIG:
        pytest.skip("needs the cluster of tests/cluster")
    variables = {"HEADRACE_DATABASE": database, **bucket}
    project = driven_project(tmp_path, space, cluster, image, variables)
    allow_drivers(space, variables)
    project.write(FLOW, limits={"pods": 2})
    run = project.start("run", "train.py", "--on", "pods")

    def begun() -> bool:
        assert run.poll() is None
        return project.start("logs", "train/1").communicate(timeout=60)[0].count("attempt of") == 2

    try:
        wait_for(begun)
        found: list[Any] = list(space.client.list(Pod))
        (driver,) = [one for one in found if "headrace.io/driver" in one.metadata.labels]
        workers = [one.metadata.name for one in found if one is not driver]
        with cut(common.API_PORT, driver.status.podIP):
            for name in workers:
                space.client.delete(Pod, name)
            since = time.monotonic()
            refused = project.run("resume", "train/1", "--driver", "here", code=2)
            time.sleep(max(0.0, AWAY - (time.monotonic() - since)))
            left = {one.metadata.name for one in space.client.list(Pod)}
        said, _ = run.communicate(timeout=150)
    finally:
        run.kill()
        run.wait()
    assert run.returncode == 0, said
    assert left <= {driver.metadata.name, *workers}, "it could not make others"
    assert "is being driven by" in refused
    tried = [one["state"] for n in (1, 2) for one in attempts(project, f"train/1/work/{n}")]
    assert tried == ["lost", "succeeded"] * 2, said
