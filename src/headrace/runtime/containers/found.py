"""Which engines are here."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from headrace.model.errors import EnvironmentSetupError
from headrace.runtime.containers.clients import Docker, Podman, why_docker_fails
from headrace.runtime.containers.engine import Engine
from headrace.runtime.containers.pod import SOCKET, Pod

_KINDS: dict[str, type[Podman] | type[Docker] | type[Pod]] = {one.kind: one for one in (Podman, Docker, Pod)}


def find_engine() -> Engine:
    """The user's container of this pod, or podman if it is here, else docker if its daemon answers.

    Raises:
        EnvironmentSetupError: there is none; the message says what to install.
    """
    socket = os.environ.get(SOCKET)
    if socket:
        return Pod(socket)
    path = shutil.which("podman")
    if path is not None:
        return Podman(path)
    why = ""
    path = shutil.which("docker")
    if path is not None:
        why = why_docker_fails(path)
        if not why:
            return Docker(path)
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
    if path is not None and kind == Docker.kind and (failed := why_docker_fails(path)):
        why = f"does not work: {failed}"
    if path is None or why:
        raise EnvironmentSetupError(f"{kind} {why}; install it (apt install {kind}), or run without containers")
    return _KINDS[kind](path)


def engine_at(kind: str, path: str) -> Engine:
    """The engine that a driver has found, if it is at the same place on this machine; else what is here.

    Raises:
        EnvironmentSetupError: there is none.
    """
    return _KINDS[kind](path) if Path(path).exists() and not os.environ.get(SOCKET) else find_engine()
