"""The manifests of what a run makes in a cluster: pods of workers, and the secret with their joining token. Pure."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from headrace.executors.kubernetes.containment import contained
from headrace.model.pods import PodSettings, overlay
from headrace.model.policy import Resources

#: Keys of our labels and annotations.
DOMAIN = "headrace.io"
#: Where things are in the container of a worker.
ROOT, JOIN = "/headrace", "/var/run/headrace/join"
JOIN_VOLUME = "headrace-join"
#: The container of the worker.
CONTAINER = "worker"
#: Bytes that Headrace itself needs in a pod, beyond those of the attempt.
OVERHEAD = 128 << 20
#: The user and group of the processes in a pod: of no image, so that no image's files are theirs.
_USER = 1000
#: The port at which a worker listens in its pod where no address of its driver is known.
LISTEN = 7701
_GPU = "nvidia.com/gpu"
_LONGEST = 63
_SMALL = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)


class PodKind(msgspec.Struct, frozen=True, kw_only=True):
    """What a pod of workers is like. Attempts with equal kinds may share a pod.

    ``resources`` are what an attempt asks for, in classes (``rounded``). Attempts run ``within`` an image of the user,
    or in that of the worker itself (empty); ``python`` says that they run on the Python of the user's.
    """

    image: str
    within: str = ""
    python: bool = False
    resources: Resources
    settings: PodSettings = PodSettings()

    @property
    def digest(self) -> str:
        """The kind as a label: equal kinds have equal ones, in every session."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()[:16]


class PodPlace(msgspec.Struct, frozen=True, kw_only=True):
    """What is the same for all pods of a session.

    ``labels`` are by their whole keys. ``address`` is where workers find the driver (empty: it comes to
    them, through the API server), and ``token`` the secret with the
    joining token. ``secret`` and ``variables`` are those of the place. ``owner`` is a reference to the object with
    which the pods go.
    """

    prefix: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    address: str
    token: str
    secret: str = ""
    variables: Mapping[str, str] = {}
    owner: Mapping[str, Any] | None = None

    @property
    def run_labels(self) -> dict[str, str]:
        """Those that tell the pods of the run in this place from all others, also in other sessions."""
        return {name: self.labels[name] for name in (f"{DOMAIN}/key", f"{DOMAIN}/place")}


def pod_of(name: str, kind: PodKind, place: PodPlace) -> dict[str, Any]:
    """The manifest of a pod with one worker."""
    settings = kind.settings
    requests = _requests(kind)
    limits = {key: value for key, value in requests.items() if key != "cpu"}  # idle cores are for everybody
    sources = variable_sources(place.secret, settings)
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": kind.image,
        "command": ["python", "-m", "headrace", "worker"],
        "args": [
            *(("--connect", place.address) if place.address else ("--listen", str(LISTEN))),
            *("--secret-file", f"{JOIN}/token", "--name", "$(HEADRACE_POD)"),
            *("--workers", "1", "--no-spare", "--once", "--root", ROOT),
        ],
        "workingDir": ROOT,
        "env": [
            {"name": "HEADRACE_POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "HEADRACE_NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "HOME", "value": ROOT},
            {"name": "PYTHONUNBUFFERED", "value": "1"},
            *[{"name": key, "value": value} for key, value in place.variables.items()],
        ],
        "envFrom": sources,
        "resources": {"requests": requests, "limits": limits},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [
            {"name": "headrace-root", "mountPath": ROOT},
            {"name": JOIN_VOLUME, "mountPath": JOIN, "readOnly": True},
            *settings.volume_mounts,
        ],
    }
    if settings.image_pull_policy:
        container["imagePullPolicy"] = settings.image_pull_policy
    manifest: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _metadata(name, kind, place),
        "spec": _spec(container, place, settings),
    }
    if kind.within:
        manifest["spec"] = contained(manifest["spec"], kind.within, ROOT, OVERHEAD, python=kind.python)
    patched: dict[str, Any] = overlay(manifest, settings.patch) if settings.patch else manifest
    return patched


def _metadata(name: str, kind: PodKind, place: PodPlace) -> dict[str, Any]:
    settings = kind.settings
    metadata: dict[str, Any] = {
        "name": name,
        # Ours come last: pods are found by them.
        "labels": {**settings.labels, **place.labels, f"{DOMAIN}/kind": kind.digest},
        "annotations": {**settings.annotations, **place.annotations},
    }
    if place.owner is not None:
        metadata["ownerReferences"] = [place.owner]
    return metadata


