"""Resolving environments to locks. The home keeps a lock by what was asked for, until somebody asks for a new one."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import sysconfig
import tempfile
from pathlib import Path

import msgspec
from blake3 import blake3

from headrace.model.environments import Environment, EnvironmentLock
from headrace.model.errors import EnvironmentSetupError
from headrace.services.environments.interpreters import find_interpreter
from headrace.services.environments.sources import Source, content_of, read_source
from headrace.services.environments.uv import UvError, run_uv, trusted_hosts, without_trusted_hosts

#: What Headrace's own code needs beside the packages of an environment, where these are among them.
NEEDED = ("msgspec>=0.19", "blake3>=1.0", "cloudpickle>=3.1", "threadpoolctl>=3.5")
#: What dialects need while a task runs: cards of Metaflow, its ``Runner``. Other versions in an environment may do too.
BESIDE = ("click>=8.1", "rich>=13.9", "markdown-it-py>=3.0", "pygments>=2.13")
_INDEX = re.compile(r"(?m)^\s*(-i|--index-url|--extra-index-url)[ =]")
_PINNED = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?\s*(?:==\s*([^\s;\\]+)|@\s*(\S+))")


def request_of(environment: Environment, folder: str) -> bytes:
    """The digest of what is asked for: 32 bytes. Relative paths start at ``folder``.

    Raises:
        EnvironmentSetupError: the environment's file cannot be read.
    """
    python = environment.python or ".".join(platform.python_version_tuple()[:2])
    asked = (environment.packages, python, environment.group, environment.variables, platform.machine())
    return blake3(msgspec.msgpack.encode((asked, content_of(environment, folder)))).digest()


def known_lock(request: bytes, cache: str) -> EnvironmentLock | None:
    """The lock that was made for a request before, if there is one."""
    try:
        return msgspec.msgpack.decode(_file(request, cache).read_bytes(), type=EnvironmentLock)
    except (OSError, msgspec.DecodeError):
        return None


def is_of_this_platform(lock: EnvironmentLock) -> bool:
    """Whether a lock was made on a machine of this kind."""
    return lock.platform == sysconfig.get_platform()


def keep_lock(lock: EnvironmentLock, cache: str) -> None:
    """Remember a lock for what was asked for."""
    file = _file(lock.request, cache)
    with contextlib.suppress(OSError):  # it is resolved again next time
        file.parent.mkdir(0o700, parents=True, exist_ok=True)
        draft = file.with_name(f"{file.name}.{os.getpid()}.{os.urandom(6).hex()}")
        draft.write_bytes(msgspec.msgpack.encode(lock))
        draft.replace(file)


def resolve(environment: Environment, folder: str, *, upgrade: bool = False) -> EnvironmentLock:
    """Let uv choose the versions of everything. ``upgrade``: look for newer versions at the index.

    Raises:
        EnvironmentSetupError: an interpreter or a package is not to be had, or requirements conflict; the message has
        what uv says.
    """
    try:
        source = read_source(environment, folder)
        interpreter = find_interpreter(environment.python)
        text = _compiled(source, interpreter.path, upgrade=upgrade)
    except UvError as error:
        raise EnvironmentSetupError(f"its packages cannot be resolved. uv says:\n{error}") from None
    packages = tuple(sorted(_packages(text)))
    request = request_of(environment, folder)
    variables = tuple((str(name), str(value)) for name, value in dict(environment.variables).items())
    named = (interpreter.version, interpreter.platform, text, variables)
    return EnvironmentLock(
        digest=blake3(msgspec.msgpack.encode(named)).digest(),
        request=request,
        label=environment.label,
        python=interpreter.version,
        platform=interpreter.platform,
        requirements=text,
        packages=packages,
        variables=variables,
        program=environment.python if "/" in environment.python else "",
    )


def _compiled(source: Source, python: str, *, upgrade: bool) -> str:
    if not source.requirements.strip():
        return ""
    options = ["--no-header", "--no-annotate", "--quiet", "--no-python-downloads"]
    options += ["--no-deps"] if source.whole else []
    options += [] if source.hashed else ["--generate-hashes"]
    options += ["--upgrade"] if upgrade else []
    options += ["--emit-index-url"] if _INDEX.search(source.requirements) else []  # where it is installed from, too
    trusted = trusted_hosts(source.requirements)
    given = without_trusted_hosts(source.requirements)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.write("\n".join(NEEDED))
        constraints.flush()
        options += ["--constraints", constraints.name, *trusted]
        text = run_uv(["pip", "compile", "-", "--python", python, *options], f"{given}\n", source.folder)
    text = "".join(f"{one.replace('=', ' ', 1)}\n" for one in trusted) + text  # for who installs it
    return _with_hashes(text, source.requirements) if source.hashed else text


def _with_hashes(text: str, given: str) -> str:
    """``text`` with the hashes that ``given`` has: no other files may be installed."""
    hashes = {}
    for line in given.replace("\\\n", " ").splitlines():
        match = _PINNED.match(line.strip())
        if match:
            hashes[_plain(match[1])] = " ".join(re.findall(r"--hash=\S+", line))
    lines = []
    for line in text.splitlines():
        match = _PINNED.match(line)
        lines.append(f"{line} {hashes.get(_plain(match[1]), '')}".rstrip() if match else line)
    return "\n".join(lines) + "\n"


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _packages(text: str) -> list[tuple[str, str]]:
    found = []
    for line in text.splitlines():
        match = _PINNED.match(line)
        if match:
            found.append((_plain(match[1]), match[2] or match[3]))
    return found


def _file(request: bytes, cache: str) -> Path:
    return Path(cache, "locks", request.hex())
