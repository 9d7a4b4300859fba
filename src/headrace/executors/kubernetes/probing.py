"""Which image a name is for the nodes of a cluster, and which Python is in it: a pod of the image is asked."""

from __future__ import annotations

import json
import os
import select
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from headrace.executors.kubernetes.access import Access
from headrace.executors.kubernetes.api import ClusterApi
from headrace.executors.kubernetes.containment import USER_CONTAINER, probing
from headrace.executors.kubernetes.happenings import CreateRefused, PodEvent, PodGone, PodSeen
from headrace.executors.kubernetes.manifests import DOMAIN, ROOT, PodKind, PodPlace, pod_of
from headrace.executors.kubernetes.options import KubernetesOptions
from headrace.executors.kubernetes.reasons import reason_of, reason_of_refusal
from headrace.model.errors import EnvironmentSetupError
from headrace.model.pods import PodSettings
from headrace.model.policy import Resources
from headrace.runtime.containers.pod import PROGRAM

#: Seconds between two requests for a pod that the cluster refused for a while.
_AGAIN = 1.0


class ProbeOptions(NamedTuple):
    """Where images are probed: ``image`` is that of workers (empty: the one that is probed), ``owner`` what the pods go
    with."""

    place: str
    access: Access
    namespace: str
    image: str
    settings: PodSettings
    timeout: float
    owner: Mapping[str, Any] | None = None


def probe_options(place: str, told: KubernetesOptions) -> ProbeOptions:
    """Where images of steps in a place are probed."""
    timeout = told.rules.start_timeout
    return ProbeOptions(place, told.access, told.namespace, told.beside, told.pod, timeout, told.owner)


def hinted(why: str, image: str, place: str) -> str:
    """Why a pod of a step's image does not run, with what to do where ``image``, that of workers, is not set."""
    if image or PROGRAM not in why:
        return why
    return (
        f"{why}. Place {place!r} names no image, so the worker runs in that of the step, which has no Headrace: set "
        f"image of [tool.headrace.places.{place}] to an image that has it, such as images/worker builds; or build the "
        "image of the step on such a one"
    )


class _Probed(NamedTuple):
    digest: str
    program: str
    said: str


class ClusterImages:
    """Images as the nodes of a cluster have or pull them.

    A pod of an image is asked once, for its digest and for its Python: it runs the first of ``programs`` that it has
    with ``arguments``.
    """

    def __init__(self, options: ProbeOptions, programs: Sequence[str], arguments: Sequence[str]) -> None:
        self._options = options
        self._programs = programs
        self._arguments = arguments
        self._probed: dict[str, _Probed] = {}

    @property
    def engine(self) -> tuple[str, str]:
        """What runs commands: the other container of the worker's pod."""
        return "pod", f"{ROOT}/container"

    def has(self, digest: str) -> bool:
        """Whether the image may be there: the nodes are not asked."""
        return True

    def digest(self, image: str) -> str:
        """Which image a name is now.

        Raises:
            EnvironmentSetupError: no pod of it runs.
        """
        known = "@sha256:" in image and self._options.image  # else it is to be seen whether Headrace is in it
        return image if known else self._probe(image).digest

    def answer(self, image: str, digest: str) -> tuple[str, str]:
        """The program that the image has, and what it says.

        Raises:
            EnvironmentSetupError: no pod of it runs.
        """
        found = self._probe(image)
        return found.program, found.said

    def _probe(self, image: str) -> _Probed:
        if image not in self._probed:
            self._probed[image] = self._ask(image)
        return self._probed[image]

    def _ask(self, image: str) -> _Probed:
        options = self._options
        name = f"headrace-image-{os.urandom(5).hex()}"
        labels = {"app.kubernetes.io/managed-by": "headrace", f"{DOMAIN}/probe": name}
        where = PodPlace(prefix="", labels=labels, annotations={}, address="-", token="none", owner=options.owner)
        kind = PodKind(
            image=options.image or image, within=image, resources=Resources(cpu=0.01), settings=options.settings
        )
        pod = pod_of(name, kind, where)
        pod["spec"] = probing(pod["spec"], ROOT, self._programs, self._arguments)
        api = ClusterApi(options.access, options.namespace, labels)
        api.start()
        try:
            return _Answer(api, pod, image).wait(options.timeout)
        except EnvironmentSetupError as error:
            raise EnvironmentSetupError(hinted(str(error), options.image, options.place)) from None
        finally:
            api.delete_pod(name, 0)
            api.close()


class _Answer:
    """Waits for what a pod says."""

    def __init__(self, api: ClusterApi, pod: dict[str, Any], image: str) -> None:
        self._api = api
        self._pod = pod
        self._image = image
        self._events: list[dict[str, Any]] = []
        self._why = "was not created"
        self._again = 0.0

    def wait(self, seconds: float) -> _Probed:
        """The answer.

        Raises:
            EnvironmentSetupError: there is none within that time, or the pod cannot run.
        """
        until = time.monotonic() + seconds
        self._api.create_pod(self._pod)
        poll = select.poll()
        poll.register(self._api.fileno(), select.POLLIN)
        while (now := time.monotonic()) < until:
            if self._again and now >= self._again:
                self._again = 0.0
                self._api.create_pod(self._pod)
            poll.poll(min(until, self._again or until) * 1000 - now * 1000)
            for one in self._api.events():
                found = self._hear(one)
                if found is not None:
                    return found
        raise self._failed(f"{self._why} (waited {seconds:g} s)")

    def _failed(self, why: str) -> EnvironmentSetupError:
        return EnvironmentSetupError(f"image {self._image!r}: a pod that looks into it {why}")

    def _hear(self, happening: object) -> _Probed | None:
        match happening:
            case PodSeen(pod):
                return self._see(pod)
            case PodEvent(_, event):
                self._events.append(event)
            case PodGone():
                raise self._failed("was deleted")
            case CreateRefused(_, code, reason, message, _):
                why = reason_of_refusal(code, reason, message)
                self._why = why.text
                if why.final:
                    raise self._failed(why.text)
                self._again = time.monotonic() + _AGAIN
        return None

    def _see(self, pod: dict[str, Any]) -> _Probed | None:
        for one in (pod.get("status") or {}).get("containerStatuses") or ():
            ended = (one.get("state") or {}).get("terminated") or {}
            if one.get("name") == USER_CONTAINER and ended.get("exitCode") == 0:
                said = json.loads(ended.get("message") or "{}")
                return _Probed(_digest(one), said.get("program", ""), said.get("said", ""))
        reason = reason_of(pod, self._events)
        self._why = reason.text or "does not run yet"
        if reason.final or reason.fault in ("place", "attempt", "memory"):
            raise self._failed(reason.text)
        return None


def _digest(status: Mapping[str, Any]) -> str:
    """The image of a container: ``REPOSITORY@sha256:...`` if it came from a registry, else the digest alone."""
    found = str(status.get("imageID") or status.get("image") or "")
    return found.rpartition("://")[2]
