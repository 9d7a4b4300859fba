"""Containers by podman or docker: which of them is here, the images it has, and the command lines that run them."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

from headrace.model.errors import EnvironmentSetupError

#: Seconds that an engine may take to answer, and to fetch an image.
_ANSWER, _PULL = 60.0, 3600.0
#: The label of containers that Headrace starts: the process that they belong to.
OWNER_LABEL = "headrace.owner"


class Engine(NamedTuple):
    """A program that runs containers: ``podman`` or ``docker``, and its path."""

    kind: str
    path: str


class Mount(NamedTuple):
    """A file or folder of this machine that a container sees at ``target``."""

    source: str
    target: str
    writable: bool = False


class Limits(NamedTuple):
    """What a container may use: ``cpu`` cores and ``memory`` bytes (0: not limited), devices by their numbers."""

    cpu: float = 0
    memory: int = 0
    gpus: tuple[str, ...] = ()


def find_engine() -> Engine:
    """podman if it is here, else docker if its daemon answers.

    Raises:
        EnvironmentSetupError: there is none; the message says what to install.
    """
    path = shutil.which("podman")
    if path is not None:
        return Engine("podman", path)
    why = ""
    path = shutil.which("docker")
    if path is not None:
        why = _why_docker_fails(path)
        if not why:
            return Engine("docker", path)
        why = f" (docker is, but does not work: {why})"
    raise EnvironmentSetupError(
        f"image= needs podman or docker, and neither is on this machine{why}; install podman (apt install podman), or "
        "run the step without an image"
    )


def named_engine(kind: str) -> Engine:
    """The engine of that kind, ``podman`` or ``docker``.

    Raises:
        EnvironmentSetupError: it is not here, or its daemon does not answer.
    """
    path = shutil.which(kind)
    why = "is not on this machine" if path is None else ""
    if path is not None and kind == "docker" and (failed := _why_docker_fails(path)):
        why = f"does not work: {failed}"
    if path is None or why:
        raise EnvironmentSetupError(f"{kind} {why}; install it (apt install {kind}), or run without containers")
    return Engine(kind, path)


@functools.cache
def _why_docker_fails(path: str) -> str:
    """Why docker cannot be used; empty if it can."""
    done = _ask([path, "version", "--format", "{{.Server.Version}}"])
    return "" if done.returncode == 0 else last_line(done.stderr)


def image_id(engine: Engine, image: str) -> str:
    """The digest of an image's configuration (``sha256:...``), which is fetched if it is not here.

    Raises:
        EnvironmentSetupError: it is neither here nor can it be fetched.
    """
    found = known_image(engine, image)
    if found:
        return found
    done = _ask([engine.path, "pull", "--quiet", image], _PULL)
    found = known_image(engine, image) if done.returncode == 0 else ""
    if not found:
        raise EnvironmentSetupError(
            f"image {image!r} is not on this machine, and {engine.kind} cannot fetch it: {last_line(done.stderr)}; "
            f"check its name, or make it with {engine.kind} build"
        )
    return found


def known_image(engine: Engine, image: str) -> str:
    """The digest of an image that is on this machine; empty if it is not."""
    done = _ask([engine.path, "image", "inspect", "--format", "{{.Id}}", image])
    found = done.stdout.strip() if done.returncode == 0 else ""
    return found if not found or found.startswith("sha256:") else f"sha256:{found}"


def run_once(engine: Engine, image: str, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a program of an image to its end, with nothing of this machine in its container."""
    return _ask([*run_arguments(engine, image, network="none"), *arguments])


def run_arguments(
    engine: Engine,
    image: str,
    *,
    options: Sequence[str] = (),
    mounts: Sequence[Mount] = (),
    variables: Sequence[str] = (),
    limits: Limits = Limits(),  # noqa: B008 - a constant
    network: str = "host",
) -> list[str]:
    """The command line that runs a container and removes it afterwards, without the arguments of its program.

    Args:
        engine: what runs it.
        image: its name or digest; it is never fetched.
        options: further ones.
        mounts: what it sees of this machine.
        variables: names of environment variables; their values are those that the command line itself has.
        limits: what it may use.
        network: ``host`` or ``none``.
    """
    arguments = [engine.path, "run", "--rm", "--pull=never", f"--network={network}", "--log-driver=none"]
    if engine.kind == "podman":
        arguments += ["--user=0:0", "--security-opt=label=disable"]  # in a rootless container this user is root
        arguments += [f"--device=nvidia.com/gpu={one}" for one in limits.gpus]
    else:
        arguments += [f"--user={os.getuid()}:{os.getgid()}"]
        if limits.gpus:
            arguments += [f'--gpus="device={",".join(limits.gpus)}"']
    if limits.memory:
        arguments += [f"--memory={limits.memory}"]
    if limits.cpu:
        arguments += [f"--cpus={limits.cpu:g}"]
    for one in mounts:
        fields = ["type=bind", f"source={one.source}", f"target={one.target}", *([] if one.writable else ["readonly"])]
        arguments += ["--mount", ",".join(map(_field, fields))]
    for name in variables:
        arguments += ["--env", name]
    return [*arguments, *options, "--entrypoint=", image]


def ask(engine: Engine, arguments: Sequence[str]) -> str:
    """What the engine prints when it is given ``arguments``.

    Raises:
        EnvironmentSetupError: it refuses; the message has what it says.
    """
    done = _ask([engine.path, *arguments], _PULL)
    if done.returncode:
        raise EnvironmentSetupError(f"{engine.kind} {arguments[0]}: {last_line(done.stderr)}")
    return done.stdout.strip()


def remove_arguments(engine: Engine, names: Sequence[str]) -> list[str]:
    """The command line that ends containers and removes them."""
    now = ["--time=0"] if engine.kind == "podman" else []
    return [engine.path, "rm", "--force", *now, *names]


def remove(engine: Engine, name: str) -> None:
    """End a container and remove it; nothing happens if there is none."""
    _ask(remove_arguments(engine, [name]))


def _field(text: str) -> str:
    """A field of ``--mount``, which is read as CSV."""
    return '"' + text.replace('"', '""') + '"' if any(char in text for char in ',"\n') else text


def _ask(arguments: Sequence[str], seconds: float = _ANSWER) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            list(arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(list(arguments), 124, "", f"no answer within {seconds:g} s")
    except OSError as error:
        return subprocess.CompletedProcess(list(arguments), 126, "", str(error))


def last_line(text: str) -> str:
    """The last line of what an engine says of a failure."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("Error: ") if lines else "it says nothing"
