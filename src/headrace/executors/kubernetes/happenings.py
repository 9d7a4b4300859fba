"""What happens in a cluster, as ``ClusterApi`` tells it."""

from __future__ import annotations

from typing import NamedTuple

from headrace.executors.kubernetes.client import Json, Kind


class PodSeen(NamedTuple):
    """A pod as it is now: made, found or changed."""

    pod: Json


class PodGone(NamedTuple):
    """A pod does not exist any more. ``pod`` is its last state (None: it went unseen, or was never made)."""

    name: str
    uid: str
    pod: Json | None


class CreateRefused(NamedTuple):
    """A pod was not created: ``code`` of HTTP, ``reason`` of Kubernetes, seconds that the server wants to pass."""

    name: str
    code: int
    reason: str
    message: str
    retry_after: float


class PodEvent(NamedTuple):
    """A Kubernetes event about a pod."""

    name: str
    event: Json


class ObjectSeen(NamedTuple):
    """An object of another kind that is watched, as it is now."""

    kind: Kind
    manifest: Json


class ObjectGone(NamedTuple):
    """An object of another kind does not exist any more, or was never made."""

    kind: Kind
    name: str


class ObjectEvent(NamedTuple):
    """A Kubernetes event about an object that is no pod."""

    name: str
    event: Json


class PodLog(NamedTuple):
    """The end of a container's output; ``error`` says why there is none."""

    name: str
    container: str
    text: str
    error: str


class ForwardEnded(NamedTuple):
    """A connection to a pod through the API server ended; ``why`` is empty if one side closed it."""

    name: str
    why: str


class Away(NamedTuple):
    """The API server cannot be asked since then (seconds since 1970); told once."""

    since: float
    why: str


class Back(NamedTuple):
    """The API server answers again, and all that happened meanwhile has been told or is about to be."""


Happening = (
    PodSeen
    | PodGone
    | CreateRefused
    | PodEvent
    | ObjectSeen
    | ObjectGone
    | ObjectEvent
    | PodLog
    | ForwardEnded
    | Away
    | Back
)
