"""How soon 100 pods are scheduled that are asked for at once, beside a Job of the same pods with parallelism 100.

    python bench/kubernetes/burst.py --namespace bench --image localhost/headrace/worker:test

The pods sleep, so that only the asking is measured; by turns, in one run. Times are of the moment at which the API
server tells that the last one is scheduled, and runs.
"""

from __future__ import annotations

import argparse
import os
import select
import time
from typing import Any, NamedTuple

from headrace.executors.kubernetes.access import Access
from headrace.executors.kubernetes.api import ClusterApi
from headrace.executors.kubernetes.client import ClusterClient, Kind
from headrace.executors.kubernetes.executor import KubernetesExecutor, KubernetesOptions
from headrace.executors.kubernetes.happenings import PodGone, PodSeen
from headrace.executors.kubernetes.pods import PodRules
from headrace.executors.remote.executor import RemoteOptions
from headrace.model.code import CodePackage
from headrace.model.pods import PodSettings
from headrace.model.policy import Resources, StepPolicy
from headrace.model.workers import ServedRun
from headrace.stores.artifacts.memory import MemoryStore
from headrace.worker.join_token import identity_of

JOB = Kind("batch/v1", "Job")
SLEEP = ["sleep", "3600"]
#: Seconds after which a burst is given up.
PATIENCE = 600.0


class Times(NamedTuple):
    """Seconds until the last pod existed, was scheduled, and ran."""

    made: float
    scheduled: float
    running: float


class Burst:
    """Sees pods with a label come up."""

    def __init__(self, access: Access, namespace: str, labels: dict[str, str]) -> None:
        self._api = ClusterApi(access, namespace, labels)
        self._api.start()
        self._poll = select.poll()
        self._poll.register(self._api.fileno(), select.POLLIN)
        self._known: dict[str, set[str]] = {"made": set(), "scheduled": set(), "running": set()}

    def times(self, pods: int, began: float) -> Times:
        """When the pods were there that were asked for at ``began``."""
        found: dict[str, float] = {}
        while len(found) < len(self._known):
            self._poll.poll(1000)
            for one in self._api.events():
                if isinstance(one, PodSeen):
                    self._see(one.pod)
            for what, names in self._known.items():
                if len(names) >= pods:
                    found.setdefault(what, time.perf_counter() - began)
            if time.perf_counter() - began > PATIENCE:
                raise SystemExit(f"after {PATIENCE:g} s: { {what: len(names) for what, names in self._known.items()} }")
        return Times(**found)

    def _see(self, pod: dict[str, Any]) -> None:
        name, status = pod["metadata"]["name"], pod.get("status") or {}
        self._known["made"].add(name)
        if any(one["type"] == "PodScheduled" and one["status"] == "True" for one in status.get("conditions") or ()):
            self._known["scheduled"].add(name)
        if status.get("phase") == "Running":
            self._known["running"].add(name)

    def gone(self) -> None:
        """Wait until all pods have left."""
        until = time.perf_counter() + PATIENCE
        while self._known["made"] and time.perf_counter() < until:
            self._poll.poll(1000)
            for one in self._api.events():
                if isinstance(one, PodGone):
                    self._known["made"].discard(one.name)
        self._api.close()


def by_job(access: Access, namespace: str, image: str, pods: int) -> Times:
    """A Job with that parallelism."""
    name = f"burst-{os.urandom(3).hex()}"
    container = {
        "name": "main",
        "image": image,
        "command": SLEEP,
        "resources": {"requests": {"cpu": "1m"}, "limits": {}},
    }
    spec = {"containers": [container], "restartPolicy": "Never", "terminationGracePeriodSeconds": 0}
    template = {"metadata": {"labels": {"burst": name}}, "spec": spec}
    job = {"completions": pods, "parallelism": pods, "template": template}
    burst = Burst(access, namespace, {"burst": name})
    with ClusterClient(access, namespace) as client:
        began = time.perf_counter()
        client.create({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": job})
        try:
            return burst.times(pods, began)
        finally:
            client.delete(JOB, name)
            burst.gone()


def by_headrace(access: Access, namespace: str, image: str, pods: int) -> Times:
    """The executor, asked for so many workers."""
    name = f"burst-{os.urandom(3).hex()}"
    container = {"name": "worker", "command": SLEEP, "args": None, "resources": {"requests": {"cpu": "1m"}}}
    patch = {"spec": {"containers": [container], "terminationGracePeriodSeconds": 0}}
    options = KubernetesOptions(
        access=access,
        namespace=namespace,
        reached="127.0.0.1",  # where nothing is: its pods sleep
        image=image,
        pod=PodSettings(labels={"burst": name}, patch=patch),
        rules=PodRules(pods=pods),
    )
    executor = KubernetesExecutor(
        "pods", ("127.0.0.1", 0), identity_of("a secret of a bench"), RemoteOptions(), options
    )
    executor.start()
    code = MemoryStore().put([CodePackage(()).encode()])
    executor.introduce(ServedRun(f"{name}/1", f"1@{name}", 1, code, "memory://"))
    burst = Burst(access, namespace, {"burst": name})
    began = time.perf_counter()
    links = [executor.provide(executor.spec(StepPolicy(resources=Resources(cpu=0.01)))) for _ in range(pods)]
    executor.exits()
    try:
        return burst.times(pods, began)
    finally:
        executor.close()
        for link in links:
            link.close()
        burst.gone()


def report(access: Access, namespace: str, image: str, pods: int, rounds: int = 1) -> None:
    """Print a table."""
    ways = {f"a Job with parallelism {pods}": by_job, "Headrace": by_headrace}
    found: dict[str, list[Times]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, call in ways.items():
            found[way].append(call(access, namespace, image, pods))
    best = {way: Times(*map(min, zip(*times, strict=True))) for way, times in found.items()}
    job, ours = best.values()
    print(f"| {pods} pods at once | made | scheduled | running |\n|---|---|---|---|")
    for way, times in best.items():
        print(f"| {way} | {times.made:.2f} s | {times.scheduled:.2f} s | {times.running:.2f} s |")
    ratios = [mine / theirs for mine, theirs in zip(ours, job, strict=True)]
    print(f"| ratio (target: 1 for scheduled) | {' | '.join(f'{one:.2f}' for one in ratios)} |")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", default="")
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--image", required=True)
    parser.add_argument("--pods", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=1)
    told = parser.parse_args()
    report(Access(told.kubeconfig), told.namespace, told.image, told.pods, told.rounds)


if __name__ == "__main__":
    main()
