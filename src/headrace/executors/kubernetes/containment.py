"""Pods whose attempts run in an image of the user, in which nothing of Headrace is. Pure.

Such a pod has three containers. An init container of the worker's image puts ``headrace-entry`` into the volume that
all share. The user's container runs that and waits for commands. The worker is a sidecar (an init container that is
restarted), and runs commands in the user's container, see ``runtime.containers.pod``. The pod is over when the user's
container is, which ends with the worker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headrace.runtime.containers.pod import IMAGE, PROGRAM, SOCKET

#: The container of the user's image, and the one that prepares it.
USER_CONTAINER, ENTRY_CONTAINER = "user", "headrace-entry"
#: Where the worker's image has the program.
_INSTALLED = f"/usr/local/bin/{PROGRAM}"
#: What the worker itself needs beside the user's container.
_SIDECAR_CPU = "10m"

Json = dict[str, Any]


def contained(spec: Mapping[str, Any], image: str, root: str, overhead: int, *, python: bool) -> Json:
    """The spec of a worker's pod, whose first container is the worker, with the user's container beside it.

    Args:
        spec: of a pod that has the worker alone; its resources are those of the attempt.
        image: the user's.
        root: the folder of the shared volume, which the worker's container mounts.
        overhead: bytes of memory that Headrace needs itself.
        python: workers run on the Python of the image; the driver's view of their processes needs one set of numbers.
    """
    worker, *others = spec["containers"]
    socket = f"{root}/container"
    resources = worker.get("resources") or {}
    entry = {
        "name": ENTRY_CONTAINER,
        "image": worker["image"],
        "command": [_INSTALLED, "copy", f"{root}/{PROGRAM}"],
        "volumeMounts": _mounts_of(worker, root),
        **_like(worker, "imagePullPolicy", "securityContext"),
    }
    user = {
        "name": USER_CONTAINER,
        "image": image,
        "command": [f"{root}/{PROGRAM}", "serve", socket],
        "resources": resources,
        "volumeMounts": [one for one in worker["volumeMounts"] if not one["name"].startswith("headrace-join")],
        **_like(worker, "imagePullPolicy", "securityContext"),
    }
    sidecar = {
        **worker,
        "command": [f"{root}/{PROGRAM}", "host", socket, "--", *worker["command"]],
        "env": [
            *worker.get("env", []),
            {"name": SOCKET, "value": socket},
            {"name": IMAGE, "value": image},
            {"name": "TMPDIR", "value": root},  # working folders of commands are seen by both
        ],
        "resources": _of_sidecar(resources, overhead),
        "restartPolicy": "Always",
    }
    made = {
        **spec,
        "initContainers": [*spec.get("initContainers", []), entry, sidecar],
        "containers": [user, *others],
    }
    return made | ({"shareProcessNamespace": True} if python else {})


def probing(spec: Mapping[str, Any], root: str, programs: Sequence[str], arguments: Sequence[str]) -> Json:
    """The spec of a pod that tells which of ``programs`` an image has, and what it says to ``arguments``.

    ``spec`` is that of a pod with the user's container. The answer is the message with which that ends.
    """
    entry = next(one for one in spec["initContainers"] if one["name"] == ENTRY_CONTAINER)
    user = next(one for one in spec["containers"] if one["name"] == USER_CONTAINER)
    command = [f"{root}/{PROGRAM}", "probe", "/dev/termination-log", ",".join(programs), *arguments]
    small = {"requests": {"cpu": _SIDECAR_CPU}}
    mounts = _mounts_of(user, root)
    volumes = [one for one in spec["volumes"] if one["name"] in {mount["name"] for mount in mounts}]
    user = {**user, "command": command, "resources": small, "volumeMounts": mounts}
    return {**spec, "initContainers": [entry], "containers": [user], "volumes": volumes}


def _mounts_of(container: Mapping[str, Any], root: str) -> list[Json]:
    return [one for one in container["volumeMounts"] if one["mountPath"] == root]


def _like(container: Mapping[str, Any], *names: str) -> Json:
    return {name: container[name] for name in names if name in container}


def _of_sidecar(resources: Mapping[str, Any], overhead: int) -> Json:
    """What the worker may use: little; as much memory as the attempt where that is limited, since values pass it."""
    limits = resources.get("limits", {})
    asked: Json = {"requests": {"cpu": _SIDECAR_CPU}}
    if "memory" in limits:
        asked["requests"]["memory"] = str(overhead)
        asked["limits"] = {"memory": str(int(limits["memory"]) + overhead)}
    return asked
