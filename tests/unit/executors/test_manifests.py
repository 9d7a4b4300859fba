"""Manifests of pods: what is in them, and what is never in them."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from headrace.executors.kubernetes.manifests import (
    PodKind,
    PodPlace,
    dns_label,
    label_of,
    pod_of,
    rounded,
    token_of,
)
from headrace.model.pods import PodSettings
from headrace.model.policy import Resources

PLACE = PodPlace(
    prefix="train-1",
    labels={"headrace.io/run": "train-1"},
    annotations={"headrace.io/run": "train/1"},
    address="10.0.0.5:7701",
    token="train-1-join",
    secret="stores",
    variables={"AWS_REGION": "us-east-1"},
)


def _pod(settings: PodSettings = PodSettings(), **resources: Any) -> dict[str, Any]:
    kind = PodKind(image="registry/headrace:1", resources=Resources(**resources), settings=settings)
    return pod_of("train-1-7", kind, PLACE)


def test_pod_meets_the_restricted_standard() -> None:
    spec = _pod()["spec"]
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert {name for one in spec["volumes"] for name in one} == {"name", "emptyDir", "secret"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert spec["automountServiceAccountToken"] is False


def test_resources_are_requests_and_all_but_cores_are_limits() -> None:
    settings = PodSettings(devices={"example.com/fpga": 2})
    resources = _pod(settings, cpu=0.5, memory=1 << 30, gpu=1)["spec"]["containers"][0]["resources"]
    assert resources["requests"] == {
        "cpu": "500m",
        "memory": str((1 << 30) + (128 << 20)),
        "nvidia.com/gpu": "1",
        "example.com/fpga": "2",
    }
    assert resources["limits"] == {key: value for key, value in resources["requests"].items() if key != "cpu"}
    amd = _pod(PodSettings(gpu="amd.com/gpu"), gpu=2)["spec"]["containers"][0]["resources"]
    assert amd["limits"] == {"amd.com/gpu": "2"}


def test_settings_of_the_step_are_in_the_pod() -> None:
    settings = PodSettings(
        node_selector={"disk": "ssd"},
        tolerations=[{"key": "gpu", "operator": "Exists"}],
        affinity={"nodeAffinity": {}},
        service_account="trainer",
        volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "big"}}],
        volume_mounts=[{"name": "data", "mountPath": "/data"}],
        secrets=["wandb", "stores"],
        config_maps=["tuning"],
        labels={"team": "blue", "headrace.io/run": "mine"},
        annotations={"note": "x"},
        priority_class="low",
        image_pull_policy="Always",
        image_pull_secrets=["registry"],
        runtime_class="gvisor",
        patch={"spec": {"dnsPolicy": "None", "containers": [{"name": "worker", "tty": True}, {"name": "proxy"}]}},
    )
    pod = _pod(settings)
    spec = pod["spec"]
    worker, proxy = spec["containers"]
    assert spec["nodeSelector"] == {"disk": "ssd"}
    assert list(spec["tolerations"]) == [{"key": "gpu", "operator": "Exists"}]
    assert spec["affinity"] == {"nodeAffinity": {}}
    assert (spec["serviceAccountName"], spec["automountServiceAccountToken"]) == ("trainer", True)
    assert spec["volumes"][-1] == {"name": "data", "persistentVolumeClaim": {"claimName": "big"}}
    assert worker["volumeMounts"][-1] == {"name": "data", "mountPath": "/data"}
    assert [next(iter(one.values()))["name"] for one in worker["envFrom"]] == ["stores", "wandb", "tuning"]
    assert pod["metadata"]["labels"]["team"] == "blue"
    assert pod["metadata"]["labels"]["headrace.io/run"] == "train-1", "pods are found by our labels"
    assert pod["metadata"]["annotations"] == {"note": "x", "headrace.io/run": "train/1"}
    assert (spec["priorityClassName"], spec["runtimeClassName"]) == ("low", "gvisor")
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert worker["imagePullPolicy"] == "Always"
    assert (worker["tty"], worker["image"], proxy["name"], spec["dnsPolicy"]) == (
        True,
        "registry/headrace:1",
        "proxy",
        "None",
    )


def test_joining_token_is_in_its_secret_alone() -> None:
    token = "hrw1.verysecret"
    secret = token_of("train-1-join", token, PLACE)
    assert token not in str(_pod())
    assert secret["data"] == {"token": "aHJ3MS52ZXJ5c2VjcmV0"}


def test_pods_go_with_their_owner() -> None:
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "driver", "uid": "1"}
    place = msgspec.structs.replace(PLACE, owner=owner)
    kind = PodKind(image="a", resources=Resources())
    assert pod_of("a", kind, place)["metadata"]["ownerReferences"] == [owner]
    assert token_of("a", "b", place)["metadata"]["ownerReferences"] == [owner]


_DNS = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


@given(st.text(max_size=100), st.integers(20, 63))
def test_any_text_has_a_name_that_kubernetes_takes(text: str, most: int) -> None:
    name, label = dns_label(text, most), label_of(text)
    assert _DNS.fullmatch(name)
    assert len(name) <= most
    assert _LABEL.fullmatch(label)
    assert len(label) <= 63


@given(st.text("aA_-. ", max_size=70), st.text("aA_-. ", max_size=70))
def test_different_texts_have_different_names(one: str, two: str) -> None:
    assert (dns_label(one) == dns_label(two)) == (one == two)
    assert (label_of(one) == label_of(two)) == (one == two)


@given(st.floats(0, 512), st.integers(0, 1 << 45), st.integers(0, 8))
def test_classes_of_resources_are_never_less_than_what_is_asked_for(cpu: float, memory: int, gpu: int) -> None:
    need = Resources(cpu, memory, gpu)
    found = rounded(need)
    assert found.cpu >= cpu - 1e-6
    assert found.cpu - cpu <= 0.5
    assert memory <= found.memory <= max(2, 1.5 * memory)
    assert (found.gpu, rounded(found)) == (gpu, found)


def test_equal_kinds_have_equal_digests_in_every_order() -> None:
    one = PodKind(image="a", resources=Resources(), settings=PodSettings(labels={"a": "1", "b": "2"}))
    two = PodKind(image="a", resources=Resources(), settings=PodSettings(labels={"b": "2", "a": "1"}))
    other = PodKind(image="a", resources=Resources(2))
    assert one.digest == two.digest != other.digest
