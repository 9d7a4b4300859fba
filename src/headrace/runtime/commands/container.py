"""A command in a container: the working folder is mounted where it is, inputs read-only, and limits are the step's."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from headrace._base.process import process_owner
from headrace.model.commands import CommandSpec, Container
from headrace.model.errors import CommandError, EnvironmentSetupError, TaskOutOfMemoryError
from headrace.runtime.commands import process
from headrace.runtime.commands.folders import OWNER
from headrace.runtime.containers.engine import NOT_RUN, NOT_STARTED, Engine, Limits, Mount, Order, remove, why_not_run
from headrace.runtime.containers.found import engine_at
from headrace.runtime.containers.keeper import kept

_KILLED = 137  # 128 + SIGKILL


class Inside(NamedTuple):
    """What runs in the container: its arguments, variables, working folder, and the files that it may only read."""

    arguments: Sequence[str]
    env: Mapping[str, str]
    folder: Path
    inputs: tuple[Path, ...]


def run(
    spec: CommandSpec, inside: Inside, files: tuple[Path | None, Path | None], look: Callable[[], None]
) -> process.Ended:
    """Run a command in its container to its end; ``files`` are its standard input and output.

    Raises:
        CommandError: the container cannot be started, or has not the program.
        EnvironmentSetupError: this machine has no engine, or not the image.
        TaskOutOfMemoryError: it was killed and had a memory limit.
    """
    where = spec.container
    assert where is not None
    engine = engine_at(*where.engine)
    ended = _run(spec, where, engine, inside, files, look)
    if ended.code == NOT_STARTED and not engine.known_image(where.image):
        _fetch(where, engine)
        ended = _run(spec, where, engine, inside, files, look)
    if ended.code == _KILLED and where.memory:
        raise TaskOutOfMemoryError(
            f"command {spec.name!r} was killed in its container, whose memory is limited to {where.memory:,} bytes; "
            "give the step more with memory="
        )
    if ended.code in NOT_RUN and ended.code not in dict(spec.exit_codes):
        raise CommandError(
            f"command {spec.name!r} ended with exit code {ended.code} of image {where.label}: "
            + why_not_run(engine.kind, ended.code, inside.arguments[0], ended.said),
            ended.code,
        )
    return ended


def _run(
    spec: CommandSpec,
    where: Container,
    engine: Engine,
    inside: Inside,
    files: tuple[Path | None, Path | None],
    look: Callable[[], None],
) -> process.Ended:
    name = f"headrace-{os.getpid()}-{os.urandom(4).hex()}"
    arguments = _arguments(where, engine, name, inside, stdin=files[0] is not None)
    env = {**os.environ, **inside.env}
    ended = None
    with kept(engine, name):
        try:
            ended = process.run(process.Launch(spec.name, arguments, env, inside.folder, *files, container=True), look)
        finally:
            if ended is None or ended.code < 0:  # the engine's client has died, the container has not
                remove(engine, name)
    return ended


def _fetch(where: Container, engine: Engine) -> None:
    """Have the image of a run on another machine than the one where its digest was found.

    Raises:
        EnvironmentSetupError: it cannot be fetched, or its name means another image here.
    """
    found = engine.image_id(where.label)
    if found != where.image:
        raise EnvironmentSetupError(
            f"image {where.label!r} is {found[:19]} on this machine, and {where.image[:19]} where the run was started; "
            f"fetch the same one: {engine.kind} pull {where.label}"
        )


def _arguments(where: Container, engine: Engine, name: str, inside: Inside, *, stdin: bool) -> list[str]:
    folder = str(inside.folder)
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "") if "CUDA_VISIBLE_DEVICES" in where.variables else ""
    mounts = [Mount(folder, folder, True), Mount(f"{folder}/{OWNER}", f"{folder}/{OWNER}")]
    mounts += [Mount(source, source) for source in dict.fromkeys(map(str, inside.inputs))]
    order = Order(
        where.image,
        name=name,
        owner=process_owner(),
        folder=folder,
        mounts=mounts,
        variables=[*where.variables, *inside.env],
        limits=Limits(where.cpu, where.memory, tuple(filter(None, gpus.split(",")))),
        stdin=stdin,
    )
    return [*engine.arguments(order), *inside.arguments]
