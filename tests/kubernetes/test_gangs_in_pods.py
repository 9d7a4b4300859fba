"""A gang in pods: all of it starts or none, members find each other, and they have one fate."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from lightkube.resources.core_v1 import Pod
from tests.clusters import Cluster
from tests.kubernetes.conftest import Space
from tests.kubernetes.projects import Project

#: Each member adds up what all have, by a ring of sockets, and then asks the test whether it may go on.
FLOW = """
import os
import socket
import time
from metaflow import FlowSpec, Parameter, current, parallel, resources, step

PORT = 29511


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
    listener = socket.create_server(("0.0.0.0", PORT))
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
        member = connect(main, PORT)
        member.sendall(f"{rank} {mine}\\n".encode())
        hosts = member.makefile().readline().split()
    following = connect(hosts[(rank + 1) % count], PORT)
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

    @step
    def start(self):
        self.next(self.train, num_parallel=2)

    @resources(cpu=0.05)
    @parallel
    @step
    def train(self):
        place = current.parallel
        self.total = all_reduce(10 + place.node_index, place.node_index, place.num_nodes, place.main_ip)
        host, _, port = self.gate.partition(":")
        with connect(host, int(port)) as gate:
            gate.settimeout(None)
            gate.sendall(f"{place.node_index} {os.environ['HEADRACE_POD']} {self.total}\\n".encode())
            assert gate.makefile().readline() == "go\\n"
        self.next(self.join)

    @step
    def join(self, inputs):
        self.totals = [one.total for one in inputs]
        self.next(self.end)

    @step
    def end(self):
        print("totals", self.totals)


if __name__ == "__main__":
    Ring()
"""


@pytest.fixture
def project(tmp_path: Path, space: Space, cluster: Cluster, image: str, bucket: dict[str, str]) -> Project:
    return Project(tmp_path, space, cluster, image, bucket)


@pytest.fixture
def gate() -> Iterator[socket.socket]:
    """Where members of a gang report and wait."""
    with socket.create_server(("0.0.0.0", 0)) as listener:
        listener.settimeout(150)
        yield listener


def members(gate: socket.socket, count: int, stack: contextlib.ExitStack) -> dict[int, tuple[socket.socket, str, int]]:
    """The members that report next: connection, pod and total by rank."""
    found = {}
    while len(found) < count:
        connection = gate.accept()[0]
        stack.callback(connection.close)
        connection.settimeout(150)
        with connection.makefile() as lines:
            rank, pod, total = lines.readline().split()
        found[int(rank)] = connection, pod, int(total)
    return found


@pytest.mark.timeout(600)
def test_gang_reduces_over_a_ring_and_starts_again_when_one_member_is_killed(
    project: Project, gate: socket.socket, cluster: Cluster, space: Space
) -> None:
    project.write(FLOW)
    address = f"{cluster.host}:{gate.getsockname()[1]}"
    process = project.start("run", "train.py", "--on", "pods", "--gate", address)
    with process, contextlib.ExitStack() as stack:
        stack.callback(process.kill)
        first = members(gate, 2, stack)
        assert {rank: total for rank, (_, _, total) in first.items()} == {0: 21, 1: 21}
        assert first[0][1] != first[1][1], "each member has a pod of its own"
        space.client.delete(Pod, first[1][1], grace_period=0)
        again = members(gate, 2, stack)
        assert again[1][1] != first[1][1]
        assert {rank: total for rank, (_, _, total) in again.items()} == {0: 21, 1: 21}
        for connection, _, _ in again.values():
            connection.sendall(b"go\n")
        said, _ = process.communicate(timeout=200)
    assert process.returncode == 0, said
    assert "totals [21, 21]" in said
