"""The driver of a run as a Job of the cluster: its manifests, and how it is made, asked after and handed on.

The Job is an Indexed one of a single pod. A pod that is asked to end adds an index and exits with 0: its successor
starts at once, while a pod that fails is started again by the Job only after a while that doubles each time. A service
gives the driver a name, under which workers find its next pod; a secret has what its pods need to know. Both, and the
pods of workers, are the Job's own: whoever deletes it takes them all away.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import msgspec

from headrace.executors.kubernetes.client import ClusterClient, ClusterError, Json, Kind
from headrace.executors.kubernetes.manifests import (
    DOMAIN,
    dns_label,
    label_of,
    placed,
    pod_security,
    variable_sources,
)
from headrace.executors.kubernetes.reasons import reason_of
from headrace.model.pods import PodSettings, overlay

JOB = Kind("batch/v1", "Job")
POD = Kind("v1", "Pod")
#: Exit code of a driver that will not do better in another pod.
HOPELESS = 78
CONTAINER = "driver"
#: Where the driver finds its settings, and may write.
SETTINGS, ROOT = "/var/run/headrace/driver", "/headrace"
#: Seconds for which a Job that is over is kept, and that a driver has to hand the run on.
_KEPT, _GRACE = 3_600, 30
_OWNER_LABEL = "batch.kubernetes.io/controller-uid"


class DriverJob(msgspec.Struct, frozen=True, kw_only=True):
    """A driver to be started for a session of a run. ``key`` tells runs apart that have the same name.

    ``words`` are arguments of ``headrace drive``. ``secret`` is one of the cluster with variables; ``files`` are given
    to the driver in a secret of its own; ``account`` is the service account that may make pods.
    """

    run: str
    key: str
    session: int
    place: str
    image: str
    words: tuple[str, ...]
    secret: str = ""
    variables: Mapping[str, str] = {}
    files: Mapping[str, str] = {}
    account: str = ""
    settings: PodSettings = PodSettings()

    @property
    def name(self) -> str:
        """The name of the Job, its service and its secret; short, since pods add numbers to it."""
        return job_name(self.run, self.key, self.session)

    @property
    def labels(self) -> dict[str, str]:
        """Those of all that belongs to the driver."""
        return {
            "app.kubernetes.io/managed-by": "headrace",
            f"{DOMAIN}/run": label_of(self.run),
            f"{DOMAIN}/driver": self.name,
        }


def job_name(run: str, key: str, session: int) -> str:
    """The name of the Job of a session of a run."""
    return f"{dns_label(run.replace('/', '-'), 30)}-{dns_label(key, 9)[-8:]}-driver-{session}"


def job_of(driver: DriverJob) -> Json:
    """The manifest of the Job."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(driver),
        "spec": {
            "completionMode": "Indexed",
            "completions": 1,
            "parallelism": 1,
            "suspend": True,  # until all is there that its pod needs
            # Not that of an index, under which a failed pod keeps its finalizer until another one is in its place: a
            # namespace that is being deleted takes none, and would wait for ever.
            "backoffLimit": 1_000_000,
            "podReplacementPolicy": "Failed",
            "ttlSecondsAfterFinished": _KEPT,
            "podFailurePolicy": {
                "rules": [
                    {
                        "action": "FailJob",
                        "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": [HOPELESS]},
                    }
                ]
            },
            "template": {
                "metadata": {
                    "labels": {**driver.settings.labels, **driver.labels},
                    "annotations": _annotations(driver),
                },
                "spec": _spec(driver),
            },
        },
    }


def belongings_of(driver: DriverJob, job: Json) -> list[Json]:
    """The manifests of what the Job owns, once it is there: a name for its pods, and a secret with their settings."""
    owner = owner_of(job["metadata"]["name"], job["metadata"]["uid"])
    metadata = {**_metadata(driver), "ownerReferences": [owner]}
    data = {name: base64.b64encode(text.encode()).decode() for name, text in driver.files.items()}
    return [
        {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata, "data": data},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {
                "clusterIP": "None",
                "publishNotReadyAddresses": True,
                "selector": {f"{DOMAIN}/driver": driver.name},
            },
        },
    ]


