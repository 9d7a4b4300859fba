"""What pods ask of nodes, shown by real pods: volumes, caches, devices, priority, runtime; and several clusters."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from lightkube import ApiError
from lightkube.core.client import Client
from lightkube.models.core_v1 import (
    HostPathVolumeSource,
    NodeSpec,
    NodeStatus,
    PersistentVolumeClaimSpec,
    PersistentVolumeSpec,
    Taint,
    VolumeResourceRequirements,
)
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.authentication_v1 import TokenReview
from lightkube.resources.core_v1 import (
    Namespace,
    Node,
    PersistentVolume,
    PersistentVolumeClaim,
    Pod,
    ServiceAccount,
)
from lightkube.resources.node_v1 import RuntimeClass
from lightkube.resources.scheduling_v1 import PriorityClass
from lightkube.types import PatchType
from tests.clusters import Cluster
from tests.kubernetes.conftest import Space
from tests.kubernetes.projects import Project
from tests.kubernetes.test_pods_trouble import pods, wait_for

from headrace.testing.proxy import ConnectProxy

NODES = """
import os
import socket
from pathlib import Path
import numpy as np
from headrace import Pod, flow, step

SIZE = 16 << 20
CACHE = dict(
    volumes=[{{"name": "node-cache", "hostPath": {{"path": {cache!r}}}}}],
    volume_mounts=[{{"name": "node-cache", "mountPath": "/headrace/cache"}}],
)
DATA = Pod(
    volumes=[
        {{"name": "data", "persistentVolumeClaim": {{"claimName": "data"}}}},
        {{"name": "identity", "projected": {{"sources": [
            {{"serviceAccountToken": {{"path": "token", "audience": "sts.test", "expirationSeconds": 600}}}}]}}}},
    ],
    volume_mounts=[{{"name": "data", "mountPath": "/data"}}, {{"name": "identity", "mountPath": "/identity"}}],
    service_account="trainer", priority_class={name!r}, runtime_class={name!r}, labels={{"side": "data"}},
    affinity={{"nodeAffinity": {{"requiredDuringSchedulingIgnoredDuringExecution": {{"nodeSelectorTerms": [
        {{"matchExpressions": [{{"key": {name!r}, "operator": "Exists"}}]}}]}}}}}},
)

def received() -> int:
    lines = [one.split() for one in Path("/proc/net/dev").read_text().splitlines()]
    return sum(int(one[1]) for one in lines if one[0] not in ("lo:", "Inter-|", "face"))

def make(n):
    return np.random.default_rng(n).bytes(SIZE)

def seen(value) -> tuple:
    return len(value), received() > SIZE, "/cache/" in Path("/proc/self/maps").read_text(), socket.gethostname()

@step(cpu=0.02, pod=Pod(labels={{"side": "a"}}))
def alone(n: int) -> np.ndarray:
    return np.frombuffer(make(n), dtype="u1")

@step(cpu=0.02, pod=Pod(labels={{"side": "a"}}))
def again(value: np.ndarray) -> tuple:
    return seen(value)

@step(cpu=0.02, pod=Pod(labels={{"side": "b"}}, **CACHE))
def shared(n: int) -> np.ndarray:
    return np.frombuffer(make(n), dtype="u1")

@step(cpu=0.02, pod=Pod(labels={{"side": "c"}}, **CACHE))
def beside(value: np.ndarray) -> tuple:
    return seen(value)

@step(cpu=0.02, pod=DATA)
def keep(text: str) -> None:
    Path("/data/kept").write_text(text)
    Path("/data/token").write_text(Path("/identity/token").read_text())

@step(cpu=0.02, pod=Pod(volumes=DATA.volumes[:1], volume_mounts=DATA.volume_mounts[:1]))
def kept() -> str:
    return Path("/data/kept").read_text()

@step(cpu=0.02, gpu=1)
def devices(n: int) -> str:
    return socket.gethostname()

@flow
def train() -> dict:
    found = devices.map([1, 2])
    a, c = alone.submit(1), shared.submit(2)
    keep("a word")
    return {{
        "again": again(a), "beside": beside(c), "elsewhere": beside(a), "kept": kept(),
        "devices": sorted({{one.result() for one in found}}),
    }}
