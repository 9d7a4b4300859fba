"""A component that is a command: its words and variables filled in, run in a container or on this machine."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headrace._base.process import process_owner
from headrace.frontends.kfp import placeholders
from headrace.frontends.kfp.contract import ComponentCall
from headrace.frontends.kfp.executors import objects
from headrace.frontends.kfp.executors.errors import ComponentFailedError
from headrace.frontends.kfp.executors.folders import WORK
from headrace.frontends.kfp.executors.places import Places
from headrace.frontends.kfp.ir import Container, ContainerResources
from headrace.frontends.kfp.pods import variables_of
from headrace.frontends.kfp.resources import quantity
from headrace.model.errors import CommandError, EnvironmentSetupError, TaskOutOfMemoryError
from headrace.runtime.commands import process
from headrace.runtime.containers.engine import NOT_RUN, Engine, Limits, Mount, Order, remove, why_not_run
from headrace.runtime.containers.found import find_engine, named_engine
from headrace.runtime.containers.keeper import kept

#: Bytes of one argument that Linux takes.
_LONGEST = 128 << 10
#: Exit code of a process that was killed: 128 + SIGKILL.
_KILLED = 137


def run_command(call: ComponentCall, container: Container, places: Places) -> None:
    """Run the command of a component to its end.

    Raises:
        ComponentFailedError: it cannot be run, or ended with another exit code than 0.
        TaskOutOfMemoryError: it was killed in its container and has a memory limit.
    """
    words = Words(call, places)
    command, args = words.fill(container.command), words.fill(container.args)
    around = {name: os.environ[name] for name in variables_of(call.step.platform) if name in os.environ}
    env = around | {one.name: words.text(one.value) for one in container.env}
    work = Path(call.folder, WORK)
    task = call.step.path
    long = [one for one in (*command, *args) if len(one) >= _LONGEST // 4 and len(one.encode()) >= _LONGEST]
    if long:
        raise ComponentFailedError(
            f"{task}: an argument of the command has {len(long[0].encode()):,} bytes, and Linux takes at most "
            f"{_LONGEST:,} in one; hand the value over as an artifact, whose path is the argument"
        )
    try:
        if call.step.containers == "host":
            ended = _run_here(call, [*command, *args], env, work)
        else:
            image = words.text(container.image)
            limits = _limits(container.resources, words)
            ended = _run_in_container(call, image, (command, args), env, words.mounts(), limits)
    except (CommandError, EnvironmentSetupError, ValueError) as error:
        raise ComponentFailedError(f"{task}: {error}") from error
    call.raw.cpu_seconds, call.raw.peak_memory = ended.cpu_seconds, ended.peak_memory
    if ended.code:
        how = f"exit code {ended.code}" if ended.code > 0 else f"signal {-ended.code}"
        said = f": {ended.said}" if ended.said else ""
        raise ComponentFailedError(f"{task}: the command ended with {how}{said}")


def _run_here(call: ComponentCall, words: list[str], env: Mapping[str, str], work: Path) -> process.Ended:
    if not words:
        raise ComponentFailedError(
            f"{call.step.path}: the component has no command, its image would say it; it cannot run with "
            "--containers host"
        )
    around = dict(os.environ)
    if sys.prefix != sys.base_prefix:  # "python3" is this one
        around["PATH"] = f"{sys.prefix}/bin{os.pathsep}{around.get('PATH', os.defpath)}"
    around |= {**env, "PWD": str(work)}
    return process.run(process.Launch(call.step.path, words, around, work), lambda: None)


def _run_in_container(
    call: ComponentCall,
    image: str,
    words: tuple[list[str], list[str]],
    env: Mapping[str, str],
    inputs: Sequence[Mount],
    limits: Limits,
) -> process.Ended:
    engine = engine_of(call.step.containers, call.step.path)
    digest = engine.image_id(image)
    name = f"headrace-{os.getpid()}-{os.urandom(4).hex()}"
    command, args = words
    order = Order(
        digest,
        name=name,
        owner=process_owner(),
        mounts=[Mount(call.folder, call.folder, True), *inputs],
        variables=list(env),
        limits=limits,
        entrypoint=not command,  # the image says what is run
    )
    arguments = [*engine.arguments(order), *command, *args]
    work = Path(call.folder, WORK)
    ended = None
    with kept(engine, name):
        try:
            launch = process.Launch(call.step.path, arguments, {**os.environ, **env}, work, container=True)
            ended = process.run(launch, lambda: None)
        finally:
            if ended is None or ended.code < 0:  # the engine's client has died, the container has not
                remove(engine, name)
    if ended.code in NOT_RUN and command:
        raise ComponentFailedError(
            f"{call.step.path}: exit code {ended.code} of image {image}: "
            + why_not_run(engine.kind, ended.code, command[0], ended.said)
        )
    if ended.code == _KILLED and limits.memory:
        raise TaskOutOfMemoryError(
            f"{call.step.path}: the command was killed in its container, whose memory is limited to {limits.memory:,} "
            "bytes; give the task more with set_memory_limit"
        )
    return ended


def _limits(told: ContainerResources, words: Words) -> Limits:
    """The limits that a container declares; the devices are those that the attempt was given."""
    cpu = quantity(words.text(told.resource_cpu_limit)) if told.resource_cpu_limit else told.cpu_limit
    memory = quantity(words.text(told.resource_memory_limit)) if told.resource_memory_limit else 0
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "") if told.accelerator is not None else ""
    return Limits(min(cpu, os.cpu_count() or 1), int(memory), tuple(filter(None, gpus.split(","))))


def engine_of(containers_mode: str, task: str) -> Engine:
    """The program that runs containers: the one that was asked for, else podman or docker.

    Raises:
        ComponentFailedError: there is none.
    """
    try:
        if containers_mode in ("podman", "docker"):
            return named_engine(containers_mode)
        return find_engine()
    except EnvironmentSetupError as error:
        raise ComponentFailedError(
            f"{task}: its component runs in a container: {error}, or with --containers host if its command is on this "
            "machine"
        ) from error


class Words:
    """Placeholders of one attempt, and the words of commands that are made of them."""

    def __init__(self, call: ComponentCall, places: Places) -> None:
        self._call = call
        self._places = places
        self._inputs: dict[str, None] = {}
        self._told: str | None = None

    def mounts(self) -> list[Mount]:
        """The files and folders of input artifacts that a command may read, and the workspace that it may write.

        What has a URI elsewhere is there too where code of components looks for it: ``/gcs/bucket/key`` and the like.
        """
        found: dict[str, Mount] = {}
        inside = os.path.join(os.path.realpath(self._call.folder), "")  # noqa: PTH118
        for name, artifacts in self._call.artifacts.items():
            for number, one in enumerate(artifacts):
                path = os.path.realpath(self._places.input_path(name, number))
                path = os.path.dirname(path) if one.stem else path  # noqa: PTH120
                if not os.path.isabs(path) or not os.path.exists(path):  # noqa: PTH110, PTH117
                    continue
                targets = [] if path.startswith(inside) else [path]
                targets += [objects.mount_path(one.uri)] if objects.is_remote(one.uri) and not one.stem else []
                found |= {target: Mount(path, target) for target in targets}
        if self._places.remote:
            found["outputs"] = Mount(self._places.folder, objects.mount_path(self._places.remote), True)
        workspace = self._call.step.job.workspace
        if workspace:
            found["workspace"] = Mount(workspace, workspace, True)
        return list(found.values())

    def fill(self, words: Sequence[str]) -> list[str]:
        """The words of a command, with placeholders and the structures ``Concat`` and ``IfPresent`` replaced."""
        found: list[str] = []
        for word in words:
            structure = _structure(word)
            if structure is None:
                found.append(self.text(word))
            else:
                found += self._expand(structure)
        return found

    def text(self, text: str) -> str:
        """A text with its placeholders replaced, once."""
        return placeholders.replace(text, self.lookup)

    def _expand(self, part: Any) -> list[str]:
        if isinstance(part, dict) and "Concat" in part:
            return ["".join(one for item in part["Concat"] for one in self._expand(item))]
        if isinstance(part, dict) and "IfPresent" in part:
            told = part["IfPresent"]
            chosen = told.get("Then" if self._is_present(told["InputName"]) else "Else")
            if chosen is None:
                return []
            return [word for item in (chosen if isinstance(chosen, list) else [chosen]) for word in self._expand(item)]
        if isinstance(part, str):
            structure = _structure(part)
            return [self.text(part)] if structure is None else self._expand(structure)
        return [placeholders.as_text(part)]

    def _is_present(self, name: str) -> bool:
        return self._call.parameters.get(name) is not None or bool(self._call.artifacts.get(name))

    def lookup(self, path: placeholders.Path) -> str:
        """What a placeholder stands for, by its parts.

        Raises:
            ComponentFailedError: this task has no such thing.
        """
        if not path:
            if self._told is None:
                self._told = json.dumps(self._places.executor_input())
            return self._told
        try:
            return self._value(path)
        except (KeyError, IndexError):
            shown = ".".join(path)
            raise ComponentFailedError(
                f"{self._call.step.path}: placeholder {{{{$.{shown}}}}} of its command is not an input or output that "
                "this task has"
            ) from None

    def _value(self, path: placeholders.Path) -> str:
        match path:
            case ("inputs", "parameters", name):
                return placeholders.as_text(self._call.parameters[name])
            case ("inputs", "artifacts", name):
                told = self._places.executor_input()["inputs"]["artifacts"][name]["artifacts"]
                return json.dumps(told)
            case ("inputs", "artifacts", name, "path"):
                return self._places.input_path(name)
            case ("inputs", "artifacts", name, "uri"):
                return self._places.input_uri(name)
            case ("inputs", "artifacts", name, "metadata", *keys):
                return _inside(self._call.artifacts[name][0].metadata, keys)
            case ("outputs", "parameters", name, "output_file"):
                self._call.step.component.output_definitions.parameters[name]
                return self._places.output_path(name)
            case ("outputs", "artifacts", name, "path"):
                self._call.step.component.output_definitions.artifacts[name]
                return self._places.output_path(name)
            case ("outputs", "artifacts", name, "uri"):
                self._call.step.component.output_definitions.artifacts[name]
                return self._places.output_uri(name)
            case ("outputs", "artifacts", name, "metadata", *keys):
                return _inside(self._call.step.component.output_definitions.artifacts[name].metadata, keys)
            case ("outputs", "output_file") | ("outputMetadataUri",):
                return self._places.output_file
            case (fact,):
                return facts_of(self._call)[fact]
        raise KeyError(path)


def facts_of(call: ComponentCall) -> dict[str, str]:
    """What placeholders say of the run and the task, by their names."""
    job = call.step.job
    return {
        "pipeline_job_name": job.name,
        "pipeline_job_resource_name": job.resource_name,
        "pipeline_job_uuid": job.uuid,
        "pipeline_task_name": call.step.task,
        "pipeline_task_uuid": call.task_uuid,
        "pipeline_root": job.root,
        "workspace_path": job.workspace,
        "pipeline_job_create_time_utc": job.create_time,
        "pipeline_job_schedule_time_utc": job.schedule_time,
    }


def _structure(word: str) -> Any:
    """The structure that a word is the JSON of; None for plain words."""
    text = word.lstrip()
    if not text.startswith(('{"Concat":', '{"IfPresent":', '{"Concat" :', '{"IfPresent" :')):
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def _inside(metadata: dict[str, Any], keys: Sequence[str]) -> str:
    value: Any = metadata
    for key in keys:
        value = value[key]
    return placeholders.as_text(value)
