"""``@kubernetes``: what it asks for, as the pods of a step are made in a place that is a cluster.

Attributes and their defaults are those of Metaflow's decorator; what it does not give is taken from Metaflow's settings
(``METAFLOW_KUBERNETES_...``), else left to the place. Values come from code, or as texts from ``--with``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from headrace.frontends.metaflow.exceptions import MetaflowException, NotSupportedException
from headrace.frontends.metaflow.settings import text_setting
from headrace.model.errors import DefinitionError
from headrace.model.pods import PodSettings
from headrace.model.policy import Resources

#: Metaflow's sizes are in these bytes.
_MB = 1 << 20
_VENDORS = {"nvidia": "nvidia.com/gpu", "amd": "amd.com/gpu"}
_POOL = "outerbounds.co/compute-pool"
_QOS = ("guaranteed", "burstable")
_SECURITY = {
    "privileged": "privileged",
    "allow_privilege_escalation": "allowPrivilegeEscalation",
    "run_as_user": "runAsUser",
    "run_as_group": "runAsGroup",
    "run_as_non_root": "runAsNonRoot",
}
#: Attributes that cannot be honoured, and why.
_REFUSED = {
    "executable": "the Python of the image runs the step; name another image instead",
}


class Pods(NamedTuple):
    """What a step asks of its pods; ``variables`` are environment variables beside those of ``@environment``."""

    resources: Resources
    settings: PodSettings
    image: str
    variables: dict[str, str]


def pods_of(step: str, kubernetes: Mapping[str, Any], resources: Mapping[str, Any], namespace: str) -> Pods:
    """What ``@kubernetes`` and ``@resources`` with these attributes, as they are given, ask of the pods of ``step``.

    ``namespace`` is that of the place, empty where the context of its configuration says it.

    Raises:
        MetaflowException: an attribute is not what it must be, or cannot be honoured; the message names it.
    """
    asked = _Asked(step, kubernetes)
    for name, why in _REFUSED.items():
        if asked.given.get(name):
            raise NotSupportedException(f"@kubernetes of step *{step}*: {name} cannot be honoured: {why}.")
    other = asked.given.get("namespace")
    if other and other != namespace:
        raise NotSupportedException(
            f"@kubernetes of step *{step}*: namespace is {other!r}, and the place makes its pods in "
            f"{namespace or 'the namespace of its context'!r}; give it a place of its own."
        )
    try:
        return asked.pods(resources)
    except DefinitionError as error:
        raise MetaflowException(f"@kubernetes of step *{step}*: {error}") from None


class _Asked:
    """The attributes of one decorator."""

    def __init__(self, step: str, given: Mapping[str, Any]) -> None:
        self._step = step
        self.given = {name: value for name, value in given.items() if value is not None}

    def _wrong(self, name: str, wanted: str) -> MetaflowException:
        return MetaflowException(
            f"@kubernetes of step *{self._step}*: {name} is {self.given.get(name)!r}; it must be {wanted}."
        )

    def pods(self, resources: Mapping[str, Any]) -> Pods:
        """What is asked for, with ``@resources``: of two numbers the larger one."""
        self._mounts: list[dict[str, Any]] = []
        self._volumes: list[dict[str, Any]] = []
        memory = self._number("memory", resources, "4096")
        cpu = self._number("cpu", resources, "1")
        gpu = resources.get("gpu") if resources.get("gpu") is not None else self.given.get("gpu")
        variables = self._add_files(memory, resources)
        settings = PodSettings(
            node_selector=self._selector(),
            tolerations=self._list("tolerations"),
            service_account=str(self._text("service_account")),
            volumes=self._volumes,
            volume_mounts=self._mounts,
            secrets=self._names("secrets"),
            labels=self._pairs("labels"),
            annotations=self._pairs("annotations"),
            image_pull_policy=str(self._text("image_pull_policy")),
            image_pull_secrets=self._list("image_pull_secrets"),
            gpu=self._gpu_resource() if gpu else "",
            devices={name: self._whole("extended_resources", value) for name, value in self._map("extended_resources")},
            patch=self._patch(cpu, resources),
        )
        needs = Resources(cpu, int(memory * _MB), self._whole("gpu", gpu or 0), enforced=False)
        return Pods(needs, settings, self._image(), variables)

    # --- values -------------------------------------------------------------------------------------------------

    def _text(self, name: str) -> Any:
        return self.given[name] if name in self.given else text_setting(f"KUBERNETES_{name.upper()}")

    def _whole(self, name: str, value: Any) -> int:
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise self._wrong(name, "a whole number") from None
        if not number.is_integer() or number < 0:
            raise self._wrong(name, "a whole number")
        return int(number)

    def _number(self, name: str, resources: Mapping[str, Any], default: str) -> float:
        told = self._text(name)
        given = [default if told == "" else told, resources.get(name) or 0]
        try:
            number = max(float(one) for one in given)
        except (TypeError, ValueError):
            raise self._wrong(name, "a number above 0") from None
        if not number > 0:
            raise self._wrong(name, "a number above 0")
        return number

    def _parsed(self, name: str, split: Callable[[str], Any]) -> Any:
        """A value that may be a text: JSON, or what ``split`` makes of it."""
        value = self._text(name)
        if not isinstance(value, str) or not value.strip():
            return value or None
        if value.lstrip()[0] in "[{":
            try:
                return json.loads(value)
            except ValueError:
                raise self._wrong(name, "JSON") from None
        return split(value)

    def _names(self, name: str) -> list[str]:
        found = self._parsed(name, lambda text: [one.strip() for one in text.split(",") if one.strip()])
        if found is not None and not isinstance(found, (list, tuple)):
            raise self._wrong(name, "a list of names")
        return list(found or ())

    def _list(self, name: str) -> list[Any]:
        return self._names(name)

    def _pairs(self, name: str) -> dict[str, str]:
        found = self._parsed(name, lambda text: _pairs_of(text) or {})
        if found is not None and not isinstance(found, Mapping):
            raise self._wrong(name, "a dictionary, or text such as 'a=b,c=d'")
        return {str(key): "" if value is None else str(value) for key, value in (found or {}).items()}

    def _map(self, name: str) -> list[tuple[str, Any]]:
        return list(self._pairs(name).items())

    def _selector(self) -> dict[str, str]:
        selector = self._pairs("node_selector")
        pool = self.given.get("compute_pool")
        return {**selector, _POOL: str(pool)} if pool else selector

    def _image(self) -> str:
        image = str(self._text("image") or text_setting("KUBERNETES_CONTAINER_IMAGE"))
        registry = text_setting("KUBERNETES_CONTAINER_REGISTRY")
        host = image.partition("/")[0] if "/" in image else ""
        has_registry = "." in host or ":" in host or host == "localhost"
        return f"{registry.rstrip('/')}/{image}" if image and registry and not has_registry else image

    def _gpu_resource(self) -> str:
        vendor = str(self._text("gpu_vendor") or "nvidia").lower()
        if vendor not in _VENDORS:
            raise self._wrong("gpu_vendor", "nvidia or amd")
        return _VENDORS[vendor]

    # --- files --------------------------------------------------------------------------------------------------

    def _add_files(self, memory: float, resources: Mapping[str, Any]) -> dict[str, str]:
        shared = resources.get("shared_memory") or self._text("shared_memory")
        if shared:
            self._in_memory("shared-memory", self._whole("shared_memory", shared), "/dev/shm")
        variables = {}
        size = self.given.get("tmpfs_size")
        if self.given.get("use_tmpfs") or size:
            path = str(self.given.get("tmpfs_path") or "/metaflow_temp")
            self._in_memory("tmpfs", self._whole("tmpfs_size", size or int(memory) // 2), path)
            if self.given.get("tmpfs_tempdir", True):
                variables["METAFLOW_TEMPDIR"] = path
        for number, (claim, path) in enumerate(self._pairs("persistent_volume_claims").items()):
            name = f"claim-{number}"
            self._volumes.append({"name": name, "persistentVolumeClaim": {"claimName": claim}})
            self._mounts.append({"name": name, "mountPath": path})
        return variables

    def _in_memory(self, name: str, megabytes: int, path: str) -> None:
        self._volumes.append({"name": name, "emptyDir": {"medium": "Memory", "sizeLimit": f"{megabytes}Mi"}})
        self._mounts.append({"name": name, "mountPath": path})

    # --- what only a container of a manifest has ----------------------------------------------------------------

    def _patch(self, cpu: float, resources: Mapping[str, Any]) -> dict[str, Any]:
        container: dict[str, Any] = {}
        requests: dict[str, str] = {}
        if self.given.get("disk") or resources.get("disk"):  # Metaflow's default is not asked for
            requests["ephemeral-storage"] = f"{int(self._number('disk', resources, '0'))}Mi"
        qos = str(self._text("qos") or "burstable").lower()
        if qos not in _QOS:
            raise self._wrong("qos", "Guaranteed or Burstable")
        if qos == "guaranteed":  # of cores, too, the limit is what is asked for
            container["resources"] = {"requests": {"cpu": _cores(cpu)}, "limits": {"cpu": _cores(cpu), **requests}}
        if requests:
            found = container.setdefault("resources", {}).setdefault("requests", {})
            found.update(requests)
        if self._text("port"):
            container["ports"] = [{"containerPort": self._whole("port", self._text("port"))}]
        security = self.given.get("security_context")
        if security:
            container["securityContext"] = self._security(security)
        return {"spec": {"containers": [{"name": "worker", **container}]}} if container else {}

    def _security(self, given: Any) -> dict[str, Any]:
        if isinstance(given, str):
            given = json.loads(given) if given.lstrip().startswith("{") else None
        if not isinstance(given, Mapping) or set(given) - set(_SECURITY):
            raise self._wrong("security_context", f"a dictionary with {', '.join(_SECURITY)}")
        return {_SECURITY[name]: value for name, value in given.items()}


def _cores(cpu: float) -> str:
    return f"{round(cpu * 1000)}m"


def _pairs_of(text: str) -> dict[str, str | None]:
    """``a=b,c=d`` as a dictionary; a name alone has no value."""
    found = {}
    for one in re.split(r",", text):
        name, equals, value = one.strip().partition("=")
        if name:
            found[name] = value if equals else None
    return found