def _spec(container: dict[str, Any], place: PodPlace, settings: PodSettings) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "enableServiceLinks": False,
        "automountServiceAccountToken": bool(settings.service_account),
        "terminationGracePeriodSeconds": 30,
        "securityContext": pod_security(),
        "containers": [container],
        "volumes": [
            {"name": "headrace-root", "emptyDir": {}},
            {"name": JOIN_VOLUME, "secret": {"secretName": place.token, "defaultMode": 0o440}},
            *settings.volumes,
        ],
    }
    return spec | placed(settings, settings.service_account)


def pod_security() -> dict[str, Any]:
    """What the processes of our pods may do: as little as PodSecurity ``restricted`` asks for."""
    user = {"runAsNonRoot": True, "runAsUser": _USER, "runAsGroup": _USER, "fsGroup": _USER}
    return {**user, "seccompProfile": {"type": "RuntimeDefault"}}


def placed(settings: PodSettings, account: str) -> dict[str, Any]:
    """The parts of a pod's specification that say where and as whom it runs: those that are set."""
    optional = {
        "nodeSelector": dict(settings.node_selector),
        "tolerations": list(settings.tolerations),
        "affinity": dict(settings.affinity),
        "serviceAccountName": account,
        "priorityClassName": settings.priority_class,
        "runtimeClassName": settings.runtime_class,
        "imagePullSecrets": [{"name": one} for one in settings.image_pull_secrets],
    }
    return {key: value for key, value in optional.items() if value}


def variable_sources(secret: str, settings: PodSettings) -> list[dict[str, Any]]:
    """The secrets (first ``secret``, that of the place) and config maps whose keys become environment variables."""
    names = dict.fromkeys([*filter(None, [secret]), *settings.secrets])
    return [
        *[{"secretRef": {"name": one}} for one in names],
        *[{"configMapRef": {"name": one}} for one in settings.config_maps],
    ]


def _requests(kind: PodKind) -> dict[str, str]:
    need, settings = kind.resources, kind.settings
    requests = {"cpu": f"{round(need.cpu * 1000)}m"}
    if need.memory:
        beside = OVERHEAD if kind.python or not kind.within else 0  # a command has nothing of Headrace beside it
        requests["memory"] = str(need.memory + beside)
    if need.gpu:
        requests[settings.gpu or _GPU] = str(need.gpu)
    return requests | {key: str(value) for key, value in settings.devices.items() if value}


def token_of(name: str, token: str, place: PodPlace) -> dict[str, Any]:
    """The manifest of the secret with the joining token."""
    metadata: dict[str, Any] = {"name": name, "labels": dict(place.labels), "annotations": dict(place.annotations)}
    if place.owner is not None:
        metadata["ownerReferences"] = [place.owner]
    data = {"token": base64.b64encode(token.encode()).decode()}
    return {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata, "data": data}


def rounded(need: Resources) -> Resources:
    """What an attempt asks for, rounded up to a class, so that attempts with nearly equal needs share pods.

    Cores go up to halves (small ones to one of a few figures), memory to the next power of two or three times one.
    """
    cpu = next((one for one in _SMALL if need.cpu <= one + 1e-9), math.ceil(need.cpu * 2 - 1e-9) / 2)
    memory = 0
    if need.memory:
        power = 1 << max(need.memory - 1, 1).bit_length()
        memory = power * 3 // 4 if need.memory <= power * 3 // 4 else power
    return Resources(cpu, memory, need.gpu, need.enforced)


def label_of(text: str) -> str:
    """``text`` as the value of a label: what has to be changed is told apart by the digest at the end."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", text)
    fits = plain[: _LONGEST - 9].strip("._-")
    if text and fits == text:
        return text
    return f"{fits}-{_short(text)}" if fits else _short(text)


def dns_label(text: str, most: int = _LONGEST) -> str:
    """``text`` as a DNS label (RFC 1123) of at most ``most`` characters, told apart by the digest where it differs."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if text and plain == text and len(plain) <= most:
        return plain
    fits = plain[: most - 9].strip("-")
    return f"{fits}-{_short(text)}" if fits else _short(text)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
