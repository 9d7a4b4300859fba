"""``ClusterApi`` against the real API server: pods made, watched and deleted, and everything that may be refused."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.rbac_v1 import PolicyRule, RoleRef, Subject
from lightkube.resources.rbac_authorization_v1 import Role, RoleBinding
from tests.clusters import Cluster
from tests.kubernetes.conftest import Space
from tests.kubernetes.watching import LABELS, Heard, bare_pod, redirected

from headrace.executors.kubernetes.access import Access
from headrace.executors.kubernetes.api import ClusterApi, check_access
from headrace.executors.kubernetes.client import ClusterClient, Kind
from headrace.executors.kubernetes.happenings import Away, Back, CreateRefused, PodEvent, PodGone, PodLog, PodSeen
from headrace.executors.kubernetes.permission import VERBS
from headrace.model.errors import UsageError
from headrace.testing.api_requests import counted_requests
from headrace.testing.proxy import Proxy

QUOTA = Kind("v1", "ResourceQuota")
POD = Kind("v1", "Pod")


@pytest.fixture
def client(cluster: Cluster, space: Space) -> Iterator[ClusterClient]:
    with ClusterClient(Access(str(cluster.kubeconfig)), space.name) as client:
        yield client
        for pod in list(client.list(POD)):
            client.delete(POD, pod["metadata"]["name"], grace=0)


@pytest.fixture
def api(cluster: Cluster, space: Space, client: ClusterClient) -> Iterator[ClusterApi]:
    with closing(ClusterApi(Access(str(cluster.kubeconfig)), space.name, LABELS)) as api:
        api.start()
        yield api


def _quota(pods: int) -> dict[str, Any]:
    spec = {"hard": {"pods": str(pods)}}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": spec}


def _token(client: ClusterClient, account: str) -> str:
    """A token of a new service account, which has no rights."""
    client.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}})
    path = f"/api/v1/namespaces/{client.namespace}/serviceaccounts/{account}/token"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    return str(client.request("POST", path, body)["status"]["token"])


def _with_token(cluster: Cluster, target: Path, token: str) -> Access:
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    target.write_text(json.dumps(config))
    return Access(str(target))


def _refusal(access: Access, namespace: str) -> str:
    with pytest.raises(UsageError) as caught, closing(ClusterApi(access, namespace, LABELS)) as api:
        api.start()
    return str(caught.value)


def test_pod_is_seen_from_its_creation_to_its_end_with_events_and_log(api: ClusterApi, image: str) -> None:
    heard = Heard(api)
    pod = bare_pod("one", image, schedulerName="default-scheduler", terminationGracePeriodSeconds=1)
    pod["spec"]["containers"][0] |= {"command": ["sh", "-c", "echo spoken; exit 3"], "imagePullPolicy": "IfNotPresent"}
    api.create_pod(pod)
    heard.until(lambda all_: any(isinstance(one, PodSeen) and one.pod["status"]["phase"] == "Failed" for one in all_))
    heard.until(lambda all_: any(isinstance(one, PodEvent) and one.event["reason"] == "Started" for one in all_))
    api.fetch_log("one")
    api.fetch_log("never-there")
    heard.until(lambda all_: sum(isinstance(one, PodLog) for one in all_) == 2)
    logs = {one.name: one for one in heard.all if isinstance(one, PodLog)}
    assert logs["one"].text == "spoken\n"
    assert "not found" in logs["never-there"].error

    api.delete_pod("one", 0)
    heard.until(lambda all_: isinstance(all_[-1], PodGone))
    gone = heard.all[-1]
    assert isinstance(gone, PodGone)
    assert gone.pod is not None
    assert gone.pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3


def test_burst_of_creations_is_answered_pod_by_pod(api: ClusterApi, client: ClusterClient) -> None:
    names = {f"burst-{number}" for number in range(100)}
    heard = Heard(api)
    for name in sorted(names):
        api.create_pod(bare_pod(name))
    heard.until(lambda _: heard.alive() == names)
    assert sum(isinstance(one, PodSeen) for one in heard.all) == len(names)
    for name in names:
        api.delete_pod(name, 0)
    heard.until(lambda _: not heard.alive())


def test_many_pods_are_deleted_with_one_request_and_one_by_one_without_the_right(
    cluster: Cluster, space: Space, client: ClusterClient, tmp_path: Path
) -> None:
    few = Role(metadata=ObjectMeta(name="few"), rules=[PolicyRule(apiGroups=[""], resources=["pods"], verbs=[*VERBS])])
    space.client.create(few)
    subject = Subject(kind="ServiceAccount", name="few", namespace=space.name)
    role = RoleRef(apiGroup="rbac.authorization.k8s.io", kind="Role", name="few")
    space.client.create(RoleBinding(metadata=ObjectMeta(name="few"), roleRef=role, subjects=[subject]))
    limited = _with_token(cluster, tmp_path / "few.json", _token(client, "few"))
    for access, deletions in ((Access(str(cluster.kubeconfig)), 1), (limited, 31)):
        names = [f"pod-{number}" for number in range(30)]
        with counted_requests(access.kubeconfig) as requests:
            with closing(ClusterApi(Access(str(requests.kubeconfig)), space.name, LABELS)) as api:
                api.start()
                heard = Heard(api)
                for name in names:
                    api.create_pod(bare_pod(name))
                heard.until(lambda _: len(heard.alive()) == 30)
                api.create_pod(bare_pod("late"))  # perhaps under way, perhaps not begun
                api.delete_pods([*names, "late"], LABELS, 0)
            assert requests.total("DELETE") - requests.counted["DELETE pods"] == 0
            # Those whose creation is not answered yet, though the watch has told of it, are deleted one by one.
            assert deletions <= requests.counted["DELETE pods"] <= deletions + 10
        assert not list(client.list(POD, LABELS))


def test_pods_beyond_the_quota_are_refused_and_the_others_made(api: ClusterApi, client: ClusterClient) -> None:
    client.create(_quota(2))
    heard = Heard(api)
    try:
        until = time.monotonic() + 60
        while "hard" not in (client.get(QUOTA, "few").get("status") or {}):  # the quota is not counted before
            assert time.monotonic() < until
            time.sleep(0.05)
        for number in range(6):
            api.create_pod(bare_pod(f"many-{number}"))
        heard.until(lambda all_: sum(isinstance(one, CreateRefused) for one in all_) == 4 and len(heard.alive()) == 2)
    finally:
        client.delete(QUOTA, "few")
    refused = [one for one in heard.all if isinstance(one, CreateRefused)]
    assert {(one.code, one.reason) for one in refused} == {(403, "Forbidden")}
    assert all("exceeded quota: few" in one.message for one in refused)


def test_refusals_name_what_is_wrong_with_the_pod(api: ClusterApi) -> None:
    heard = Heard(api)
    api.create_pod(bare_pod("No_Label"))
    heard.until(lambda all_: any(isinstance(one, CreateRefused) for one in all_))
    (refused,) = [one for one in heard.all if isinstance(one, CreateRefused)]
    assert (refused.name, refused.code, refused.reason) == ("No_Label", 422, "Invalid")


def test_deletions_are_answered_whoever_asks_and_whether_or_not_there_is_a_pod(
    api: ClusterApi, client: ClusterClient
) -> None:
    heard = Heard(api)
    for number in range(30):  # the last ones wait for the first
        api.create_pod(bare_pod(f"short-{number}"))
        api.delete_pod(f"short-{number}", 0)
    api.delete_pod("never-there", 0)
    client.create(bare_pod("by-hand"))
    heard.until(lambda _: "by-hand" in heard.alive())
    client.delete(POD, "by-hand", grace=0)
    heard.until(lambda all_: {one.name for one in all_ if isinstance(one, PodGone)} >= {"by-hand", "never-there"})
    heard.until(
        lambda all_: {f"short-{n}" for n in range(30)} <= {one.name for one in all_ if isinstance(one, PodGone)}
    )
    heard.until(lambda _: not list(client.list(POD)))


def test_pods_of_others_and_events_about_them_are_not_told(api: ClusterApi, client: ClusterClient) -> None:
    heard = Heard(api)
    other = bare_pod("other")
    other["metadata"]["labels"] = {"headrace-test": "other"}
    client.create(other)
    client.create(bare_pod("own"))
    heard.until(lambda _: "own" in heard.alive())
    assert {one.pod["metadata"]["name"] for one in heard.all if isinstance(one, PodSeen)} == {"own"}


def test_server_that_is_away_is_told_once_and_nothing_is_lost_meanwhile(
    cluster: Cluster, space: Space, client: ClusterClient, tmp_path: Path
) -> None:
    for name in ("stays", "goes"):
        client.create(bare_pod(name))
    kubeconfig = tmp_path / "kubeconfig"
    target = redirected(cluster.kubeconfig, ("127.0.0.1", 1), kubeconfig)
    with Proxy(target) as proxy:
        redirected(cluster.kubeconfig, proxy.address, kubeconfig)
        with closing(ClusterApi(Access(str(kubeconfig)), space.name, LABELS)) as api:
            api.start()
            heard = Heard(api)
            heard.until(lambda _: heard.alive() == {"stays", "goes"})
            proxy.refusing = True
            proxy.cut()
            heard.until(lambda all_: any(isinstance(one, Away) for one in all_))
            api.create_pod(bare_pod("asked-for"))
            client.delete(POD, "goes", grace=0)
            client.create(bare_pod("comes"))
            time.sleep(1)
            proxy.refusing = False
            heard.until(lambda _: heard.alive() == {"stays", "comes", "asked-for"})
            heard.until(lambda all_: any(isinstance(one, Back) for one in all_))
    assert sum(isinstance(one, Away) for one in heard.all) == 1
    (away,) = [one for one in heard.all if isinstance(one, Away)]
    assert f"{proxy.address[1]} does not answer" in away.why
    assert abs(time.time() - away.since) < 60


def test_missing_right_is_named_with_what_grants_it(
    cluster: Cluster, space: Space, client: ClusterClient, tmp_path: Path
) -> None:
    access = _with_token(cluster, tmp_path / "kubeconfig", _token(client, "nobody"))
    text = _refusal(access, space.name)
    assert f"has no right to create, delete, list, watch pods in namespace '{space.name}'" in text
    assert "headrace place manifest" in text


def test_credentials_that_do_not_hold_any_more_are_named_and_new_ones_used_without_a_restart(
    cluster: Cluster, space: Space, client: ClusterClient, tmp_path: Path
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    access = _with_token(cluster, kubeconfig, _token(client, "leaves"))
    binding = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "leaves"}}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"}
    account = {"kind": "ServiceAccount", "name": "leaves", "namespace": space.name}
    client.create({**binding, "roleRef": role, "subjects": [account]})
    until = time.monotonic() + 60
    while not _may_begin(access, space.name):  # the right takes a moment
        assert time.monotonic() < until
    with closing(ClusterApi(access, space.name, LABELS)) as api:
        api.start()
        client.delete(Kind("v1", "ServiceAccount"), "leaves")
        while _may_begin(access, space.name):  # the server remembers tokens for ten seconds
            assert time.monotonic() < until
            time.sleep(0.2)
        text = _refusal(access, space.name)
        assert "does not accept the credentials" in text
        assert "log in again" in text

        heard = Heard(api)
        api.create_pod(bare_pod("asked-for"))
        heard.until(lambda all_: any(isinstance(one, Away) for one in all_))
        kubeconfig.write_bytes(cluster.kubeconfig.read_bytes())
        heard.until(lambda all_: any(isinstance(one, Back) for one in all_))
        heard.until(lambda _: heard.alive() == {"asked-for"})
    (away,) = [one for one in heard.all if isinstance(one, Away)]
    assert "log in again" in away.why
    assert not any(isinstance(one, CreateRefused) for one in heard.all)


def _may_begin(access: Access, namespace: str) -> bool:
    with closing(ClusterApi(access, namespace, LABELS)) as api:
        try:
            check_access(api.client)
        except UsageError:
            return False
    return True


def test_namespace_that_is_missing_or_being_deleted_is_named(cluster: Cluster, client: ClusterClient) -> None:
    access = Access(str(cluster.kubeconfig))
    missing = f"{client.namespace}-missing"
    assert f"namespace '{missing}' does not exist" in _refusal(access, missing)

    leaving = f"{client.namespace}-leaving"
    client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": leaving}})
    held = {"name": "held", "finalizers": ["headrace.io/test"]}
    with ClusterClient(access, leaving) as inside:
        inside.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": held})
        client.delete(Kind("v1", "Namespace"), leaving)
        try:
            assert f"namespace '{leaving}' is being deleted" in _refusal(access, leaving)
        finally:
            inside.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**held, "finalizers": []}})
            path = Kind("v1", "ConfigMap").path(leaving, "held")
            patch = [{"op": "remove", "path": "/metadata/finalizers"}]
            inside.request("PATCH", path, patch, content="application/json-patch+json")


def test_server_or_context_that_cannot_be_had_is_named(cluster: Cluster, tmp_path: Path) -> None:
    assert "has no context 'elsewhere'; it has: " in _refusal(Access(str(cluster.kubeconfig), "elsewhere"), "any")
    redirected(cluster.kubeconfig, ("127.0.0.1", 1), tmp_path / "kubeconfig")
    assert "https://127.0.0.1:1 does not answer" in _refusal(Access(str(tmp_path / "kubeconfig")), "any")
