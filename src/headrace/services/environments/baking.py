"""Environments as container images: a Dockerfile from a lock, built by what there is, and noted for later runs.

Pods of such an image need no index and build nothing: their steps run on the Python of the image, and the worker is
beside it. The digest of the environment stays what names it in records and keys.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

import msgspec

from headrace.model.environments import RUNTIME, EnvironmentLock
from headrace.model.errors import EnvironmentSetupError, UsageError
from headrace.services.environments.locking import BESIDE, NEEDED

#: Programs that build images, the one to be preferred first.
BUILDERS = ("buildah", "podman", "docker")
#: What workers need to read and write objects.
STORES = "obstore>=0.8"
LABEL = "io.headrace.environment"
_NOTES = "baked.json"
#: Digits of the digest of an environment that its image's tag has.
_DIGITS = 16


def base_of(lock: EnvironmentLock) -> str:
    """The image that an environment is built on: that of its exact version of Python."""
    return f"docker.io/library/python:{lock.python}-slim"


def tag_of(lock: EnvironmentLock, repository: str) -> str:
    """The name of the image of an environment in a repository."""
    return f"{repository}:env-{lock.digest.hex()[:_DIGITS]}"


def dockerfile_of(lock: EnvironmentLock, base: str, *, wheels: bool = False) -> str:
    """The recipe of the image; its context has ``requirements.txt``, and with ``wheels`` a folder of them."""
    lines = [f"# {lock.label}: Python {lock.python}. Made by `headrace image build`.", f"FROM {base}"]
    index = " --no-index --find-links /tmp/headrace/wheels" if wheels else ""
    needed = [*NEEDED, *BESIDE, STORES, *(["exceptiongroup>=1.2"] if lock.minor < (3, 11) else [])]
    commands = [f"--target {RUNTIME}{index} {' '.join(map(shlex.quote, needed))}"]
    if lock.requirements.strip():
        hashed = " --require-hashes" if "--hash=" in lock.requirements else ""
        commands.append(f"--no-deps{hashed}{index} -r /tmp/headrace/requirements.txt")
    lines.append("COPY . /tmp/headrace")
    lines += [f"RUN python -m pip install --no-cache-dir --only-binary :all: {one}" for one in commands[:1]]
    lines += [f"RUN python -m pip install --no-cache-dir {one}" for one in commands[1:]]
    lines += [f"ENV {key}={json.dumps(value)}" for key, value in lock.variables]
    return "\n".join([*lines, f"LABEL {LABEL}={lock.digest.hex()}", ""])


def find_builder(named: str = "") -> str:
    """The program that builds images.

    Raises:
        UsageError: none is here.
    """
    for one in (named,) if named else BUILDERS:
        if shutil.which(one):
            return one
    raise UsageError(
        f"images are built by {', '.join(BUILDERS[:-1])} or {BUILDERS[-1]}, and "
        + (f"{named} is not here" if named else "none of them is here")
        + "; install one, or write the Dockerfile alone: --dockerfile FOLDER"
    )


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """What an image is made of, and its ``name``; ``wheels`` is a folder of them in place of an index."""

    lock: EnvironmentLock
    name: str
    base: str = ""
    wheels: str = ""

    def write(self, folder: Path) -> None:
        """Write the context of the build.

        Raises:
            EnvironmentSetupError: it cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            text = dockerfile_of(self.lock, self.base or base_of(self.lock), wheels=bool(self.wheels))
            (folder / "Dockerfile").write_text(text)
            (folder / "requirements.txt").write_text(self.lock.requirements)
            if self.wheels:
                shutil.copytree(self.wheels, folder / "wheels", dirs_exist_ok=True)
        except OSError as error:
            raise EnvironmentSetupError(f"{folder} cannot be written: {error.strerror or error}") from None


def bake(recipe: Recipe, builder: str, *, push: bool = False) -> None:
    """Build the image, and push it to its registry.

    Raises:
        EnvironmentSetupError: it fails; what the program says has been shown.
    """
    with tempfile.TemporaryDirectory() as scratch:
        recipe.write(Path(scratch))
        _run([builder, "build", "--tag", recipe.name, scratch], recipe)
    if push:
        _run([builder, "push", recipe.name], recipe)


def _run(command: list[str], recipe: Recipe) -> None:
    code = subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode
    if code:
        raise EnvironmentSetupError(
            f"image {recipe.name} of environment {recipe.lock.label}: `{' '.join(command[:2])}` failed with exit code "
            f"{code}, see above"
        )


# --- which environments have images ---------------------------------------------------------------------------------


def note(cache: str, lock: EnvironmentLock, image: str) -> None:
    """Note that the image of an environment is there, for the runs of this home."""
    path = Path(cache, _NOTES)
    path.parent.mkdir(0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{_NOTES}.{os.getpid()}")
    draft.write_text(json.dumps(noted(cache) | {lock.digest.hex(): image}, indent=1))
    draft.replace(path)


def noted(cache: str) -> dict[str, str]:
    """The images of environments, by the digests of these."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(Path(cache, _NOTES).read_text())
        if isinstance(found, dict):
            return {str(key): str(value) for key, value in found.items()}
    return {}
