"""Pods whose attempts run in an image of the user: three containers, and what each of them sees."""

from __future__ import annotations

from typing import Any

from headrace.executors.kubernetes.containment import probing
from headrace.executors.kubernetes.manifests import OVERHEAD, ROOT, PodKind, PodPlace, pod_of
from headrace.model.pods import PodSettings
from headrace.model.policy import Resources

PLACE = PodPlace(
    prefix="train-1", labels={}, annotations={}, address="10.0.0.5:7701", token="train-1-join", secret="stores"
)


def spec_of(settings: PodSettings = PodSettings(), *, python: bool = False, **resources: Any) -> dict[str, Any]:
    kind = PodKind(
        image="headrace:1", within="r-base:4.4", python=python, resources=Resources(**resources), settings=settings
    )
    spec: dict[str, Any] = pod_of("train-1-7", kind, PLACE)["spec"]
    return spec


def test_pod_is_over_when_the_container_of_the_user_is() -> None:
    spec = spec_of()
    (user,) = spec["containers"]
    entry, worker = spec["initContainers"]
    assert user["image"] == "r-base:4.4"
    assert user["command"] == [f"{ROOT}/headrace-entry", "serve", f"{ROOT}/container"]
    assert entry["command"] == ["/usr/local/bin/headrace-entry", "copy", f"{ROOT}/headrace-entry"]
    assert worker["restartPolicy"] == "Always"
    assert worker["command"][:4] == [f"{ROOT}/headrace-entry", "host", f"{ROOT}/container", "--"]
    assert worker["name"] == "worker"


def test_every_container_meets_the_restricted_standard() -> None:
    spec = spec_of()
    for one in [*spec["containers"], *spec["initContainers"]]:
        assert one["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def test_image_of_the_user_sees_volumes_and_no_credentials() -> None:
    mount = {"name": "data", "mountPath": "/data"}
    spec = spec_of(PodSettings(volumes=[{"name": "data", "emptyDir": {}}], volume_mounts=[mount]))
    (user,), (_, worker) = spec["containers"], spec["initContainers"]
    assert mount in user["volumeMounts"]
    assert {one["name"] for one in user["volumeMounts"]} == {"headrace-root", "data"}
    assert not {"env", "envFrom"} & user.keys()
    assert worker["envFrom"] == [{"secretRef": {"name": "stores"}}]


def test_limits_are_those_of_the_container_of_the_user() -> None:
    spec = spec_of(cpu=2, memory=1 << 30, gpu=1)
    (user,), (_, worker) = spec["containers"], spec["initContainers"]
    assert user["resources"]["limits"] == {"memory": str(1 << 30), "nvidia.com/gpu": "1"}
    assert worker["resources"]["requests"] == {"cpu": "10m", "memory": str(OVERHEAD)}
    assert worker["resources"]["limits"] == {"memory": str((1 << 30) + OVERHEAD)}


def test_workers_on_the_python_of_an_image_have_processes_that_the_pod_shares() -> None:
    assert spec_of(python=True)["shareProcessNamespace"] is True
    assert "shareProcessNamespace" not in spec_of()


def test_probe_asks_the_image_without_worker_and_secret() -> None:
    spec = probing(spec_of(), ROOT, ["python3", "python"], ["-c", "x"])
    (user,), (entry,) = spec["containers"], spec["initContainers"]
    assert user["command"][1:] == ["probe", "/dev/termination-log", "python3,python", "-c", "x"]
    assert entry["name"] == "headrace-entry"
    assert [one["name"] for one in spec["volumes"]] == ["headrace-root"]
    assert "stores" not in repr(spec)
    assert "join" not in repr(spec)
