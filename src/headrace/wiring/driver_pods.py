"""What a process knows that is a driver in a pod."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from headrace.model.errors import UsageError
from headrace.services.places import KubernetesPlace, PlaceSettings
from headrace.settings import names_stores, settings_file

#: The file with the secret from which workers and driver know each other, beside the settings of the run.
IDENTITY = "identity"
#: The file with the images of environments that whoever started the run knows, by the digests of these.
BAKED = "baked.json"
#: The folder with these in a pod.
_SETTINGS = "/var/run/headrace/driver"
#: The file that is made before a pod is told to end, for a process that is too young to hear it.
_LEAVING = "/headrace/leaving"
#: Where drivers in a cluster listen: the first place there, the next one at the next port.
PORT = 7701


def check_driver_place(place: KubernetesPlace) -> None:
    """Refuse a place that cannot have a driver, before a run is recorded for it. The cluster is not asked.

    Raises:
        UsageError: it has no image or no stores, or there is no way to its cluster.
    """
    if not place.image_of_drivers:
        raise UsageError(
            f"place {place.name!r} has no image for the driver of the run: set image of [tool.headrace.places."
            f"{place.name}] to an image that has Headrace, or driver_image where only drivers run in it; or keep the "
            "driver here: --driver here"
        )
    if not (place.secret or place.pod.secrets or place.pod.config_maps or place.variables or _are_carried()):
        raise UsageError(
            f"a driver in place {place.name!r} finds no stores: set secret of [tool.headrace.places.{place.name}] to a "
            "secret of the cluster whose keys are variables such as HEADRACE_DATABASE and HEADRACE_ARTIFACTS"
        )
    try:
        from headrace.executors.kubernetes.access import Access, connection
    except ImportError as error:
        raise UsageError(f"place {place.name!r} needs the package {error.name}: install headrace[kubernetes]") from None
    connection(Access(place.kubeconfig, place.context))


def _are_carried() -> bool:
    """Whether the settings that a driver gets from here name both stores, so that an identity is all it needs."""
    file = settings_file()
    return file is not None and names_stores(file)


class DriverPod(msgspec.Struct, frozen=True, kw_only=True):
    """What a driver in a pod knows of itself: its Job, and the place that it is in."""

    job: str
    uid: str
    namespace: str
    place: str

    def reached(self) -> str:
        """The host under which workers find this driver, and the pod that comes after it."""
        return f"{self.job}.{self.namespace}.svc"

    def is_leaving(self) -> bool:
        """Whether the pod was told to end."""
        return Path(_LEAVING).exists()

    @property
    def owner(self) -> dict[str, Any]:
        """A reference to the Job, for what is to go with it."""
        return {"apiVersion": "batch/v1", "kind": "Job", "name": self.job, "uid": self.uid}

    def identity(self) -> str:
        """The secret from which workers and driver know each other, the same in all pods of the Job."""
        return Path(_SETTINGS, IDENTITY).read_text().strip()

    def baked(self) -> dict[str, str]:
        """The images of environments that are known where the run was started, by the digests of these."""
        file = Path(_SETTINGS, BAKED)
        found: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
        return found


def driver_pod() -> DriverPod | None:
    """Of a process that is a driver in a pod; None elsewhere."""
    job = os.environ.get("HEADRACE_DRIVER_JOB")
    if not job:
        return None
    return DriverPod(
        job=job,
        uid=os.environ["HEADRACE_DRIVER_UID"],
        namespace=os.environ["HEADRACE_DRIVER_NAMESPACE"],
        place=os.environ["HEADRACE_DRIVER_PLACE"],
    )


def seated(place: KubernetesPlace, known: Sequence[PlaceSettings], pod: DriverPod) -> tuple[KubernetesPlace, bool]:
    """The settings of a place for a driver in ``pod``; whether it is in the same cluster.

    There the API server is reached by the service account of the pod, and workers find the driver by the name of its
    service, at a port that is the place's in every pod of the Job.
    """
    clusters = [one for one in known if isinstance(one, KubernetesPlace)]
    own = next((one for one in clusters if one.name == pod.place), place)
    if (place.kubeconfig, place.context) != (own.kubeconfig, own.context):
        return place, False
    port = PORT + clusters.index(place) if place in clusters else PORT
    settings: dict[str, Any] = {
        "kubeconfig": "",
        "context": "in-cluster",
        "namespace": place.namespace or pod.namespace,
        "address": f"{pod.reached()}:{port}",
        "listen": f"{'[::]' if ':' in os.environ.get('HEADRACE_POD_IP', '') else '0.0.0.0'}:{port}",
    }
    return msgspec.structs.replace(place, **settings), True
