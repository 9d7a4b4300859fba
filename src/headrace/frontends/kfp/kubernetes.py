"""Settings for Kubernetes in a pipeline: which are kept and noted here, which would change the result.

Where tasks run in pods, these are made as the settings say (``pods``). Elsewhere a setting that says where a pod runs
or what it is called changes nothing. One that brings files or variables into the container, or makes or removes
volumes, would change what a component computes: a run is refused unless the caller ignores it. Secrets as
environment variables come from Headrace's secrets.
"""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.frontends.kfp.ir import Pipeline
from headrace.model.errors import UsageError

#: Settings that change the result where they cannot be honoured, and how people call them.
_NEEDED = {
    "secretAsVolume": "a secret as files",
    "configMapAsEnv": "a config map as environment variables",
    "configMapAsVolume": "a config map as files",
    "pvcMount": "a persistent volume claim",
    "fieldPathAsEnv": "fields of its pod as environment variables",
    "genericEphemeralVolume": "an ephemeral volume",
    "emptyDirMounts": "an empty folder at a path of its own",
    "initContainers": "containers that run before it",
}
#: Honoured: by the policy of the step, by secrets.
_HONOURED = frozenset({"activeDeadlineSeconds", "secretAsEnv"})
#: Honoured where tasks run in pods.
_OF_PODS = frozenset(
    {
        *("secretAsEnv", "secretAsVolume", "configMapAsEnv", "configMapAsVolume", "fieldPathAsEnv", "pvcMount"),
        *("genericEphemeralVolume", "emptyDirMounts", "enabledSharedMemory", "nodeSelector", "tolerations"),
        *("nodeAffinity", "podAffinity", "podMetadata", "imagePullPolicy", "imagePullSecret", "securityContext"),
        "activeDeadlineSeconds",
    }
)
_KEPT = "kept for a cluster, without effect here"
_STUBS = {"argostub/createpvc": "makes a persistent volume claim", "argostub/deletepvc": "removes one"}


class PlatformNote(msgspec.Struct, frozen=True, kw_only=True):
    """A setting that is not honoured here. ``needed``: without it a result may be another one."""

    tasks: tuple[str, ...]
    setting: str
    text: str
    needed: bool


def notes_of(pipeline: Pipeline, *, pods: bool = False) -> list[PlatformNote]:
    """The settings that are not honoured here, or with ``pods`` in a cluster; those that a result depends on first."""
    users = users_of_executors(pipeline)
    honoured = _OF_PODS if pods else _HONOURED
    found = []
    for label, settings in pipeline.kubernetes.deployment_spec.executors.items():
        tasks = users.get(label, ())
        for name, value in settings.items():
            if name in honoured or not value or not tasks:
                continue
            needed = name in _NEEDED
            text = f"needs {_NEEDED[name]}{_named(value)}" if needed else _KEPT
            found.append(PlatformNote(tasks=tasks, setting=name, text=text, needed=needed))
    for label, executor in pipeline.spec.deployment_spec.executors.items():
        stub = _STUBS.get(executor.container.image) if executor.container is not None else None
        if stub and label in users and not pods:
            found.append(PlatformNote(tasks=users[label], setting="PersistentVolumeClaim", text=stub, needed=True))
    for name, value in pipeline.kubernetes.pipeline_config.items():
        if name != "workspace" and value:
            found.append(PlatformNote(tasks=(), setting=name, text=_KEPT, needed=False))
    return sorted(found, key=lambda one: not one.needed)


def check_settings(pipeline: Pipeline, how: str, *, pods: bool, ignored: bool) -> list[PlatformNote]:
    """Refuse settings for Kubernetes without which results may be others; those to tell of, which change nothing.

    ``how`` says how to run it without them, ``ignored`` that this is done; ``pods`` as in ``notes_of``.

    Raises:
        UsageError: there are such settings; the message names each with its tasks.
    """
    notes = notes_of(pipeline, pods=pods)
    needed = [one for one in notes if one.needed]
    if needed and not ignored:
        lines = "\n".join(f"  task {', '.join(one.tasks)}: {one.setting}: {one.text}" for one in needed)
        told = f"{pipeline.name} has settings that only a cluster can honour and its results may depend on"
        raise UsageError(f"{told}:\n{lines}\n{how}")
    return notes if ignored else [one for one in notes if not one.needed]


def secrets_of(pipeline: Pipeline) -> dict[str, tuple[str, ...]]:
    """The names of the environment variables that executors take from secrets, by label."""
    found = {}
    for label, settings in pipeline.kubernetes.deployment_spec.executors.items():
        names = [
            str(one["envVar"])
            for secret in settings.get("secretAsEnv") or ()
            for one in secret.get("keyToEnv") or ()
            if one.get("envVar")
        ]
        if names:
            found[label] = tuple(names)
    return found


def wanted_secrets(pipeline: Pipeline) -> dict[str, tuple[str, ...]]:
    """The environment variables that tasks take from secrets, by the path of the first task that does."""
    users = users_of_executors(pipeline)
    return {users[label][0]: names for label, names in secrets_of(pipeline).items() if label in users}


def users_of_executors(pipeline: Pipeline) -> dict[str, tuple[str, ...]]:
    """The paths of the tasks that use each executor, by its label."""
    found: dict[str, list[str]] = {}
    components = pipeline.spec.components
    todo: list[tuple[str, Any]] = [("", pipeline.spec.root.dag)]
    seen: set[int] = set()
    while todo:
        prefix, dag = todo.pop()
        if dag is None or id(dag) in seen:
            continue
        seen.add(id(dag))
        for key, task in dag.tasks.items():
            component = components.get(task.component_ref.name)
            if component is None:
                continue
            if component.dag is not None:
                todo.append((f"{prefix}{key}.", component.dag))
            else:
                found.setdefault(component.executor_label, []).append(prefix + key)
    return {label: tuple(paths) for label, paths in found.items()}


def _named(value: Any) -> str:
    """Names in a setting, such as that of the secret: ``(db)``."""
    names = []
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, dict):
            names += [
                str(text)
                for key, text in one.items()
                if isinstance(text, str) and (key.endswith("Name") or key in ("constant", "name"))
            ]
    return f" ({', '.join(dict.fromkeys(names))})" if names else ""
