"""Kueue, the real one: what waits in a queue says for what, gangs are let in as a whole, preemption is no failure."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.clusters import Cluster
from tests.kubernetes import controllers
from tests.kubernetes.conftest import Space
from tests.kubernetes.projects import Project, act_as, checks_of, driven_project, kubectl, missing_in
from tests.kubernetes.test_gangs_in_pods import GangRun

from headrace.executors.kubernetes.access import Access
from headrace.executors.kubernetes.client import ClusterClient, Kind

API = "kueue.x-k8s.io/v1beta2"
QUEUE, FLAVOR = Kind(API, "ClusterQueue"), Kind(API, "ResourceFlavor")

FLOW = """
from headrace import flow, step

@step(cpu=0.02)
def one() -> int:
    return 1

@flow
def train() -> int:
    return one()
"""


class Queue:
    """A local queue of the namespace, and the quota that it has."""

    def __init__(self, client: ClusterClient, name: str) -> None:
        self.client = client
        self.name = name
        self._whole = f"{client.namespace}-{name}"
        client.create({"apiVersion": API, "kind": "ResourceFlavor", "metadata": {"name": self._whole}})
        local = {"metadata": {"name": name}, "spec": {"clusterQueue": self._whole}}
        client.create({"apiVersion": API, "kind": "LocalQueue", **local})

    def allow(self, cpu: str) -> None:
        """Let pods that are in the queue have so many cores together."""
        flavor = {"name": self._whole, "resources": [{"name": "cpu", "nominalQuota": cpu}]}
        spec: dict[str, Any] = {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self.client.namespace}},
            "resourceGroups": [{"coveredResources": ["cpu"], "flavors": [flavor]}],
            "preemption": {"withinClusterQueue": "LowerPriority"},
        }
        metadata = {"name": self._whole}
        self.client.apply({"apiVersion": API, "kind": "ClusterQueue", "metadata": metadata, "spec": spec})

    def claim(self, cpu: str) -> None:
        """Let something more important have so many cores of the quota."""
        container = {"name": "one", "image": "localhost/none:1", "resources": {"requests": {"cpu": cpu}}}
        nowhere = {"nodeSelector": {"headrace.test/none": "none"}, "restartPolicy": "Never"}
        template = {"spec": {**nowhere, "containers": [container], "priorityClassName": "system-cluster-critical"}}
        labels = {"kueue.x-k8s.io/queue-name": self.name}
        about = {"metadata": {"name": f"important-{self.name}", "labels": labels}, "spec": {"template": template}}
        self.client.create({"apiVersion": "batch/v1", "kind": "Job", **about})

    def yield_again(self) -> None:
        """Take the important thing away."""
        self.client.delete(Kind("batch/v1", "Job"), f"important-{self.name}")

    def close(self) -> None:
        self.client.delete(QUEUE, self._whole)
        self.client.delete(FLAVOR, self._whole)


@pytest.fixture
def queues(space: Space, cluster: Cluster, more_controllers: None) -> Iterator[Callable[[str], Queue]]:
    """Makes queues."""
    if not all(map(controllers.has, controllers.NAMES)):
        pytest.skip(controllers.HOW)
    with ClusterClient(Access(str(cluster.kubeconfig)), space.name) as client, contextlib.ExitStack() as stack:

        def make(name: str) -> Queue:
            made = Queue(client, name)
            stack.callback(made.close)
            return made

        yield make


def await_shown(project: Project, run: str, why: str) -> None:
    """Wait until ``headrace show`` says that a run waits for something."""
    end = time.monotonic() + 120
    while True:
        with project.start("show", run) as process:
            said = process.communicate(timeout=90)[0]
        if why in said:
            return
        assert time.monotonic() < end, f"{why!r} is not in:\n{said}"
        time.sleep(0.5)


@pytest.mark.timeout(300)
def test_run_says_what_it_waits_for_in_its_queue_and_goes_on_when_that_is_there(
    tmp_path: Path, space: Space, cluster: Cluster, image: str, bucket: dict[str, str], queues: Callable[[str], Queue]
) -> None:
    project = Project(tmp_path, space, cluster, image, bucket)
    project.write(FLOW, queue="research")
    with project.start("run", "train.py", "--on", "pods") as run:
        assert run.stdout is not None
        try:
            absent = "in queue 'research' of Kueue: the namespace has no such queue (LocalQueue)"
            await_shown(project, "train/1", absent)
            queue = queues("research")
            queue.allow("10m")
            much = "in queue 'research' of Kueue: its quota never has so much cpu"
            await_shown(project, "train/1", much)
            assert any(much in line for line in run.stdout), "and so does the run"
            queue.allow("1")
            said, _ = run.communicate(timeout=90)
        finally:
            run.kill()
    assert run.returncode == 0, said
    assert project.result("train/1") == 1


@pytest.mark.timeout(600)
def test_gang_waits_until_all_of_it_is_let_in_and_starts_again_when_it_is_preempted(
    tmp_path: Path, space: Space, cluster: Cluster, image: str, bucket: dict[str, str], queues: Callable[[str], Queue]
) -> None:
    with contextlib.ExitStack() as stack:
        runs: dict[str, tuple[GangRun, Project, Queue]] = {}
        for form in ("pods", "trainjob"):  # a pod group, and what is a JobSet and a Job too
            (tmp_path / form).mkdir()
            project = Project(tmp_path / form, space, cluster, image, bucket)
            queue = queues(form)
            queue.allow("30m")  # one pod of 20m, not two
            run = GangRun(project, cluster, gangs=form, queue=form)
            stack.callback(run.close)
            runs[form] = run, project, queue
        for form, (_, project, queue) in runs.items():
            why = f"in queue '{form}' of Kueue: its quota never has so much cpu"
            await_shown(project, "Ring/1", why)
            queue.allow("40m")
        for run, _, queue in runs.values():
            run.members()
            queue.claim("20m")
        for form, (_, project, queue) in runs.items():
            why = f"in queue '{form}' of Kueue: its quota has too little cpu left"
            await_shown(project, "Ring/1", why)
            queue.yield_again()
        for run, _, _ in runs.values():
            run.members()
        for run, _, _ in runs.values():
            assert "was preempted by Kueue" in run.finish()


@pytest.mark.timeout(600)
def test_rights_of_the_manifest_alone_are_enough_for_a_gang_in_a_jobset_that_waits_in_a_queue(
    tmp_path: Path,
    space: Space,
    cluster: Cluster,
    image: str,
    bucket: dict[str, str],
    database: str,
    queues: Callable[[str], Queue],
) -> None:
    stores = {**bucket, "HEADRACE_DATABASE": database}
    project = driven_project(tmp_path, space, cluster, image, stores)
    queue = queues("lab")
    queue.allow("1")
    queue.client.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "stores"}, "stringData": stores})
    act_as(project, cluster, "me")
    project.write(FLOW)
    user = f"system:serviceaccount:{space.name}:me"
    kubectl(cluster.kubeconfig, "apply", "-f", "-", given=project.run("place", "manifest", "pods", "--user", user))

    settings = {"gangs": "jobset", "queue": "lab"}
    project.write(FLOW, **settings)
    checks = checks_of(project, 1)
    assert missing_in(checks) == {"right: jobsets", "rights"}
    assert [checks[name]["ok"] for name in ("right: workloads", "right: localqueues", "queue lab")] == [None] * 3
    assert checks["gangs jobset"]["ok"], "the cluster has it"
    kubectl(cluster.kubeconfig, "apply", "-f", "-", given=checks["rights"]["grant"])
    checks = checks_of(project, 0)
    assert checks["queue lab"]["ok"]

    run = GangRun(project, cluster, **settings)
    try:
        for name in run.members().values():
            pod = queue.client.get(Kind("v1", "Pod"), name)
            assert "jobset.sigs.k8s.io/jobset-name" in pod["metadata"]["labels"]
        workloads = queue.client.list(Kind(API, "Workload"))
        owners = {one["kind"] for workload in workloads for one in workload["metadata"].get("ownerReferences") or ()}
        assert "JobSet" in owners, "the gang came in as a whole"
        run.let_go()
    finally:
        run.close()
    assert "totals [21, 21]" in project.run("logs", "Ring/1")
