"""Settings of ``kfp.kubernetes`` as pods. ``kfp_kubernetes.yaml`` was compiled by kfp 2.17.3 with kfp-kubernetes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.frontends.kfp.errors import TaskInputError
from headrace.frontends.kfp.ir import TaskParameter
from headrace.frontends.kfp.kubernetes import notes_of
from headrace.frontends.kfp.pipeline_file import read_pipeline
from headrace.frontends.kfp.pods import pod_of, resolved, variables_of
from headrace.frontends.kfp.resources import resources_of
from headrace.model.policy import Resources

PIPELINE = read_pipeline(Path(__file__).with_name("kfp_kubernetes.yaml"))
SETTINGS = PIPELINE.kubernetes.deployment_spec.executors


def lookup(told: TaskParameter) -> Any:
    if told.runtime_value is not None:
        return told.runtime_value.constant
    if told.task_output_parameter is not None:
        return f"{told.task_output_parameter.producer_task}-made"
    return {"secret": "given"}.get(told.component_input_parameter or "")


@pytest.fixture(scope="module")
def pod() -> Any:
    return pod_of(resolved(SETTINGS["exec-work"], lookup), None)


def test_secrets_config_maps_and_fields_become_variables(pod: Any) -> None:
    (container,) = pod.patch["spec"]["containers"]
    assert container["name"] == "worker"
    sources = {one["name"]: one["valueFrom"] for one in container["env"]}
    assert sources == {
        "DB_PASSWORD": {"secretKeyRef": {"name": "db", "key": "password", "optional": False}},
        "K": {"secretKeyRef": {"name": "given", "key": "k", "optional": True}},
        "A": {"configMapKeyRef": {"name": "cfg", "key": "a", "optional": False}},
        "POD": {"fieldRef": {"fieldPath": "metadata.name"}},
    }
    assert variables_of(SETTINGS["exec-work"]) == ["DB_PASSWORD", "K", "A", "POD"]
    assert container["securityContext"] == {"runAsUser": 1001, "runAsGroup": 1001, "runAsNonRoot": True}


def test_volumes_are_mounted_where_the_task_says(pod: Any) -> None:
    volumes = {one["name"]: {key: value for key, value in one.items() if key != "name"} for one in pod.volumes}
    mounted = {one["mountPath"]: (volumes[one["name"]], one.get("subPath")) for one in pod.volume_mounts}
    claim = {"accessModes": ("ReadWriteOnce",), "resources": {"requests": {"storage": "2Gi"}}}
    template = {"metadata": {"labels": {"l": "1"}}, "spec": {**claim, "storageClassName": "standard"}}
    assert mounted == {
        "/certs": ({"secret": {"secretName": "certs", "optional": False}}, None),
        "/cfg": ({"configMap": {"name": "cfgs", "optional": False}}, None),
        "/data": ({"persistentVolumeClaim": {"claimName": "createpvc-made"}}, "a"),
        "/fixed": ({"persistentVolumeClaim": {"claimName": "fixed"}}, None),
        "/scratch": ({"ephemeral": {"volumeClaimTemplate": template}}, None),
        "/t": ({"emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}}, None),
    }
    assert len(volumes) == len(mounted)


def test_nodes_labels_and_images_are_chosen_as_the_task_says(pod: Any) -> None:
    assert pod.node_selector == {"disk": "ssd"}
    assert pod.tolerations == ({"key": "gpu", "operator": "Exists", "effect": "NoSchedule", "tolerationSeconds": 10},)
    zone = {"matchExpressions": ({"key": "zone", "operator": "In", "values": ("a",)},)}
    kind = {"matchExpressions": ({"key": "kind", "operator": "Exists"},)}
    assert pod.affinity["nodeAffinity"] == {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": (zone,)},
        "preferredDuringSchedulingIgnoredDuringExecution": ({"weight": 10, "preference": kind},),
    }
    assert (pod.labels, pod.annotations) == ({"team": "ml"}, {"note": "x"})
    assert (pod.image_pull_policy, pod.image_pull_secrets) == ("IfNotPresent", ("pull",))


def test_settings_given_as_json_are_taken_as_they_are() -> None:
    pod = pod_of(resolved(SETTINGS["exec-work-2"], lookup), None)
    assert pod is not None
    assert pod.node_selector == {"disk": "hdd"}
    assert pod.tolerations == ({"key": "a", "operator": "Exists"},)
    terms = pod.affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert terms == ({"matchExpressions": ({"key": "z", "operator": "Exists"},)},)


def test_affinity_to_pods_and_shared_memory() -> None:
    near = {"matchPodLabels": {"app": "db"}, "topologyKey": "zone", "namespaces": ["data"]}
    pod = pod_of({"podAffinity": [near, {"anti": True, "weight": 5}], "enabledSharedMemory": {"size": "1Gi"}}, None)
    assert pod is not None
    term = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "db"}}, "namespaces": ("data",)}
    assert pod.affinity["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] == (term,)
    away = {"weight": 5, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname"}}
    assert pod.affinity["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"] == (away,)
    assert pod.volumes == ({"name": "shared", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},)
    assert pod.volume_mounts == ({"name": "shared", "mountPath": "/dev/shm"},)


def test_a_name_without_a_value_is_refused_unless_the_setting_is_optional() -> None:
    missing = {"componentInputParameter": "nobody"}
    made = {"mountPath": "/x", "secretNameParameter": missing}
    assert pod_of(resolved({"secretAsVolume": [{**made, "optional": True}]}, lookup), None) is None
    with pytest.raises(TaskInputError, match="secretAsVolume"):
        resolved({"secretAsVolume": [made]}, lookup)


@given(
    st.dictionaries(
        st.sampled_from(sorted(SETTINGS["exec-work"])),
        st.recursive(
            st.none() | st.integers() | st.text(), lambda one: st.lists(one) | st.dictionaries(st.text(), one)
        ),
    )
)
def test_any_settings_are_taken_or_refused_with_one_message(settings: dict[str, Any]) -> None:
    try:
        pod_of(resolved(settings, lookup), None)
    except TaskInputError as error:
        assert "Kubernetes" in str(error)


def test_in_a_cluster_all_settings_of_the_sdk_are_honoured() -> None:
    assert notes_of(PIPELINE, pods=True) == []
    elsewhere = {"secretAsVolume", "pvcMount", "nodeSelector", "PersistentVolumeClaim"}
    assert {one.setting for one in notes_of(PIPELINE)} > elsewhere


def test_memory_of_a_pod_is_its_limit() -> None:
    container = PIPELINE.spec.deployment_spec.executors["exec-work"].container
    assert container is not None
    import msgspec

    told = msgspec.structs.replace(container.resources, resource_memory_request="1Gi", resource_memory_limit="2Gi")
    container = msgspec.structs.replace(container, resources=told)
    assert resources_of(container, {}, None).memory == 1 << 30
    assert resources_of(container, {}, None, pods=True) == Resources(1.0, 2 << 30, 0, enforced=False)
