"""What a step runs in: the environment that somebody asks for, and the lock that it is resolved to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from headrace.model.errors import DefinitionError

#: The oldest Python that steps run on.
OLDEST_PYTHON = (3, 10)
#: Where the image of an environment has what workers need.
RUNTIME = "/opt/headrace/runtime"
#: Digits of a digest that tell environments apart.
SHORTEST_DIGEST = 12
_PYTHON = re.compile(r"\d+\.\d+(\.\d+)?")


#: Environments that this process has described: a run that is handed to a driver elsewhere takes their files and locks
#: along.
DESCRIBED: dict[Environment, None] = {}


class Environment(msgspec.Struct, frozen=True, cache_hash=True, omit_defaults=True):
    """The interpreter and packages that a step runs in: ``@step(environment=Environment(...))``.

    ``packages`` are requirements as pip takes them (``"pandas>=2,<3"``). Instead, ``file`` names a file that has them:
    a ``requirements.txt``, ``pylock.toml``, ``uv.lock`` or ``pyproject.toml``, or a Python file with a header as PEP
    723 describes it; a relative path starts at the folder of the flow's file. ``group`` is a dependency group of a
    project.
    ``python`` is a version (``"3.10"``, ``"3.12.4"``) or the path of an interpreter; empty: the version of the process
    that drives the run. ``variables`` are set while steps run in it. ``name`` is for messages.

    Raises:
        DefinitionError: a value is of the wrong type, or two of them exclude each other.
    """

    packages: Sequence[str] = ()
    python: str = ""
    file: str = ""
    group: str = ""
    variables: Mapping[str, str] | tuple[tuple[str, str], ...] = ()
    name: str = ""

    def __post_init__(self) -> None:
        force = msgspec.structs.force_setattr
        if isinstance(self.packages, str):
            raise DefinitionError(f"Environment: packages is a list of requirements, such as [{self.packages!r}]")
        force(self, "packages", tuple(self.packages))
        for one in self.packages:
            if not isinstance(one, str) or not one.strip() or "\n" in one or one.lstrip().startswith(("-", "#")):
                raise DefinitionError(f"Environment: {one!r} is no requirement; write it as 'pandas>=2'")
        force(self, "file", str(self.file))
        for name in ("python", "group", "name"):
            if not isinstance(getattr(self, name), str):
                raise DefinitionError(f"Environment: {name} is a text, not {getattr(self, name)!r}")
        if self.python and not _PYTHON.fullmatch(self.python) and "/" not in self.python:
            raise DefinitionError(
                f"Environment: python={self.python!r}: write a version, such as '3.10' or '3.12.4', or the path of an "
                "interpreter"
            )
        if self.packages and self.file:
            raise DefinitionError(
                f"Environment: packages and file={self.file!r} exclude each other; write the packages into the file"
            )
        if self.group and not self.file:
            raise DefinitionError(f"Environment: group={self.group!r} needs file='pyproject.toml' (or 'uv.lock')")
        pairs: Any = self.variables.items() if isinstance(self.variables, Mapping) else self.variables
        force(self, "variables", tuple(sorted((str(key), str(value)) for key, value in pairs)))
        DESCRIBED[self] = None

    @property
    def label(self) -> str:
        """The environment in a few words."""
        if self.name:
            return self.name
        what = self.file or ", ".join(self.packages[:3]) + (", ..." if len(self.packages) > 3 else "")
        return f"Python {self.python or 'of the run'}{' with ' + what if what else ''}"


class EnvironmentLock(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """What an environment was resolved to: enough to build the same one again, on any machine of the platform.

    ``digest`` names it: it is what tasks record and what their cache keys have in them. It depends on the interpreter's
    version, the platform, the packages with their hashes, and the variables. ``requirements`` is the text that uv
    installs: one requirement per line, each with one version or URL, and the hashes of its files. ``request`` is the
    digest of what was asked for; ``label`` is that in a few words. Of a step in a container, ``image`` is the digest of
    its image; ``python`` is the version in it and ``program`` its executable, or both are empty, of a command.
    ``program`` is also that of an environment whose interpreter was asked for by its path. ``beside`` is a folder
    of the image that has what workers need.
    """

    digest: bytes
    request: bytes
    label: str
    python: str  # the whole version, such as 3.10.13
    platform: str  # such as linux-x86_64
    requirements: str
    packages: tuple[tuple[str, str], ...]  # names and versions, by name
    variables: tuple[tuple[str, str], ...] = ()
    image: str = ""
    program: str = ""
    beside: str = ""

    @property
    def minor(self) -> tuple[int, int]:
        """The version of the interpreter as far as bytecode and extensions depend on it."""
        major, minor = self.python.split(".")[:2]
        return int(major), int(minor)

    def baked(self, images: Mapping[str, str]) -> EnvironmentLock:
        """The environment in the image that it was baked into, if ``images`` has one by its digest's first digits.

        It stays the same environment, of the same digest.
        """
        digest = self.digest.hex()
        for key, image in images.items():
            if len(key) >= SHORTEST_DIGEST and digest.startswith(key) and not self.image:
                return msgspec.structs.replace(self, image=image, program="python3", beside=RUNTIME)
        return self
