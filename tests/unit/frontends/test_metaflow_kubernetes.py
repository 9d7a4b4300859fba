"""``@kubernetes`` as pods: every attribute of Metaflow's decorator is honoured or refused by its name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.frontends.metaflow.authoring.decorators import STEP_DEFAULTS
from headrace.frontends.metaflow.exceptions import MetaflowException, NotSupportedException
from headrace.frontends.metaflow.running.kubernetes import pods_of
from headrace.frontends.metaflow.running.plan import cluster_of
from headrace.model.pods import PodSettings

#: Attributes that change nothing of a pod here, and why.
WITHOUT_EFFECT = {
    "hostname_resolution_timeout": "members of a gang begin together, with their addresses",
    "tmpfs_tempdir": "says whether a variable is set, where there is a tmpfs",
    "tmpfs_path": "says where it is",
    "qos": "burstable is how pods are",
}
VALUES: dict[str, Any] = {
    "cpu": 2,
    "memory": 512,
    "disk": 2048,
    "gpu": 1,
    "gpu_vendor": "amd",
    "image": "example/image:1",
    "image_pull_policy": "Always",
    "image_pull_secrets": ["pull"],
    "service_account": "runner",
    "secrets": ["db", "s3"],
    "node_selector": "disk=ssd,arch=amd64",
    "namespace": "team",
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "labels": {"team": "ml"},
    "annotations": {"note": "x"},
    "use_tmpfs": True,
    "tmpfs_size": 64,
    "persistent_volume_claims": {"data": "/data"},
    "shared_memory": 128,
    "port": 8080,
    "compute_pool": "big",
    "executable": "/usr/bin/python3",
    "extended_resources": {"example.com/chip": "2"},
    "security_context": {"run_as_user": 1001, "allow_privilege_escalation": False},
    "hostname_resolution_timeout": 5,
    "qos": "guaranteed",
    "tmpfs_path": "/fast",
    "tmpfs_tempdir": False,
}


def container(settings: PodSettings) -> dict[str, Any]:
    (found,) = settings.patch["spec"]["containers"]
    assert found["name"] == "worker"
    return dict(found)


def test_all_attributes_of_the_decorator_are_honoured_or_refused_by_name() -> None:
    assert set(VALUES) == set(STEP_DEFAULTS["kubernetes"])
    plain = pods_of("s", {}, {}, "")
    for name, value in VALUES.items():
        if name in WITHOUT_EFFECT:
            continue
        given = {name: value} if name != "gpu_vendor" else {name: value, "gpu": 1}
        try:
            assert pods_of("s", given, {}, "") != plain, name
        except NotSupportedException as error:
            assert name in str(error)


def test_attributes_are_those_of_the_pods() -> None:
    settings = pods_of("s", VALUES | {"executable": None}, {}, "team").settings
    assert settings.node_selector == {"disk": "ssd", "arch": "amd64", "outerbounds.co/compute-pool": "big"}
    assert settings.tolerations == ({"key": "gpu", "operator": "Exists"},)
    assert settings.service_account == "runner"
    assert settings.secrets == ("db", "s3")
    assert (settings.labels, settings.annotations) == ({"team": "ml"}, {"note": "x"})
    assert (settings.image_pull_policy, settings.image_pull_secrets) == ("Always", ("pull",))
    assert (settings.gpu, settings.devices) == ("amd.com/gpu", {"example.com/chip": 2})


def test_memory_files_and_claims_are_mounted() -> None:
    made = pods_of("s", VALUES | {"executable": None, "namespace": None, "tmpfs_tempdir": True}, {}, "")
    volumes = {one["name"]: one for one in made.settings.volumes}
    mounted = {one["mountPath"]: volumes[one["name"]] for one in made.settings.volume_mounts}
    assert mounted["/dev/shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "128Mi"}
    assert mounted["/fast"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "64Mi"}
    assert mounted["/data"]["persistentVolumeClaim"] == {"claimName": "data"}
    assert made.variables == {"METAFLOW_TEMPDIR": "/fast"}
    half = pods_of("s", {"use_tmpfs": True, "memory": "1000"}, {}, "").settings.volumes
    assert half[0]["emptyDir"]["sizeLimit"] == "500Mi"


def test_container_has_storage_ports_and_security_context() -> None:
    found = container(pods_of("s", VALUES | {"executable": None, "namespace": None}, {}, "").settings)
    assert found["resources"]["requests"] == {"cpu": "2000m", "ephemeral-storage": "2048Mi"}
    assert found["resources"]["limits"] == {"cpu": "2000m", "ephemeral-storage": "2048Mi"}
    assert found["ports"] == ({"containerPort": 8080},)
    assert found["securityContext"] == {"runAsUser": 1001, "allowPrivilegeEscalation": False}


def test_of_two_numbers_the_larger_one_is_asked_for() -> None:
    made = pods_of("s", {"cpu": 2, "memory": 100}, {"cpu": 1, "memory": "200", "gpu": 2, "shared_memory": 7}, "")
    assert (made.resources.cpu, made.resources.memory, made.resources.gpu) == (2.0, 200 << 20, 2)
    assert made.settings.volumes[0]["emptyDir"]["sizeLimit"] == "7Mi"
    plain = pods_of("s", {}, {}, "").resources
    assert (plain.cpu, plain.memory) == (1.0, 4096 << 20)


def test_texts_of_with_and_settings_of_metaflow_mean_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    words = {"cpu": "2", "tolerations": '[{"key": "a"}]', "labels": "a=b", "secrets": "x,y", "gpu": "1"}
    made = pods_of("s", words, {}, "")
    assert made.resources.cpu == 2.0
    assert made.settings.tolerations == ({"key": "a"},)
    assert (made.settings.labels, made.settings.secrets) == ({"a": "b"}, ("x", "y"))
    for name, value in {"CONTAINER_IMAGE": "base:1", "SERVICE_ACCOUNT": "sa", "MEMORY": "300"}.items():
        monkeypatch.setenv(f"METAFLOW_KUBERNETES_{name}", value)
    monkeypatch.setenv("METAFLOW_KUBERNETES_CONTAINER_REGISTRY", "registry.example/team/")
    made = pods_of("s", {}, {}, "")
    assert (made.image, made.settings.service_account) == ("registry.example/team/base:1", "sa")
    assert made.resources.memory == 300 << 20


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"cpu": 0}, "cpu is 0; it must be a number above 0"),
        ({"memory": "much"}, "memory is 'much'"),
        ({"gpu": 0.5}, "gpu is 0.5; it must be a whole number"),
        ({"gpu": 1, "gpu_vendor": "acme"}, "gpu_vendor"),
        ({"qos": "best"}, "qos"),
        ({"labels": ["a"]}, "labels"),
        ({"tolerations": "[{"}, "tolerations"),
        ({"security_context": {"root": True}}, "security_context"),
        ({"namespace": "other"}, "namespace is 'other', and the place makes its pods in 'team'"),
        ({"executable": "python"}, "executable"),
    ],
)
def test_a_wrong_value_is_named_with_its_step(given: dict[str, Any], told: str) -> None:
    with pytest.raises(MetaflowException) as found:
        pods_of("fit", given, {}, "team")
    assert told in str(found.value)
    assert "*fit*" in str(found.value)


@given(st.dictionaries(st.sampled_from(sorted(VALUES)), st.none() | st.integers() | st.text() | st.lists(st.text())))
def test_any_values_are_honoured_or_refused(given: dict[str, Any]) -> None:
    try:
        pods_of("s", given, {}, "")
    except MetaflowException as error:
        assert "*s*" in str(error)


def test_steps_run_in_the_cluster_of_the_run_else_in_the_one_that_there_is() -> None:
    assert cluster_of("local", {}) == ""
    assert cluster_of("local", {"eu": ""}) == "eu"
    assert cluster_of("us", {"eu": "", "us": ""}) == "us"
    assert cluster_of("local", {"eu": "", "kubernetes": ""}) == "kubernetes"
    with pytest.raises(MetaflowException, match="eu, us"):
        cluster_of("local", {"eu": "", "us": ""})
