"""podman and docker: engines that are programs of this machine."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from headrace.model.errors import EnvironmentSetupError
from headrace.runtime.containers.engine import OWNER_LABEL, PULL, Engine, Limits, Order, call, last_line


@dataclass(frozen=True)
class _Client:
    """What podman and docker have in common; ``path`` is that of the program."""

    path: str
    kind: ClassVar[str]
    mounts: ClassVar[bool] = True

    def known_image(self, image: str) -> str:
        """See ``Engine``."""
        done = call([self.path, "image", "inspect", "--format", "{{.Id}}", image])
        found = done.stdout.strip() if done.returncode == 0 else ""
        return found if not found or found.startswith("sha256:") else f"sha256:{found}"

    def image_id(self, image: str) -> str:
        """See ``Engine``."""
        found = self.known_image(image)
        if found:
            return found
        done = call([self.path, "pull", "--quiet", image], PULL)
        found = self.known_image(image) if done.returncode == 0 else ""
        if not found:
            raise EnvironmentSetupError(
                f"image {image!r} is not on this machine, and {self.kind} cannot fetch it: {last_line(done.stderr)}; "
                f"check its name, or make it with {self.kind} build"
            )
        return found

    def arguments(self, order: Order) -> list[str]:
        """See ``Engine``."""
        told = [self.path, "run", "--rm", "--pull=never", f"--network={order.network}", "--log-driver=none"]
        told += self._user() + self._devices(order.limits)
        if order.limits.memory:
            told.append(f"--memory={order.limits.memory}")
        if order.limits.cpu:
            told.append(f"--cpus={order.limits.cpu:g}")
        for one in order.mounts:
            fields = ["type=bind", f"source={one.source}", f"target={one.target}"]
            told += ["--mount", ",".join(map(_field, [*fields, *([] if one.writable else ["readonly"])]))]
        for name in order.variables:
            told += ["--env", name]
        told += [f"--name={order.name}"] if order.name else []
        told += [f"--label={OWNER_LABEL}={order.owner}"] if order.owner else []
        told += [f"--workdir={order.folder}"] if order.folder else []
        told += ["--interactive"] if order.stdin else []
        told += [f"--preserve-fds={order.files}"] if order.files else []
        told += ["--pid=host"] if order.see_processes else []
        return [*told, *([] if order.entrypoint else ["--entrypoint="]), order.image]

    def _user(self) -> list[str]:
        raise NotImplementedError

    def _devices(self, limits: Limits) -> list[str]:
        raise NotImplementedError

    def removal(self, names: Sequence[str]) -> list[str]:
        """See ``Engine``."""
        return [self.path, "rm", "--force", *names]

    def ask(self, arguments: Sequence[str]) -> str:
        """See ``Engine``."""
        done = call([self.path, *arguments], PULL)
        if done.returncode:
            raise EnvironmentSetupError(f"{self.kind} {arguments[0]}: {last_line(done.stderr)}")
        return done.stdout.strip()


@dataclass(frozen=True)
class Podman(_Client):
    """podman; without root is fine."""

    kind: ClassVar[str] = "podman"

    def _user(self) -> list[str]:
        return ["--user=0:0", "--security-opt=label=disable"]  # in a rootless container this user is root

    def _devices(self, limits: Limits) -> list[str]:
        return [f"--device=nvidia.com/gpu={one}" for one in limits.gpus]

    def removal(self, names: Sequence[str]) -> list[str]:
        """See ``Engine``."""
        return [self.path, "rm", "--force", "--time=0", *names]


@dataclass(frozen=True)
class Docker(_Client):
    """docker, whose daemon does the work."""

    kind: ClassVar[str] = "docker"

    def _user(self) -> list[str]:
        return [f"--user={os.getuid()}:{os.getgid()}"]

    def _devices(self, limits: Limits) -> list[str]:
        return [f'--gpus="device={",".join(limits.gpus)}"'] if limits.gpus else []


@functools.cache
def why_docker_fails(path: str) -> str:
    """Why docker cannot be used; empty if it can."""
    done = call([path, "version", "--format", "{{.Server.Version}}"])
    return "" if done.returncode == 0 else last_line(done.stderr)


def _field(text: str) -> str:
    """A field of ``--mount``, which is read as CSV."""
    return '"' + text.replace('"', '""') + '"' if any(char in text for char in ',"\n') else text


_: tuple[type[Engine], ...] = (Podman, Docker)
