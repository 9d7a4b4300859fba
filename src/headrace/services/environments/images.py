"""Container images that steps run in, as locks: which image a name is, and which Python is in it."""

from __future__ import annotations

from collections.abc import Iterable

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
_PYTHONS = ("python3", "python")
_ASK = (
    "import sys, sysconfig; print(sys.version.split()[0], sys.implementation.name, sysconfig.get_platform(), "
    "sysconfig.get_config_var('SOABI') or '-')"
)


class Images:
    """The images of one session's steps. Which image a name is stays the same for the session."""

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._locks: dict[tuple[str, bool], EnvironmentLock] = {}

    @property
    def engine(self) -> Engine:
        """What runs containers here.

        Raises:
            EnvironmentSetupError: there is nothing.
        """
        if self._engine is None:
            self._engine = find_engine()
        return self._engine

    def lock(self, image: str, step: str, recorded: Iterable[EnvironmentLock], *, command: bool) -> EnvironmentLock:
        """The image as one of ``recorded`` says, if that is on this machine, else what the name stands for now.

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
            known = one.image and one.request == request and self.engine.known_image(one.image)
            if known and bool(one.python) is not command:
                return one
        digest = self.engine.image_id(image)
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
        if self.engine.kind != "podman":
            raise EnvironmentSetupError(
                f"image {image!r}: Python steps run in images by podman, and only docker is on this machine; install "
                "podman, or make the step a command(...)"
            )
        said = ""
        for program in _PYTHONS:
            done = run_once(self.engine, lock.image, [program, "-c", _ASK])
            words = done.stdout.split()
            if done.returncode == 0 and len(words) == 4:
                break
            said = said or last_line(done.stderr)
            if done.returncode not in (1, 127):
                raise EnvironmentSetupError(f"image {image!r}: {self.engine.kind} cannot run a container of it: {said}")
        else:
            raise EnvironmentSetupError(
                f"image {image!r} has no Python that runs ({said}); a Python step needs one in its image, a "
                "command(...) does not"
            )
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
            (self.engine.kind, self.engine.path),
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
