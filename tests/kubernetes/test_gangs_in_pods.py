"""A gang in pods: all of it starts or none, members find each other, and they have one fate."""

from __future__ import annotations

import contextlib
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from lightkube.models.core_v1 import ResourceQuotaSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import Namespace, Pod, ResourceQuota
from tests.clusters import Cluster
from tests.kubernetes import controllers
from tests.kubernetes.conftest import Space, made_space
from tests.kubernetes.projects import Project

#: Each member adds up what all have, by a ring of sockets, and then asks the test whether it may go on.
FLOW = """
import os
import socket
import time
from metaflow import FlowSpec, Parameter, current, parallel, resources, step

def connect(host, port):
    until = time.monotonic() + 60
    while True:
        try:
            return socket.create_connection((host, port), timeout=60)
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def ring(rank, count, main):
    # The next member of the ring, as the main one tells, and the previous one, which connects.
    listener = socket.create_server(("0.0.0.0", int(os.environ["MASTER_PORT"])))
    mine = socket.gethostbyname(socket.gethostname())
    if rank == 0:
        addresses, members = {0: mine}, []
        while len(addresses) < count:
            member = listener.accept()[0]
            other, address = member.makefile().readline().split()
            addresses[int(other)] = address
            members.append(member)
        for member in members:
            member.sendall((" ".join(addresses[one] for one in range(count)) + "\\n").encode())
        hosts = [addresses[one] for one in range(count)]
    else:
        member = connect(main, int(os.environ["MASTER_PORT"]))
        member.sendall(f"{rank} {mine}\\n".encode())
        hosts = member.makefile().readline().split()
    following = connect(hosts[(rank + 1) % count], int(os.environ["MASTER_PORT"]))
    return following, listener.accept()[0].makefile()


def all_reduce(value, rank, count, main):
    following, previous = ring(rank, count, main)
    total, passed = value, value
    for _ in range(count - 1):
        following.sendall(f"{passed}\\n".encode())
        passed = int(previous.readline())
        total += passed
    return total


class Ring(FlowSpec):
    gate = Parameter("gate", default="")

    @resources(cpu=0.02)
    @step
    def start(self):
        self.next(self.train, num_parallel=2)

    @resources(cpu=0.02)
    @parallel
    @step
    def train(self):
        place = current.parallel
        told = os.environ
        assert (told["RANK"], told["WORLD_SIZE"]) == (str(place.node_index), str(place.num_nodes))
        assert told["MASTER_ADDR"] == place.main_ip != "127.0.0.1"
        self.total = all_reduce(10 + place.node_index, int(told["RANK"]), int(told["WORLD_SIZE"]), told["MASTER_ADDR"])
        host, _, port = self.gate.partition(":")
        with connect(host, int(port)) as gate:
            gate.settimeout(None)
            gate.sendall(f"{place.node_index} {os.environ['HEADRACE_POD']} {self.total}\\n".encode())
            assert gate.makefile().readline() == "go\\n"
        self.next(self.join)

    @resources(cpu=0.02)
    @step
    def join(self, inputs):
        self.totals = [one.total for one in inputs]
        self.next(self.end)

    @resources(cpu=0.02)
    @step
    def end(self):
        print("totals", self.totals)


if __name__ == "__main__":
    Ring()
"""


#: What the pods of a gang may be, and the controller that this needs.
FORMS = {"pods": "", "job": "", "jobset": "jobset", "trainjob": "trainer"}


