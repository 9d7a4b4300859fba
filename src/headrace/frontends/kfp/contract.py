"""The seam between the interpreter and what happens in a component: ``execute(ComponentCall) -> ComponentResult``.

The interpreter (``interpreter``, in the driver) decides what runs and with which inputs. ``component_task`` (in a
worker) makes a ``ComponentCall`` of the inputs of one attempt, calls ``executors.execute``, checks the result and
stores it. ``executors`` knows Python components, containers, importers and notebooks, and nothing of DAGs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from headrace.frontends.kfp.ir import Component, Executor
from headrace.model.workers import ClusterAddress
from headrace.runtime.raw import RawCall
from headrace.stores.codecs import File, Folder

#: The folder that code of components knows as the workspace.
WORKSPACE_MOUNT = "/kfp-workspace"


class JobFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What placeholders say of the run, equal in all its tasks. Times are RFC 3339 in UTC.

    ``root`` is the pipeline root, a folder of this machine or a URI, without a slash at its end; below it each attempt
    has a folder of its own. ``workspace`` is a folder that all tasks of the run share; empty: the pipeline has none.
    """

    name: str  # {{$.pipeline_job_name}}: the run's name for people
    resource_name: str  # begins with the pipeline's name and "-"
    uuid: str
    root: str
    workspace: str = ""
    create_time: str = ""
    schedule_time: str = ""


class ArtifactValue(msgspec.Struct, kw_only=True):
    """An artifact as KFP sees it, with its content.

    ``content`` is the file or folder that Headrace keeps; None where nothing was written, and where ``uri`` names
    something outside (``gs://``, ``s3://``...) that is read from there. Where it is a path of this machine, ``stamp``
    has the sizes and times of the files there, so that later tasks notice a change. Where a component wrote files
    beside the path of the artifact (``model.pkl`` beside ``model``), ``content`` is a folder of these, and ``stem``
    the name that the path has in it. What is stored of an artifact, and how it is given back to a later task, is
    ``artifacts`` alone.
    """

    name: str
    schema_title: str = "system.Artifact"
    schema_version: str = "0.0.1"
    uri: str = ""
    metadata: dict[str, Any] = {}
    content: File | Folder | None = None
    stamp: dict[str, Any] = {}
    stem: str = ""


class ComponentStep(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is told of a step, once: its component, its executor, the run.

    ``task`` is the key of the task in its DAG, ``path`` the name of the step: keys from the root on, joined by dots.
    ``platform`` are the executor's settings for Kubernetes. ``containers`` is where containers run: ``auto``,
    ``podman``, ``docker`` or ``host``. ``as_command``: a Python component runs as the command that it is, in its image,
    instead of in the worker (see ``executors.needs``). ``cluster`` is where tasks have pods, if they have.
    """

    task: str
    path: str
    component: Component
    executor: Executor
    job: JobFacts
    platform: dict[str, Any] = {}
    containers: str = "auto"
    as_command: bool = False
    cluster: ClusterAddress | None = None


class ComponentCall(msgspec.Struct, kw_only=True):
    """One attempt of a component.

    ``parameters`` are those that the component gets: defaults filled in, numbers that are whole are ``int`` at any
    depth, values as the component declares them (a STRING is a text). What is absent has no key. Artifacts are lists
    always; a component that does not declare a list uses the first. ``folder`` is that of this attempt alone
    (``executors.attempt_folder``): for its outputs, and to work in; it is emptied after the attempt. ``raw`` is the
    attempt: its store, ``task`` (``flow/42/step/3``), number of tries.
    """

    step: ComponentStep
    parameters: dict[str, Any]
    artifacts: dict[str, list[ArtifactValue]]
    folder: str
    task_uuid: str  # {{$.pipeline_task_uuid}}
    raw: RawCall


class ComponentResult(msgspec.Struct, kw_only=True):
    """What a component gave: parameters by name (an absent one has no key) and artifacts by name.

    The interpreter's side stores both, and refuses parameters whose values are not of the declared type.
    """

    parameters: dict[str, Any] = {}
    artifacts: dict[str, list[ArtifactValue]] = {}


#: What ``executors`` offers. It raises what the component raised, or ``ComponentFailedError``.
Execute = Callable[[ComponentCall], ComponentResult]
