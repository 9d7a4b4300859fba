"""``headrace place``: what is missing is named with the YAML that grants it, and with that YAML runs work."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster import common
from tests.clusters import Cluster
from tests.kubernetes.conftest import Space
from tests.kubernetes.projects import Project, act_as, checks_of, kubectl, missing_in

from headrace.executors.kubernetes.access import Access
from headrace.executors.kubernetes.client import ClusterClient, Kind

FLOW = """
from headrace import flow, step

@step(cpu=0.05)
def double(n: int) -> int:
    return 2 * n

@flow
def train() -> list[int]:
    return [one.result() for one in double.map([1, 2, 3])]
"""


@pytest.fixture
def client(cluster: Cluster, space: Space) -> Iterator[ClusterClient]:
    with ClusterClient(Access(str(cluster.kubeconfig)), space.name) as client:
        yield client


@pytest.fixture
def project(tmp_path: Path, space: Space, cluster: Cluster, image: str, bucket: dict[str, str]) -> Project:
    return Project(tmp_path, space, cluster, image, bucket)


def test_missing_rights_are_named_and_the_yaml_beside_them_grants_them(
    project: Project, client: ClusterClient, cluster: Cluster
) -> None:
    project.write(FLOW)
    act_as(project, cluster, "few")
    checks = checks_of(project, 1)
    assert missing_in(checks) == {"right: pods", "right: secrets", "rights"}, (
        "a driver here with an address needs no more"
    )
    user = f"system:serviceaccount:{client.namespace}:few"
    text = checks["right: secrets"]["text"]
    assert text == "may not create, patch, delete: needed to give workers the token with which they join"
    assert user in checks["rights"]["text"]
    assert checks["right: events"]["ok"] is None, "runs go without it"
    assert checks["pod"]["ok"] is None, "it is not tried without the rights"

    said = project.run("place", "check", "pods", code=1)
    granted = said[said.index("\n# rights: ") : said.rindex("\n\n")]  # what is copied from the terminal
    kubectl(cluster.kubeconfig, "apply", "-f", "-", given=granted)
    checks = checks_of(project, 0)
    assert {one["ok"] for one in checks.values()} == {True}, checks
    assert "written and read back" in checks["in a pod: artifacts writable"]["text"]


def test_user_of_a_namespace_needs_no_more_than_the_printed_manifest_with_drivers_here_and_there(
    tmp_path: Path,
    space: Space,
    client: ClusterClient,
    cluster: Cluster,
    image: str,
    bucket: dict[str, str],
    database: str,
) -> None:
    project = Project(tmp_path, space, cluster, image, bucket)
    stores = bucket | {"HEADRACE_DATABASE": database, "HEADRACE_ARTIFACTS": project.environ["HEADRACE_ARTIFACTS"]}
    project.environ |= {"HEADRACE_DATABASE": database, "HEADRACE_PROJECT": "driven"}
    del project.settings["address"]
    project.settings |= {"driver": "cluster", "driver_account": "headrace-driver", "secret": "kept", "variables": {}}
    project.write(FLOW)
    kubeconfig = act_as(project, cluster, "me")
    said = project.run("run", "train.py", "--on", "pods", code=2)
    assert "no driver can be started in place 'pods'" in said
    assert "`headrace place check pods` says what it lacks" in said
    assert json.loads(project.run("runs", "--json"))[0]["state"] == "failed", "it does not wait for a driver for ever"
    manifest = project.run("place", "manifest", "pods", "--user", f"system:serviceaccount:{client.namespace}:me")
    kubectl(cluster.kubeconfig, "apply", "-f", "-", given=manifest)  # what an administrator does
    project.write(FLOW, start_timeout="5s")
    said = project.run("place", "check", "pods", code=1)
    assert f"kubectl create secret generic kept --namespace {space.name} --from-env-file stores.env" in said
    project.write(FLOW)
    (tmp_path / "stores.env").write_text("".join(f"{name}={value}\n" for name, value in stores.items()))
    kubectl(kubeconfig, "create", "secret", "generic", "kept", "--from-env-file", str(tmp_path / "stores.env"))
    said = project.run("place", "check", "pods")
    assert "MISSING" not in said
    assert said.endswith("Place pods can be used.\n")

    said = project.run("run", "train.py", "--on", "pods")
    assert project.result("train/2") == [2, 4, 6], said
    said = project.run("run", "train.py", "--on", "pods", "--driver", "here")  # forwarded: the place has no address
    assert project.result("train/3") == [2, 4, 6], said
    for right, expected in (("create pods", "yes"), ("list secrets", "no"), ("create deployments.apps", "no")):
        words = (
            "auth",
            "can-i",
            *right.split(),
            "--as",
            f"system:serviceaccount:{client.namespace}:me",
            "--namespace",
            client.namespace,
        )
        answer = subprocess.run(
            [common.BIN / "kubectl", "--kubeconfig", cluster.kubeconfig, *words], capture_output=True, text=True
        )
        assert answer.stdout.strip() == expected, (right, answer)


def test_what_keeps_pods_of_a_place_from_work_is_named(project: Project, client: ClusterClient, database: str) -> None:
    pod = {"service_account": "nobody", "config_maps": ["tuning"], "priority_class": "none-such"}
    project.write(FLOW, secret="stores", queue="research", pod=pod)
    checks = checks_of(project, 1)
    absent = {
        "secret stores",
        "config map tuning",
        "priority class none-such",
        "service account nobody",
    }
    # A cluster without Kueue, as most are until tests add it, has no queues at all.
    assert missing_in(checks) in ({*absent, "pod", queue} for queue in ("queue research", "queues"))
    assert 'serviceaccount "nobody" not found' in checks["pod"]["text"]
    assert "kind: ServiceAccount" in checks["service account nobody"]["grant"]

    # A secret that names a database which is not there, and an image that is another.
    wrong = {"HEADRACE_DATABASE": "postgresql://postgres@127.0.0.1:1/none"}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "stores"}, "stringData": wrong}
    client.create(secret)
    project.write(FLOW, secret="stores")
    checks = checks_of(project, 1)
    assert missing_in(checks) == {"in a pod: database"}
    client.apply({**secret, "stringData": {"HEADRACE_DATABASE": database}})
    assert "answered in" in checks_of(project, 0)["in a pod: database"]["text"]
    elsewhere = {"HEADRACE_DATABASE": database, "HEADRACE_ARTIFACTS": f"{project.environ['HEADRACE_ARTIFACTS']}x"}
    client.apply({**secret, "stringData": elsewhere})
    assert "not those of this machine" in checks_of(project, 1)["in a pod: artifacts writable"]["advice"]
    project.write(FLOW, image="localhost/headrace/none:1", start_timeout="3s")
    checks = checks_of(project, 1)
    assert "image localhost/headrace/none:1 cannot be pulled" in checks["pod"]["text"]
    left = [one["metadata"]["name"] for one in client.list(Kind("v1", "Pod"))]
    assert not [name for name in left if name.startswith("headrace-check")] or _gone(client)


def _gone(client: ClusterClient) -> bool:
    until = time.monotonic() + 60
    while any(one["metadata"]["name"].startswith("headrace-check") for one in client.list(Kind("v1", "Pod"))):
        assert time.monotonic() < until
        time.sleep(0.2)
    return True


def test_namespace_quota_and_place_that_cannot_be_used_are_named(project: Project, client: ClusterClient) -> None:
    spec = {"hard": {"pods": "0"}}
    client.create({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": spec})
    try:
        until = time.monotonic() + 60
        while "hard" not in (client.get(Kind("v1", "ResourceQuota"), "none").get("status") or {}):
            assert time.monotonic() < until
            time.sleep(0.05)
        project.write(FLOW)
        checks = checks_of(project, 1)
        assert checks["quota none"]["text"] == "used: 0 of 0 pods"
        assert "quota none" in checks["pod"]["text"]
    finally:
        client.delete(Kind("v1", "ResourceQuota"), "none")

    project.write(FLOW, namespace=f"{client.namespace}-missing")
    checks = checks_of(project, 1)
    assert missing_in(checks) == {"namespace"}
    assert "kind: Namespace" in checks["namespace"]["grant"]
    del project.environ["HEADRACE_ARTIFACTS"]
    project.write(FLOW, context="elsewhere")
    checks = checks_of(project, 1)
    assert missing_in(checks) == {"artifacts", "configuration"}
    assert "has no context 'elsewhere'" in checks["configuration"]["text"]
    assert "there is no place 'nowhere'" in project.run("place", "check", "nowhere", code=2)


def test_server_of_the_manifest_serves_the_stores_of_the_secret(
    project: Project, client: ClusterClient, cluster: Cluster, database: str
) -> None:
    values = {"HEADRACE_DATABASE": database, "HEADRACE_ARTIFACTS": project.environ["HEADRACE_ARTIFACTS"]}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "served"}, "stringData": values}
    client.create(secret)
    project.write(FLOW, secret="served")
    manifest = project.run("place", "manifest", "pods", "--with-server", "--behind-proxy", "10.0.0.0/8")
    kubectl(cluster.kubeconfig, "apply", "-f", "-", given=manifest)
    kind = Kind("apps/v1", "Deployment")
    until = time.monotonic() + 90
    while not (client.get(kind, "headrace-server").get("status") or {}).get("readyReplicas"):
        assert time.monotonic() < until, [client.log(one["metadata"]["name"]) for one in client.list(Kind("v1", "Pod"))]
        time.sleep(0.3)
    client.delete(kind, "headrace-server")
