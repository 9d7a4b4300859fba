"""Container images that steps run in, as locks: which image a name is, and which Python is in it.

Where a name is looked up depends on the place: by podman or docker of this machine, or by the nodes of a cluster.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import msgspec
from blake3 import blake3

from headrace.model.commands import CommandSpec, Container
from headrace.model.environments import EnvironmentLock
from headrace.model.errors import EnvironmentSetupError
from headrace.model.messages import Define
from headrace.model.policy import StepPolicy
from headrace.runtime.containers.engine import Engine, last_line, run_once
from headrace.runtime.containers.found import find_engine

#: Programs of an image that may be its Python, and what they are asked.
PYTHONS = ("python3", "python")
ASKED = (
    "import sys, sysconfig; print(sys.version.split()[0], sys.implementation.name, sysconfig.get_platform(), "
    "sysconfig.get_config_var('SOABI') or '-')"
)


class ImageSource(Protocol):
    """Where the images of a place come from."""

    @property
    def engine(self) -> tuple[str, str]:
        """What will run commands there, as ``Container.engine`` says it."""

    def has(self, digest: str) -> bool:
        """Whether the image is there, or may be."""

    def digest(self, image: str) -> str:
        """Which image a name is now; it is fetched if that is needed.

        Raises:
            EnvironmentSetupError: it cannot be had.
        """

    def answer(self, image: str, digest: str) -> tuple[str, str]:
        """The Python program of an image, and what it answers to ``ASKED``.

        Raises:
            EnvironmentSetupError: it has none, or cannot be run.
        """


class EngineImages:
    """Images of this machine, of podman or docker."""

    def __init__(self) -> None:
        self._engine: Engine | None = None

    @property
    def _found(self) -> Engine:
        if self._engine is None:
            self._engine = find_engine()
        return self._engine

    @property
    def engine(self) -> tuple[str, str]:
        """See ``ImageSource``. Raises EnvironmentSetupError: there is no engine."""
        return self._found.kind, self._found.path

    def has(self, digest: str) -> bool:
        """See ``ImageSource``."""
        return bool(self._found.known_image(digest))

    def digest(self, image: str) -> str:
        """See ``ImageSource``."""
        return self._found.image_id(image)

    def answer(self, image: str, digest: str) -> tuple[str, str]:
        """See ``ImageSource``."""
        kind = self._found.kind
        if kind == "docker":
            raise EnvironmentSetupError(
                f"image {image!r}: Python steps run in images by podman, and only docker is on this machine; install "
                "podman, or make the step a command(...)"
            )
        said = ""
        for program in PYTHONS:
            done = run_once(self._found, digest, [program, "-c", ASKED])
            if done.returncode == 0 and len(done.stdout.split()) == 4:
                return program, done.stdout
            said = said or last_line(done.stderr)
            if done.returncode not in (1, 127):
                raise EnvironmentSetupError(f"image {image!r}: {kind} cannot run a container of it: {said}")
        raise has_no_python(image, said)


def has_no_python(image: str, said: str) -> EnvironmentSetupError:
    """The error of a Python step whose image has no Python."""
    return EnvironmentSetupError(
        f"image {image!r} has no Python that runs ({said}); a Python step needs one in its image, a command(...) does "
        "not"
    )


class Images:
    """The images of one session's steps in one place. Which image a name is stays the same for the session."""

    def __init__(self, source: ImageSource | None = None) -> None:
        self._source = source or EngineImages()
        self._locks: dict[tuple[str, bool], EnvironmentLock] = {}

    def lock(self, image: str, step: str, recorded: Iterable[EnvironmentLock], *, command: bool) -> EnvironmentLock:
        """The image as one of ``recorded`` says, if that can be had, else what the name stands for now.

        Of a step that is not a ``command`` the lock says which Python is in it.

        Raises:
            EnvironmentSetupError: there is no such image, it has no Python, or no engine; the message names the step.
        """
        found = self._locks.get((image, command))
        if found is None:
            try:
                found = self._find(image, recorded, command)
            except EnvironmentSetupError as error:
                raise EnvironmentSetupError(f"step {step!r}: {error}") from None
            self._locks[(image, command)] = found
        return found

    def _find(self, image: str, recorded: Iterable[EnvironmentLock], command: bool) -> EnvironmentLock:
        request = blake3(b"image\0" + image.encode()).digest()
        for one in recorded:
            known = one.image and one.request == request and self._source.has(one.image)
            if known and bool(one.python) is not command:
                return one
        digest = self._source.digest(image)
        lock = EnvironmentLock(
            digest=blake3(b"image\0" + digest.encode()).digest(),
            request=request,
            label=f"image {image}",
            python="",
            platform="",
            requirements="",
            packages=(("image", f"{image} {digest}"),),
            image=digest,
        )
        return lock if command else self._with_python(lock, image)

    def _with_python(self, lock: EnvironmentLock, image: str) -> EnvironmentLock:
        program, answer = self._source.answer(image, lock.image)
        words = answer.split()
        if len(words) != 4:
            raise has_no_python(image, last_line(answer))
        version, implementation, platform, abi = words
        if implementation != "cpython" or tuple(map(int, version.split(".")[:2])) < (3, 10):
            raise EnvironmentSetupError(
                f"image {image!r} has {implementation} {version}; steps run on CPython 3.10 or newer"
            )
        platform = f"{platform}-musl" if "musl" in abi else platform
        return msgspec.structs.replace(
            lock, python=version, platform=platform, program=program, packages=(*lock.packages, ("python", version))
        )

    def container(self, policy: StepPolicy, lock: EnvironmentLock) -> Container:
        """The container of a command with this policy, whose image is ``lock``."""
        resources = policy.resources
        names = [name for name, _ in policy.env] + list(policy.secrets)
        return Container(
            self._source.engine,
            lock.image,
            policy.image,
            resources.cpu,
            resources.memory if resources.enforced else 0,
            tuple(names + (["CUDA_VISIBLE_DEVICES"] if resources.gpu else [])),
        )

    def contained(self, define: Define, policy: StepPolicy) -> Define:
        """``define``, of a command, with the container that ``policy`` asks for."""
        spec = msgspec.msgpack.decode(define.command, type=CommandSpec)
        lock = policy.lock
        made = self.container(policy, lock) if lock is not None and lock.image else None
        spec = msgspec.structs.replace(spec, container=made)
        return msgspec.structs.replace(define, command=msgspec.msgpack.encode(spec))
