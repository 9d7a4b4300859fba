"""The objects of groups in the cluster: how they are made and deleted, and what they and their events say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headrace.executors.kubernetes.api import ClusterApi, Watched
from headrace.executors.kubernetes.client import Kind
from headrace.executors.kubernetes.group_manifests import (
    KINDS,
    RUNTIME,
    TRAIN_JOB,
    Form,
    GroupKind,
    group_of,
    runtime_of,
)
from headrace.executors.kubernetes.manifests import PodPlace
from headrace.executors.kubernetes.queues import WORKLOAD
from headrace.executors.kubernetes.reasons import Reason, reason_of_refusal


class GroupObjects:
    """See the module. Groups have a form; ``queued`` ones wait in a queue of Kueue, also those of plain pods."""

    def __init__(self, form: Form, *, queued: bool) -> None:
        self._form = form
        self._queued = queued
        #: Whether the pods of a gang are one object in the cluster, or wait in its queue as one.
        self.used = form != "pods" or queued

    def watched(self) -> list[Watched]:
        """What is to be watched beside pods."""
        groups = [Watched(KINDS[self._form], labelled=True)] if self._form in KINDS else []
        return groups + ([Watched(WORKLOAD, labelled=False)] if self._queued else [])

    def create(self, api: ClusterApi, name: str, kind: GroupKind, place: PodPlace) -> None:
        """Create a group."""
        manifests = group_of(name, kind, place)
        if self._form != "pods":
            api.create_objects(manifests)
            return
        for pod in manifests:
            api.create_pod(pod)

    def delete(self, api: ClusterApi, name: str, pods: Sequence[str]) -> None:
        """Delete a group; ``pods`` are its pods where it is nothing else."""
        if self._form != "pods":
            self.delete_object(api, KINDS[self._form], name)
            return
        for pod in pods:
            api.delete_pod(pod, 1.0)

    def delete_object(self, api: ClusterApi, kind: Kind, name: str) -> None:
        """Delete the object of a group."""
        api.delete_object(kind, name)
        if kind == TRAIN_JOB:
            api.delete_object(RUNTIME, runtime_of(name))

    def reason_of_refusal(self, code: int, reason: str, message: str) -> Reason:
        """Why a pod or a group was not created."""
        if code == 404 and "the server could not find" in message and self._form in KINDS:
            kind = KINDS[self._form]
            text = f"cannot be created: the cluster has no {kind.name} ({kind.api_version})"
            return Reason(f'{text}; install it there, or set gangs = "pods" of the place', False, "place", final=True)
        return reason_of_refusal(code, reason, message)


def failure_of(manifest: Mapping[str, Any]) -> Reason | None:
    """Why a group has failed, as its object says; None: it has not."""
    for one in (manifest.get("status") or {}).get("conditions") or ():
        if one.get("type") == "Failed" and one.get("status") == "True":
            return Reason(f"failed: {one.get('message') or one.get('reason')}", False, "place")
    return None


def refusal_in(event: Mapping[str, Any]) -> Reason | None:
    """Why the pods of a group cannot be created, where an event says that."""
    if event.get("reason") != "FailedCreate":
        return None
    said = str(event.get("message") or "")
    message = said.partition("Error creating: ")[2] or said
    return reason_of_refusal(403 if " is forbidden: " in message else 0, "", message)