class GangRun:
    """A run with a gang of two, which report at a gate and wait there."""

    def __init__(self, project: Project, cluster: Cluster, **settings: Any) -> None:
        project.write(FLOW, **settings)
        self.gate = socket.create_server(("0.0.0.0", 0))
        self.gate.settimeout(1)
        self._connections: list[socket.socket] = []
        address = f"{cluster.host}:{self.gate.getsockname()[1]}"
        self._project = project
        self.process = project.start("run", "train.py", "--on", "pods", "--gate", address)

    def members(self) -> dict[int, str]:
        """The pods of the two members that report next, by rank; each has added up what both have."""
        found: dict[int, str] = {}
        until = time.monotonic() + 150
        while len(found) < 2:
            assert self.process.poll() is None, self.process.communicate()[0]
            assert time.monotonic() < until, f"reported within 150 s: {sorted(found)}"
            try:
                connection = self.gate.accept()[0]
            except TimeoutError:
                continue
            connection.settimeout(150)
            with connection.makefile() as lines:
                rank, pod, total = lines.readline().split()
            assert int(total) == 21
            found[int(rank)] = pod
            self._connections.append(connection)
        return found

    def kill_driver(self) -> str:
        """Kill the driver without warning, and let another one go on with the run; what the first one printed."""
        self.process.kill()
        said, _ = self.process.communicate()
        self.process = self._project.start("resume", "Ring/1")
        return str(said)

    def finish(self) -> str:
        """Let the members end, and the run; what it printed, with what its steps printed."""
        said = self.let_go()
        assert "totals [21, 21]" in said
        return said

    def let_go(self) -> str:
        """Let the members end, and the run; what the command that started it printed."""
        for connection in self._connections[-2:]:  # earlier ones are of members that were stopped
            connection.sendall(b"go\n")
        said, _ = self.process.communicate(timeout=200)
        assert self.process.returncode == 0, said
        return said

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
        for one in (self.gate, *self._connections):
            one.close()


def _await_pods_to_go(space: Space, names: set[str]) -> None:
    until = time.monotonic() + 90
    while left := names & {str(one.metadata.name) for one in space.client.list(Pod)}:
        assert time.monotonic() < until, left
        time.sleep(0.5)


@pytest.mark.timeout(600)
def test_gang_reduces_over_a_ring_and_starts_again_when_a_member_or_its_driver_is_killed(
    tmp_path: Path, space: Space, cluster: Cluster, image: str, bucket: dict[str, str], more_controllers: None
) -> None:
    enforced = {"pod-security.kubernetes.io/enforce": "restricted"}  # as pods are, they are let in
    space.client.patch(Namespace, space.name, {"metadata": {"labels": enforced}})
    with contextlib.ExitStack() as stack:
        runs: dict[str, GangRun] = {}
        for form in [one for one, controller in FORMS.items() if controllers.has(controller)]:
            folder = tmp_path / form
            folder.mkdir()
            runs[form] = GangRun(Project(folder, space, cluster, image, bucket), cluster, gangs=form)
            stack.callback(runs[form].close)
        first = {form: run.members() for form, run in runs.items()}
        for pods in first.values():
            assert pods[0] != pods[1], "each member has a pod of its own"
            space.client.delete(Pod, pods[1], grace_period=0)
        again = {form: run.members() for form, run in runs.items()}
        for form, pods in again.items():
            assert first[form][1] not in pods.values()
            if form != "pods":  # a group ends as a whole
                assert first[form][0] not in pods.values()
        said = {form: run.kill_driver() for form, run in runs.items() if form != "pods"}
        for form in said:  # no gang goes on without its driver: what the killed one left is deleted
            third = runs[form].members()
            assert not {*third.values()} & {*again[form].values()}, form
        _await_pods_to_go(space, {pod for form in said for pod in again[form].values()})
        for form, run in runs.items():  # no step has retries: that its pod was deleted did not count
            told = run.finish()
            assert f"pod {first[form][1]} was deleted, by hand or by another program; what it" in said.get(form, told)
    until = time.monotonic() + 90  # the garbage collector takes what a deleted object owned
    while left := [*space.client.list(Job), *space.client.list(Pod)]:
        assert time.monotonic() < until, [one.metadata.name for one in left]
        time.sleep(0.5)
    if len(runs) < len(FORMS):
        pytest.skip(controllers.HOW)


@pytest.mark.timeout(300)
def test_group_gets_the_quota_that_pods_hold_which_nobody_needs(
    tmp_path: Path, cluster: Cluster, image: str, bucket: dict[str, str], more_controllers: None
) -> None:
    quota = ResourceQuota(metadata=ObjectMeta(name="two"), spec=ResourceQuotaSpec(hard={"pods": "2"}))
    with contextlib.ExitStack() as stack:  # a namespace of its own: pods that another test left would use the quota up
        space = stack.enter_context(made_space(cluster, "gang-quota"))
        space.client.create(quota)
        run = GangRun(Project(tmp_path, space, cluster, image, bucket), cluster, gangs="job")
        stack.callback(run.close)
        run.members()
