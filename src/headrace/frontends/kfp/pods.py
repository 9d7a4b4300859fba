"""Settings of a task for Kubernetes (``kfp.kubernetes``) as what its pods are like.

The names are those of ``KubernetesExecutorConfig`` in KFP's ``kubernetes_executor_config.proto``. Settings that name an
input of the pipeline or an output of another task (``secretNameParameter`` and the like) are resolved before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from headrace.frontends.kfp.contract import WORKSPACE_MOUNT
from headrace.frontends.kfp.errors import TaskInputError
from headrace.frontends.kfp.ir import Container, TaskParameter
from headrace.model.errors import DefinitionError
from headrace.model.pods import PodSettings

#: The container of the worker in its pod.
_WORKER = "worker"
#: Fields of settings that stand for a value elsewhere, and the field that the value takes the place of.
_NAMED = {
    "secretNameParameter": "secretName",
    "configMapNameParameter": "configMapName",
    "pvcNameParameter": "constant",
    "nodeSelectorJson": "nodeSelectorJson",
    "tolerationJson": "tolerationJson",
    "nodeAffinityJson": "nodeAffinityJson",
}
_SOURCES = ("runtimeValue", "componentInputParameter", "taskOutputParameter")

Lookup = Callable[[TaskParameter], Any]


def resolved(settings: Mapping[str, Any], lookup: Lookup) -> dict[str, Any]:
    """Settings of an executor with the values that they name; ``lookup`` gives the value of a parameter, or None.

    Raises:
        TaskInputError: one has no value, and the setting is not optional.
    """
    return {
        name: [_resolved(name, one, lookup) for one in value]
        if isinstance(value, list)
        else (_resolved(name, value, lookup) if isinstance(value, Mapping) else value)
        for name, value in settings.items()
    }


def _resolved(setting: str, one: Any, lookup: Lookup) -> Any:
    if not isinstance(one, Mapping):
        return one
    made = dict(one)
    for name, target in _NAMED.items():
        if name in made:
            made[target] = _value(setting, made.pop(name), lookup, bool(one.get("optional")))
    inline = {name: made.pop(name) for name in _SOURCES if name in made}
    if inline and "constant" not in made:  # as older versions of the SDK wrote volume claims
        made["constant"] = _value(setting, inline, lookup, False)
    return made


def _value(setting: str, told: Any, lookup: Lookup, optional: bool) -> Any:
    try:
        value = lookup(msgspec.convert(told, TaskParameter))
    except msgspec.ValidationError as error:
        raise TaskInputError(f"its setting {setting} for Kubernetes: {error}") from None
    if value is None and not optional:
        raise TaskInputError(f"its setting {setting} for Kubernetes: what it names has no value")
    return value


def pod_of(settings: Mapping[str, Any], container: Container | None, workspace: str = "") -> PodSettings | None:
    """What the pods of a task are like; None where it says nothing of them.

    ``workspace`` is the volume claim that is mounted as the workspace of the run.

    Raises:
        TaskInputError: a setting is not as KFP writes it.
    """
    try:
        made = _Pod(settings).made(container, workspace)
    except (KeyError, TypeError, ValueError, AttributeError, DefinitionError) as error:
        raise TaskInputError(f"its settings for Kubernetes are not as kfp.kubernetes writes them: {error!r}") from None
    return made if made != PodSettings() else None


class _Pod:
    """The settings of one task, taken apart."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        self._volumes: list[dict[str, Any]] = []
        self._mounts: list[dict[str, Any]] = []

    def _each(self, name: str) -> list[Mapping[str, Any]]:
        return list(self._settings.get(name) or ())

    def made(self, container: Container | None, workspace: str) -> PodSettings:
        """The settings in the words of Headrace."""
        settings = self._settings
        self._add_volumes()
        if workspace:
            self._mount("workspace", {"persistentVolumeClaim": {"claimName": workspace}}, WORKSPACE_MOUNT)
        metadata = settings.get("podMetadata") or {}
        selector = settings.get("nodeSelector") or {}
        accelerator = container.resources.accelerator if container is not None else None
        kind = (accelerator.resource_type or accelerator.type) if accelerator is not None else ""
        return PodSettings(
            node_selector={**(selector.get("labels") or {}), **(selector.get("nodeSelectorJson") or {})},
            tolerations=list(self._tolerations()),
            affinity=self._affinity(),
            volumes=self._volumes,
            volume_mounts=self._mounts,
            labels=metadata.get("labels") or {},
            annotations=metadata.get("annotations") or {},
            image_pull_policy=settings.get("imagePullPolicy") or "",
            image_pull_secrets=[one["secretName"] for one in self._each("imagePullSecret") if one.get("secretName")],
            gpu=kind if "/" in kind else "",
            patch=self._patch(),
        )

    # --- files --------------------------------------------------------------------------------------------------

    def _add_volumes(self) -> None:
        for one in self._each("secretAsVolume"):
            if one.get("secretName"):
                source = {"secretName": one["secretName"], "optional": bool(one.get("optional"))}
                self._mount("secret", {"secret": source}, one["mountPath"])
        for one in self._each("configMapAsVolume"):
            if one.get("configMapName"):
                source = {"name": one["configMapName"], "optional": bool(one.get("optional"))}
                self._mount("config", {"configMap": source}, one["mountPath"])
        for one in self._each("pvcMount"):
            claim = {"persistentVolumeClaim": {"claimName": one["constant"]}}
            self._mount("claim", claim, one["mountPath"], one.get("subPath", ""))
        for one in self._each("genericEphemeralVolume"):
            self._mount(one["volumeName"], {"ephemeral": {"volumeClaimTemplate": claim_of(one)}}, one["mountPath"])
        for one in self._each("emptyDirMounts"):
            self._mount(one["volumeName"], {"emptyDir": _some(one, "medium", "sizeLimit")}, one["mountPath"])
        shared = self._settings.get("enabledSharedMemory")
        if shared:
            source = {"medium": "Memory", **({"sizeLimit": shared["size"]} if shared.get("size") else {})}
            self._mount(shared.get("volumeName") or "shared", {"emptyDir": source}, "/dev/shm")

    def _mount(self, name: str, source: dict[str, Any], path: str, inside: str = "") -> None:
        taken = {one["name"] for one in self._volumes}
        number = len(self._volumes)
        name = f"{name}-{number}" if name in taken or name in ("secret", "config", "claim") else name
        self._volumes.append({"name": name, **source})
        self._mounts.append({"name": name, "mountPath": path, **({"subPath": inside} if inside else {})})

    # --- nodes --------------------------------------------------------------------------------------------------

    def _tolerations(self) -> Iterator[dict[str, Any]]:
        for one in self._each("tolerations"):
            if "tolerationJson" in one:
                given = one["tolerationJson"] or []
                yield from given if isinstance(given, list) else [given]
                continue
            made = _some(one, "key", "operator", "value", "effect")
            if one.get("tolerationSeconds") is not None:
                made["tolerationSeconds"] = int(one["tolerationSeconds"])
            yield made

    def _affinity(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for one in self._each("nodeAffinity"):
            if one.get("nodeAffinityJson"):
                found["nodeAffinity"] = {**found.get("nodeAffinity", {}), **one["nodeAffinityJson"]}
                continue
            term = _some(one, "matchExpressions", "matchFields")
            node = found.setdefault("nodeAffinity", {})
            if one.get("weight") is None:
                required = node.setdefault("requiredDuringSchedulingIgnoredDuringExecution", {"nodeSelectorTerms": []})
                required["nodeSelectorTerms"].append(term)
            else:
                preferred = node.setdefault("preferredDuringSchedulingIgnoredDuringExecution", [])
                preferred.append({"weight": int(one["weight"]), "preference": term})
        for one in self._each("podAffinity"):
            pod = found.setdefault("podAntiAffinity" if one.get("anti") else "podAffinity", {})
            if one.get("weight") is None:
                pod.setdefault("requiredDuringSchedulingIgnoredDuringExecution", []).append(_pod_term(one))
            else:
                preferred = pod.setdefault("preferredDuringSchedulingIgnoredDuringExecution", [])
                preferred.append({"weight": int(one["weight"]), "podAffinityTerm": _pod_term(one)})
        return found

    # --- what only a container of a manifest has ----------------------------------------------------------------

    def _patch(self) -> dict[str, Any]:
        container: dict[str, Any] = {}
        if variables := list(self._variables()):
            container["env"] = variables
        if given := self._settings.get("securityContext"):
            users = {name: int(given[name]) for name in ("runAsUser", "runAsGroup") if given.get(name) is not None}
            container["securityContext"] = {**users, **_some(given, "runAsNonRoot")}
        return {"spec": {"containers": [{"name": _WORKER, **container}]}} if container else {}

    def _variables(self) -> Iterator[dict[str, Any]]:
        for kind, reference, key in (
            ("secret", "secretKeyRef", "secretKey"),
            ("configMap", "configMapKeyRef", "configMapKey"),
        ):
            for one in self._each(f"{kind}AsEnv"):
                name = one.get(f"{kind}Name")
                for pair in (one.get("keyToEnv") or ()) if name else ():
                    source = {"name": name, "key": pair[key], "optional": bool(one.get("optional"))}
                    yield {"name": pair["envVar"], "valueFrom": {reference: source}}
        for one in self._each("fieldPathAsEnv"):
            yield {"name": one["name"], "valueFrom": {"fieldRef": {"fieldPath": one["fieldPath"]}}}


def claim_of(one: Mapping[str, Any]) -> dict[str, Any]:
    """The template of a volume claim, as ``genericEphemeralVolume`` describes it."""
    spec: dict[str, Any] = {
        "accessModes": list(one["accessModes"]),
        "resources": {"requests": {"storage": one["size"]}},
    }
    if one.get("storageClassName"):
        spec["storageClassName"] = one["storageClassName"]
    metadata = _some(one.get("metadata") or {}, "labels", "annotations")
    return {**({"metadata": metadata} if metadata else {}), "spec": spec}


def variables_of(settings: Mapping[str, Any]) -> list[str]:
    """The environment variables that the pod of a task has by its settings."""
    pairs = [
        pair
        for kind in ("secretAsEnv", "configMapAsEnv")
        for one in settings.get(kind) or ()
        for pair in one.get("keyToEnv") or ()
    ]
    return [str(one["envVar"]) for one in pairs] + [str(one["name"]) for one in settings.get("fieldPathAsEnv") or ()]


def _pod_term(one: Mapping[str, Any]) -> dict[str, Any]:
    term: dict[str, Any] = {"topologyKey": one.get("topologyKey") or "kubernetes.io/hostname"}
    for target, expressions, labels in (
        ("labelSelector", "matchPodExpressions", "matchPodLabels"),
        ("namespaceSelector", "matchNamespaceExpressions", "matchNamespaceLabels"),
    ):
        selector = {"matchExpressions": one.get(expressions), "matchLabels": one.get(labels)}
        selector = {key: value for key, value in selector.items() if value}
        if selector:
            term[target] = selector
    if one.get("namespaces"):
        term["namespaces"] = list(one["namespaces"])
    return term


def _some(given: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The fields that are given, of those that are named."""
    return {name: given[name] for name in names if given.get(name) not in (None, "")}