def owner_of(name: str, uid: str) -> dict[str, Any]:
    """A reference to the Job, for what goes with it."""
    return {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid}


def _metadata(driver: DriverJob) -> Json:
    return {"name": driver.name, "labels": driver.labels, "annotations": _annotations(driver)}


def _annotations(driver: DriverJob) -> dict[str, str]:
    return {**driver.settings.annotations, f"{DOMAIN}/run": driver.run}


def _spec(driver: DriverJob) -> Json:
    settings = driver.settings
    spec: Json = {
        "restartPolicy": "Never",
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": _GRACE,
        "securityContext": pod_security(),
        "containers": [_container(driver)],
        "volumes": [
            {"name": "headrace-root", "emptyDir": {}},
            {"name": "headrace-driver", "secret": {"secretName": driver.name, "defaultMode": 0o440}},
            *settings.volumes,
        ],
    }
    whole = spec | placed(settings, driver.account or settings.service_account)
    patch = (settings.patch.get("spec") or {}) if settings.patch else {}
    # What a place lays over pods of workers holds for the pod of the driver, but for what concerns their container.
    patched: Json = overlay(whole, {key: value for key, value in patch.items() if key != "containers"})
    return patched


def _container(driver: DriverJob) -> Json:
    settings = driver.settings
    own = {
        "HEADRACE_DRIVER_JOB": driver.name,
        "HEADRACE_DRIVER_PLACE": driver.place,
        "HEADRACE_HOME": f"{ROOT}/home",
        "HEADRACE_SAFE_HOMES": f"{SETTINGS}:{ROOT}",
        "HOME": ROOT,
        "PYTHONUNBUFFERED": "1",
    }
    fields = {
        "HEADRACE_DRIVER_NAMESPACE": "metadata.namespace",
        "HEADRACE_DRIVER_UID": f"metadata.labels['{_OWNER_LABEL}']",
        "HEADRACE_POD": "metadata.name",
        "HEADRACE_NODE": "spec.nodeName",
    }
    container: Json = {
        "name": CONTAINER,
        "image": driver.image,
        "command": ["python", "-m", "headrace", "drive"],
        "args": list(driver.words),
        "workingDir": SETTINGS,
        "env": [
            *[{"name": name, "value": value} for name, value in {**driver.variables, **own}.items()],
            *[{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()],
        ],
        "envFrom": variable_sources(driver.secret, settings),
        # A process that has not set its handlers hears no signal, as the first one of a pod.
        "lifecycle": {"preStop": {"exec": {"command": ["python", "-c", f"open('{ROOT}/leaving', 'w').close()"]}}},
        "resources": {"requests": {"cpu": "50m", "memory": "192Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [
            {"name": "headrace-root", "mountPath": ROOT},
            {"name": "headrace-driver", "mountPath": SETTINGS, "readOnly": True},
            *settings.volume_mounts,
        ],
    }
    if settings.image_pull_policy:
        container["imagePullPolicy"] = settings.image_pull_policy
    return container


def debug_pod_of(driver: DriverJob) -> Json:
    """The manifest of a pod that has what pods of workers have, and waits for a program to be run in it."""
    spec = _spec(driver)
    container = spec["containers"][0]
    for name in ("args", "lifecycle"):
        del container[name]
    container["command"] = ["python", "-c", "import time; time.sleep(86400)"]
    container["workingDir"] = ROOT
    own = ("HEADRACE_DRIVER_JOB", "HEADRACE_DRIVER_PLACE", "HEADRACE_DRIVER_NAMESPACE", "HEADRACE_DRIVER_UID")
    container["env"] = [one for one in container["env"] if one["name"] not in own]
    container["volumeMounts"] = [one for one in container["volumeMounts"] if one["name"] != "headrace-driver"]
    spec["volumes"] = [one for one in spec["volumes"] if one["name"] != "headrace-driver"]
    spec["automountServiceAccountToken"] = bool(spec.get("serviceAccountName"))
    labels = {"app.kubernetes.io/managed-by": "headrace", f"{DOMAIN}/run": label_of(driver.run)}
    metadata = {
        "name": driver.name.replace("-driver-", "-debug-"),
        "labels": labels,
        "annotations": _annotations(driver),
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def reason_of_pod(client: ClusterClient, pod: Json) -> str:
    """Why a pod is not at work, in one sentence; empty: it is."""
    name = pod["metadata"]["name"]
    params = {"fieldSelector": f"involvedObject.name={name}"}
    found = client.request("GET", Kind("v1", "Event").path(client.namespace), params=params)
    why = reason_of(pod, found.get("items") or [])
    return f"pod {name} {why.text}" if why.text and (why.fault or not why.started) else ""


class DriverJobs:
    """The driver Jobs of a namespace."""

    def __init__(self, client: ClusterClient) -> None:
        self.client = client

    def start(self, driver: DriverJob) -> None:
        """Make the Job and what belongs to it.

        Raises:
            ClusterError: the cluster refuses it.
        """
        job = self.client.create(job_of(driver))
        try:
            for one in belongings_of(driver, job):
                self.client.create(one)
            self._change(driver.name, {"suspend": False})
        except BaseException:
            self.delete(driver.name)
            raise

    def delete(self, name: str) -> bool:
        """Take a Job away with all that it owns; whether there was one."""
        return self.client.delete(JOB, name)

    def hand_on(self, name: str) -> None:
        """Let the Job start another pod, at once."""
        job = self.client.get(JOB, name)
        number = int(job["spec"]["completions"]) + 1
        self._change(name, {"completions": number, "parallelism": number})

    def _change(self, name: str, spec: Json) -> None:
        path = JOB.path(self.client.namespace, name)
        self.client.request("PATCH", path, {"spec": spec}, content="application/merge-patch+json")

    def newest(self, run: str, key: str) -> str:
        """The name of the Job of the last session of a run that has one; empty: there is none."""
        prefix = job_name(run, key, 0)[:-1]
        names = [one["metadata"]["name"] for one in self.client.list(JOB, {f"{DOMAIN}/run": label_of(run)})]
        numbers = [int(one.removeprefix(prefix)) for one in names if one.startswith(prefix)]
        return job_name(run, key, max(numbers)) if numbers else ""

    def trouble(self, name: str) -> tuple[str, bool]:
        """Why a Job has no driver at work at the moment (empty: it will soon), and whether it never will."""
        job = self.client.find(JOB, name)
        if job is None:
            return f"its driver Job {name} is gone", True
        pods = list(self.client.list(POD, {f"{DOMAIN}/driver": name}))
        pods.sort(key=lambda pod: pod["metadata"]["creationTimestamp"])
        for condition in (job.get("status") or {}).get("conditions") or ():
            if condition["type"] == "Failed" and condition["status"] == "True":
                return self._last_words(name, pods) or f"its driver Job {name} failed: {condition['message']}", True
        if not pods:
            failed = [one for one in self._events(name) if one.get("reason") == "FailedCreate"]
            return f"its pod is refused: {failed[-1].get('message')}" if failed else "", False
        return reason_of_pod(self.client, pods[-1]), False

    def _events(self, name: str) -> list[Json]:
        params = {"fieldSelector": f"involvedObject.name={name}"}
        found = self.client.request("GET", Kind("v1", "Event").path(self.client.namespace), params=params)
        return list(found.get("items") or [])

    def _last_words(self, name: str, pods: list[Json]) -> str:
        try:
            said = self.client.log(pods[-1]["metadata"]["name"], CONTAINER, tail=20).strip() if pods else ""
        except ClusterError:
            return ""
        return f"its driver gave up: {said}" if said else ""
