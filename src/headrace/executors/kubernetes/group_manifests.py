"""The manifests of a group: the pods of a gang as one object, which a cluster starts and ends as a whole. Pure.

All names of a group begin with that of the group, and the names of its pods end with their index and one more part, as
those do that the Job controller makes.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from headrace.executors.kubernetes.client import Json, Kind
from headrace.executors.kubernetes.manifests import CONTAINER, DOMAIN, PodKind, PodPlace, pod_of

Form = Literal["pods", "job", "jobset", "trainjob"]
JOB = Kind("batch/v1", "Job")
JOB_SET = Kind("jobset.x-k8s.io/v1alpha2", "JobSet")
TRAIN_JOB = Kind("trainer.kubeflow.org/v1alpha1", "TrainJob")
RUNTIME = Kind("trainer.kubeflow.org/v1alpha1", "TrainingRuntime")
#: What the group of each form is in the cluster; one of plain pods is nothing but these.
KINDS: dict[str, Kind] = {"job": JOB, "jobset": JOB_SET, "trainjob": TRAIN_JOB}
#: Labels and annotations of Kueue (https://kueue.sigs.k8s.io/docs/tasks/run/plain_pods/).
QUEUE = "kueue.x-k8s.io/queue-name"
_POD_GROUP, _TOTAL = "kueue.x-k8s.io/pod-group-name", "kueue.x-k8s.io/pod-group-total-count"
_FINAL = "kueue.x-k8s.io/retriable-in-group"
#: A label of ours with the name of the group.
GROUP = f"{DOMAIN}/group"
#: An annotation of ours: of how many pods it is.
GROUP_SIZE = f"{DOMAIN}/group-size"
#: Seconds for which a group that is over is kept, should nobody delete it.
_KEPT = 120
#: The Job of a JobSet; the Trainer wants its own name for the Job and for its container, and finds it by a label.
_MEMBERS, _NODE, _STEP = "m", "node", "trainer.kubeflow.org/trainjob-ancestor-step"


class GroupKind(NamedTuple):
    """What a group is like: ``size`` pods of a kind, and what they are together."""

    pod: PodKind
    size: int
    form: Form

    @property
    def container(self) -> str:
        """The container whose output says what happened, or that of an image which stands beside it."""
        return _NODE if self.form == "trainjob" and not self.pod.within else CONTAINER

    @property
    def digest(self) -> str:
        """Names the kind, beside those of single pods."""
        return f"{self.pod.digest}-{self.form}-{self.size}"


def group_of(name: str, kind: GroupKind, place: PodPlace) -> list[Json]:
    """What to create for a group, in this order."""
    if kind.form == "pods":
        return [_member(name, index, kind, place) for index in range(kind.size)]
    template = pod_of(name, kind.pod, place)
    queue = _unqueued(template)
    about = {key: value for key, value in template["metadata"].items() if key in ("labels", "annotations")}
    about["labels"] = {**about["labels"], GROUP: name}
    about["annotations"] = {**about["annotations"], GROUP_SIZE: str(kind.size)}
    job = {
        "completionMode": "Indexed",
        "completions": kind.size,
        "parallelism": kind.size,
        "backoffLimit": 0,  # one that ends ends all
        "template": {"metadata": about, "spec": template["spec"]},
    }
    metadata: Json = {
        "name": name,
        "labels": {**about["labels"], **({QUEUE: queue} if queue else {})},
        "annotations": about["annotations"],
    }
    if place.owner is not None:
        metadata["ownerReferences"] = [place.owner]
    if kind.form == "job":
        return [_object(JOB, metadata, {**job, "ttlSecondsAfterFinished": _KEPT})]
    if kind.form == "jobset":
        jobs = [{"name": _MEMBERS, "replicas": 1, "template": {"spec": job}}]
        spec = {"replicatedJobs": jobs, "failurePolicy": {"maxRestarts": 0}, "ttlSecondsAfterFinished": _KEPT}
        return [_object(JOB_SET, metadata, spec)]
    return _train_job(metadata, job, kind.size)


def _member(name: str, index: int, kind: GroupKind, place: PodPlace) -> Json:
    pod = pod_of(f"{name}-{index}-0", kind.pod, place)
    labels, annotations = pod["metadata"]["labels"], pod["metadata"]["annotations"]
    labels[GROUP] = name
    annotations[GROUP_SIZE] = str(kind.size)
    if QUEUE in labels:
        labels[_POD_GROUP] = name
        annotations |= {_TOTAL: str(kind.size), _FINAL: "false"}
    return pod


def _train_job(metadata: Json, job: Json, size: int) -> list[Json]:
    """A TrainJob, and the runtime that says what its pods are like."""
    job["template"]["spec"]["containers"][0]["name"] = _NODE
    nodes = {"name": _NODE, "replicas": 1, "template": {"metadata": {"labels": {_STEP: "trainer"}}, "spec": job}}
    name = runtime_of(metadata["name"])
    template = {"spec": {"replicatedJobs": [nodes], "failurePolicy": {"maxRestarts": 0}}}
    labels = {key: value for key, value in metadata["labels"].items() if key != QUEUE}
    runtime = _object(
        RUNTIME, {**metadata, "name": name, "labels": labels}, {"mlPolicy": {"numNodes": size}, "template": template}
    )
    ref = {"apiGroup": RUNTIME.api_version.partition("/")[0], "kind": RUNTIME.name, "name": name}
    return [runtime, _object(TRAIN_JOB, metadata, {"runtimeRef": ref, "trainer": {"numNodes": size}})]


def runtime_of(name: str) -> str:
    """The name of the runtime of a group that is a TrainJob."""
    return f"{name}-runtime"


def _unqueued(pod: Json) -> str:
    """Take the name of the queue from a pod, which waits there with its group."""
    return str(pod["metadata"]["labels"].pop(QUEUE, ""))


def _object(kind: Kind, metadata: Json, spec: Json) -> dict[str, Any]:
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, "spec": spec}
