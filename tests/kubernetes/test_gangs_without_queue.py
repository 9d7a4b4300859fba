"""Gangs of plain pods that compete for nodes without a queue: none holds for ever what another one lacks."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from lightkube import Client
from lightkube.resources.core_v1 import Node, NodeStatus
from tests.clusters import Cluster
from tests.kubernetes.conftest import Space
from tests.kubernetes.projects import Project

FLOW = """
from metaflow import FlowSpec, current, parallel, resources, step

class Gang(FlowSpec):
    @resources(cpu=0.02)
    @step
    def start(self):
        self.next(self.train, num_parallel=3)

    @resources(cpu=0.02)
    @parallel
    @step
    def train(self):
        self.rank = current.parallel.node_index
        self.next(self.join)

    @resources(cpu=0.02)
    @step
    def join(self, inputs):
        self.ranks = sorted(one.rank for one in inputs)
        self.next(self.end)

    @resources(cpu=0.02)
    @step
    def end(self):
        print("ranks", self.ranks)

if __name__ == "__main__":
    Gang()
"""


class Devices:
    """Resources of a node that only these tests know, of which it has as many as they say."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._node = str(next(iter(client.list(Node))).metadata.name)  # type: ignore[union-attr]
        self._end = secrets.token_hex(3)
        self._names: set[str] = set()

    def name(self, kind: str) -> str:
        return f"headrace.test/{kind}-{self._end}"

    def offer(self, **numbers: int) -> None:
        """Let the node have so many of these kinds."""
        self._set({self.name(kind): str(number) for kind, number in numbers.items()})

    def _set(self, numbers: dict[str, str | None]) -> None:
        self._names |= numbers.keys()
        self._client.patch(NodeStatus, self._node, {"status": {"capacity": numbers, "allocatable": numbers}})

    def close(self) -> None:
        self._set(dict.fromkeys(self._names))


@pytest.fixture
def devices(space: Space) -> Iterator[Devices]:
    with contextlib.closing(Devices(space.client)) as made:
        yield made


@pytest.mark.timeout(400)
def test_gangs_of_two_runs_that_hold_each_others_nodes_give_them_back_and_both_end(
    tmp_path: Path, space: Space, cluster: Cluster, image: str, bucket: dict[str, str], devices: Devices
) -> None:
    devices.offer(seat=4, red=2, blue=2)  # seats for one gang and a third; each run gets two of its three pods
    runs: list[subprocess.Popen[str]] = []
    with contextlib.ExitStack() as stack:
        for color in ("red", "blue"):
            (tmp_path / color).mkdir()
            project = Project(tmp_path / color, space, cluster, image, bucket)
            wants = {"devices": {devices.name("seat"): 1, devices.name(color): 1}}
            project.write(FLOW, pod=wants, start_timeout="120s")
            runs.append(stack.enter_context(project.start("run", "train.py", "--on", "pods")))
            stack.callback(runs[-1].kill)
        for run in runs:
            assert run.stdout is not None
            assert any("a gang gives back the pods that it has" in line for line in run.stdout)
        devices.offer(red=3, blue=3)  # now only seats are short, and each may get any number of them
        for run in runs:
            said, _ = run.communicate(timeout=200)
            assert run.returncode == 0, said
            assert "ranks [0, 1, 2]" in said