"""


@pytest.fixture
def project(tmp_path: Path, space: Space, cluster: Cluster, image: str, bucket: dict[str, str]) -> Project:
    return Project(tmp_path, space, cluster, image, bucket)


class Prepared(NamedTuple):
    """A node with a GPU, and things of the cluster that are all called ``name``; folders of a volume and of a cache."""

    name: str
    data: Path
    cache: Path


@pytest.fixture
def prepared(space: Space, tmp_path: Path) -> Iterator[Prepared]:
    client, name = space.client, f"hr-{secrets.token_hex(4)}"
    folders = [tmp_path / "data", tmp_path / "node-cache"]
    for folder in folders:
        folder.mkdir()
        folder.chmod(0o777)  # the node is this machine, and pods have a user of their own
    node = str(next(iter(client.list(Node))).metadata.name)  # type: ignore[union-attr]
    size = {"storage": "1Mi"}
    volume = PersistentVolumeSpec(
        capacity=size,
        accessModes=["ReadWriteMany"],
        storageClassName=name,
        hostPath=HostPathVolumeSource(path=str(folders[0])),
    )
    claim = PersistentVolumeClaimSpec(
        accessModes=["ReadWriteMany"], storageClassName=name, resources=VolumeResourceRequirements(requests=size)
    )
    called = ObjectMeta(name=name)
    client.create(PersistentVolume(metadata=called, spec=volume))
    client.create(PersistentVolumeClaim(metadata=ObjectMeta(name="data"), spec=claim))
    client.create(PriorityClass(metadata=called, value=77))
    client.create(RuntimeClass(metadata=called, handler="runc"))
    client.create(ServiceAccount(metadata=ObjectMeta(name="trainer")))
    _change_node(client, node, name, "", "1")
    try:
        yield Prepared(name, *folders)
    finally:
        for kind in (PriorityClass, RuntimeClass, PersistentVolume):
            client.delete(kind, name, grace_period=0)
        _change_node(client, node, name, None, None)


def _change_node(client: Client, node: str, label: str, value: str | None, gpus: str | None) -> None:
    client.patch(Node, node, {"metadata": {"labels": {label: value}}})
    capacity = {"capacity": {"nvidia.com/gpu": gpus}, "allocatable": {"nvidia.com/gpu": gpus}}
    client.patch(Node.Status, node, {"status": capacity}, patch_type=PatchType.MERGE)


def test_pods_get_what_they_ask_of_their_node(project: Project, space: Space, prepared: Prepared) -> None:
    project.write(NODES.format(cache=str(prepared.cache), name=prepared.name), limits={"pods": 8})
    seen: dict[str, Any] = {}
    token, accounts = prepared.data / "token", set[str]()
    run = project.start("run", "train.py", "--on", "pods")
    try:
        while run.poll() is None:
            seen.update({one.metadata.name: one for one in pods(space)})
            if token.exists() and not accounts:
                accounts.add(_account_of(space, token.read_text()))  # it is good for as long as its pod lives
        said = run.communicate()[0]
    finally:
        run.kill()
    assert run.returncode == 0, said
    result = project.result("train/1")
    size = 16 << 20
    assert result["again"][:3] == (size, False, True), "what the same worker made is mapped, and not fetched again"
    assert result["beside"][:3] == (size, False, True), "another pod has it from the cache of the node"
    assert result["elsewhere"] == (size, True, True, result["beside"][3]), "and fetches what is not there"
    assert result["kept"] == "a word", "a volume claim is the same for two pods"
    assert accounts == {f"system:serviceaccount:{space.name}:trainer"}
    assert len(result["devices"]) == 1, "the node has one GPU, so the second task waits for the pod of the first one"
    specs = [one.spec for one in seen.values() if one.metadata.labels.get("side") == "data"]
    assert {(one.priority, one.runtimeClassName) for one in specs} == {(77, prepared.name)}


def _account_of(space: Space, token: str) -> str:
    """Whose token it is, as who gives credentials for tokens asks the cluster (workload identity)."""
    review = TokenReview.from_dict({"spec": {"token": token, "audiences": ["sts.test"]}})
    status = space.client.create(review).status
    assert status is not None
    assert status.authenticated, status.error
    assert status.user is not None
    return str(status.user.username)


PLACES = """
import socket
from headrace import flow, step

@step(cpu=0.02, place="pods")
def one(n: int) -> tuple:
    return socket.gethostname(), n

@step(cpu=0.02, place="other")
def two(before: tuple) -> tuple:
    return socket.gethostname(), before[1] + 1

