"""Settings of pods: how those of a place and a step come together, and what is refused."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace import Pod, step
from headrace.model.errors import DefinitionError, UsageError
from headrace.model.pods import merge, overlay
from headrace.services.places import KubernetesPlace, addresses_of, read_places

_TEXTS = st.text("ab", min_size=1, max_size=3)
_JSON = st.recursive(
    st.integers(0, 3) | _TEXTS, lambda inner: st.dictionaries(_TEXTS, inner, max_size=3) | st.lists(inner, max_size=3)
)
_MAPS = st.dictionaries(_TEXTS, _JSON, max_size=3)


def test_settings_of_a_step_are_laid_over_those_of_the_place() -> None:
    place = Pod(
        node_selector={"disk": "ssd", "zone": "a"},
        tolerations=[{"key": "gpu", "operator": "Exists"}],
        volumes=[{"name": "data", "emptyDir": {}}, {"name": "cache", "emptyDir": {}}],
        volume_mounts=[{"name": "data", "mountPath": "/data"}],
        secrets=["shared"],
        priority_class="low",
    )
    own = Pod(
        node_selector={"zone": "b"},
        tolerations=[{"key": "spot", "operator": "Exists"}],
        volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "big"}, "emptyDir": None}],
        volume_mounts=[{"name": "data", "mountPath": "/more"}],
        secrets=["shared", "mine"],
        service_account="trainer",
    )
    assert merge(place, own) == Pod(
        node_selector={"disk": "ssd", "zone": "b"},
        tolerations=[{"key": "gpu", "operator": "Exists"}, {"key": "spot", "operator": "Exists"}],
        volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "big"}}, {"name": "cache", "emptyDir": {}}],
        volume_mounts=[{"name": "data", "mountPath": "/data"}, {"name": "data", "mountPath": "/more"}],
        secrets=["shared", "mine"],
        priority_class="low",
        service_account="trainer",
    )
    assert merge(place, None) is place


def test_mounts_of_one_volume_at_two_paths_are_both_kept() -> None:
    place, own = ({"name": "data", "mountPath": path} for path in ("/data", "/more"))
    merged = merge(Pod(volume_mounts=[place]), Pod(volume_mounts=[own])).volume_mounts
    assert list(merged) == [place, own]


def test_patch_of_a_container_leaves_the_others() -> None:
    manifest = {"spec": {"containers": [{"name": "worker", "image": "a", "tty": True}, {"name": "proxy"}], "x": [1, 2]}}
    patch = {"spec": {"containers": [{"name": "worker", "tty": None, "stdin": True}], "x": [3], "y": {"gone": None}}}
    assert overlay(manifest, patch) == {
        "spec": {"containers": [{"name": "worker", "image": "a", "stdin": True}, {"name": "proxy"}], "x": [3], "y": {}}
    }


@given(_MAPS)
def test_overlay_of_nothing_or_of_itself_changes_nothing(value: dict[str, Any]) -> None:
    assert overlay(value, {}) == value
    assert overlay({}, value) == value
    assert overlay(value, value) == value


@given(_MAPS, _MAPS)
def test_what_a_patch_says_holds_afterwards(base: dict[str, Any], patch: dict[str, Any]) -> None:
    merged = overlay(base, patch)
    assert overlay(merged, patch) == merged
    assert set(merged) == {*base, *patch}


@given(_MAPS)
def test_equal_settings_hash_alike_and_survive_pickling(patch: dict[str, Any]) -> None:
    one, two = Pod(patch=patch), Pod(patch=dict(reversed(patch.items())))
    assert one == two
    assert hash(one) == hash(two)
    assert pickle.loads(pickle.dumps(one)) == one


def test_settings_keep_what_they_were_given() -> None:
    selector = {"disk": "ssd"}
    pod = Pod(node_selector=selector)
    selector["disk"] = "hdd"
    assert pod.node_selector == {"disk": "ssd"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"node_selector": {"disk": 1}}, "node_selector has texts by names"),
        ({"volumes": {"name": "data"}}, "volumes is a list"),
        ({"volumes": ["data"]}, "each of volumes is a dictionary"),
        ({"secrets": "token"}, "secrets is a list"),
        ({"devices": {"amd.com/gpu": -1}}, "devices has whole numbers"),
        ({"patch": []}, "patch is a dictionary"),
        ({"gpu": 1}, "gpu is a text"),
    ],
)
def test_impossible_settings_are_refused_by_name(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        Pod(**settings)


def test_step_takes_a_pod_and_another_with_options() -> None:
    @step(pod=Pod(priority_class="low"))
    def work() -> None: ...

    assert work.policy.pod == Pod(priority_class="low")
    assert work.options(pod=Pod()).policy.pod == Pod()
    assert work.options(pod=None).policy.pod is None
    with pytest.raises(DefinitionError, match=r"it must be a headrace\.Pod"):
        work.options(pod={"priority_class": "low"})  # type: ignore[arg-type]


def _read(**settings: Any) -> KubernetesPlace:
    (place,) = read_places({"far": {"kind": "kubernetes", **settings}})
    assert isinstance(place, KubernetesPlace)
    return place


def test_place_reads_its_settings_from_a_table() -> None:
    place = _read(
        namespace="ml",
        image="registry/headrace:1",
        pod={"tolerations": [{"key": "gpu"}], "gpu": "amd.com/gpu"},
        limits={"pods": 4, "memory": "8GiB"},
        idle="2m",
        variables={"HEADRACE_ARTIFACTS": "s3://bucket/x"},
    )
    assert (place.limits.pods, place.limits.memory, place.idle, place.start_timeout) == (4, 8 << 30, 120.0, 300.0)
    assert place.pod == Pod(tolerations=[{"key": "gpu"}], gpu="amd.com/gpu")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"nmespace": "x"}, "unknown field `nmespace`"),
        ({"driver": "there"}, "driver is 'there'"),
        ({"floor": -1}, "floor is -1"),
        ({"limits": {"pods": 0}}, "pods is 0"),
        ({"address": "host:99999"}, "address is 'host:99999'"),
        ({"address": "::1"}, "address is '::1'"),
        ({"pod": {"secrets": "token"}}, "secrets"),
        ({"pod": {"node_selektor": {}}}, "node_selektor"),
    ],
)
def test_impossible_place_is_refused_by_its_name(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=r"\[tool\.headrace\.places\.far\]") as refused:
        _read(**settings)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "listen", "reached"),
    [
        ({}, ("::", 0), ""),
        ({"address": "10.0.0.5"}, ("0.0.0.0", 0), "10.0.0.5"),
        ({"address": "driver.example:7701"}, ("::", 7701), "driver.example"),
        ({"address": "[fd00::1]:7701"}, ("::", 7701), "fd00::1"),
        ({"address": "gate:7701", "listen": "127.0.0.1"}, ("127.0.0.1", 7701), "gate"),
        ({"address": "gate", "listen": "127.0.0.1:7702"}, ("127.0.0.1", 7702), "gate"),
    ],
)
def test_pods_reach_a_driver_at_its_address(settings: dict[str, str], listen: tuple[str, int], reached: str) -> None:
    assert addresses_of(_read(**settings)) == (listen, reached)