@step(cpu=0.02, place="pods")
def three(before: tuple) -> tuple:
    return socket.gethostname(), before[1] + 1

@step(cpu=0.02, place="same")
def four(before: tuple) -> tuple:
    return socket.gethostname(), before[1] + 1

@flow
def train() -> list:
    first = one(1)
    second = two(first)
    third = three(second)
    return [first, second, third, four(third)]
"""


def test_run_uses_three_places_one_of_them_behind_a_proxy(
    project: Project, space: Space, cluster: Cluster, tmp_path: Path
) -> None:
    """The second one is another namespace by another context, whose API server and pods are reached by a proxy, and the
    third one is in the same namespace as the first one."""
    proxy = ConnectProxy()
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    [here] = config["clusters"]
    config["clusters"].append({"name": "far", "cluster": {**here["cluster"], "proxy-url": proxy.url}})
    other = f"{space.name}-b"
    far = {"cluster": "far", "user": config["users"][0]["name"], "namespace": other}
    config["contexts"].append({"name": "far", "context": far})
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config))
    space.client.create(Namespace(metadata=ObjectMeta(name=other)))
    try:
        wait_for(lambda: _exists(space, other))
        project.write(PLACES)
        project.add_place("same")
        project.add_place("other", kubeconfig=str(kubeconfig), context="far", namespace="", address="forward")
        said = project.run("run", "train.py", "--on", "pods")
        (one, a), (two, b), (three, c), (four, d) = project.result("train/1")
        assert (a, b, c, d) == (1, 2, 3, 4), said
        assert one == three
        assert len({one, two, four}) == 3
        where = project.run("show", "train/1/two/1")
        assert two in where
        assert set(proxy.asked) == {"127.0.0.1:6443"}
    finally:
        space.client.delete(Namespace, other, grace_period=0)
        proxy.close()


def _exists(space: Space, namespace: str) -> bool:
    try:
        space.client.get(ServiceAccount, "default", namespace=namespace)
    except ApiError:
        return False
    return True


TAINTED = """
from headrace import Pod, flow, step

@step(cpu=0.02, pod=Pod(node_selector={{"kubernetes.io/hostname": {node!r}}}, labels={{"may": "no"}}))
def refused() -> None: ...

@step(cpu=0.02, pod=Pod(
    labels={{"may": "yes"}},
    tolerations=[{{"key": one, "operator": "Exists"}} for one in ({node!r}, "node.kubernetes.io/not-ready")],
    affinity={{"nodeAffinity": {{"requiredDuringSchedulingIgnoredDuringExecution": {{"nodeSelectorTerms": [
        {{"matchExpressions": [{{"key": "kubernetes.io/hostname", "operator": "In", "values": [{node!r}]}}]}}]}}}}}},
))
def taken() -> None: ...

@flow
def train() -> None:
    [one.result() for one in (refused.submit(), taken.submit())]
"""


@pytest.fixture
def tainted(space: Space) -> Iterator[str]:
    """A node that takes only pods which tolerate its taint; no machine is behind it."""
    name = f"hr-node-{secrets.token_hex(4)}"
    room = {"cpu": "4", "memory": "8Gi", "pods": "10"}
    made = Node(
        metadata=ObjectMeta(name=name, labels={"kubernetes.io/hostname": name}),
        spec=NodeSpec(taints=[Taint(key=name, effect="NoSchedule", value="dedicated")]),
        status=NodeStatus(capacity=room, allocatable=room),
    )
    space.client.create(made)
    yield name
    space.client.delete(Node, name, grace_period=0)


def test_pods_go_to_tainted_nodes_if_they_tolerate_the_taint_and_else_say_so(
    project: Project, space: Space, tainted: str
) -> None:
    project.write(TAINTED.format(node=tainted))
    run = project.start("run", "train.py", "--on", "pods")
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.extend(run.stdout or ()))
    reader.start()
    try:
        wait_for(lambda: _node_of(space, "yes") == tainted)
        assert _node_of(space, "no") is None
        wait_for(lambda: any("has a taint that the pod does not tolerate" in one for one in said))
    finally:
        run.kill()
        reader.join()
        run.communicate()
        for one in pods(space):
            space.client.delete(Pod, one.metadata.name, grace_period=0)  # no kubelet ends them


def _node_of(space: Space, may: str) -> str | None:
    return next((one.spec.nodeName for one in pods(space) if (one.metadata.labels or {}).get("may") == may), None)
