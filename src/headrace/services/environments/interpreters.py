"""Interpreters on this machine: that of this process, those of pyenv, of the system, and those that uv manages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from headrace.model.environments import OLDEST_PYTHON
from headrace.model.errors import EnvironmentSetupError
from headrace.services.environments.uv import UvError, run_uv

_ASK = "import sys, sysconfig; print(sys.version.split()[0], sys.implementation.name, sysconfig.get_platform())"


class Interpreter(NamedTuple):
    """A Python: its executable, whole version, and platform (``linux-x86_64``)."""

    path: str
    version: str
    platform: str


def find_interpreter(wanted: str) -> Interpreter:
    """The interpreter for ``Environment.python``: a version, a path, or nothing for that of this process.

    Raises:
        EnvironmentSetupError: there is none, and uv cannot get one; or it is too old.
    """
    if "/" in wanted:
        return _asked(str(Path(wanted).expanduser()))
    ours = sys.version.split(maxsplit=1)[0]
    if not wanted or _fits(ours, wanted):
        return _asked(os.path.realpath(sys.executable))
    if _numbers(wanted)[:2] < OLDEST_PYTHON:
        raise EnvironmentSetupError(f"Python {wanted} is too old: steps run on Python 3.10 or newer")
    known = _of_pyenv()
    fitting = [version for version in known if _fits(version, wanted)]
    if fitting:
        return _asked(known[max(fitting, key=_numbers)])
    try:
        return _asked(run_uv(["python", "find", "--no-project", "--no-python-downloads", wanted]).strip())
    except UvError:
        pass
    try:
        run_uv(["python", "install", "--no-progress", wanted])
        return _asked(run_uv(["python", "find", "--no-project", "--managed-python", wanted]).strip())
    except UvError as error:
        there = ", ".join(sorted({ours, *known}, key=_numbers))
        raise EnvironmentSetupError(
            f"there is no Python {wanted} on this machine (there are: {there}), and uv could not install it. Install "
            f"it, with pyenv say, or name its path in python=. uv says:\n{error}"
        ) from None


def same_minor(version: str) -> bool:
    """Whether code objects and extensions of this process fit an interpreter of ``version``."""
    return _numbers(version)[:2] == sys.version_info[:2]


def _asked(path: str) -> Interpreter:
    try:
        done = subprocess.run([path, "-I", "-c", _ASK], capture_output=True, text=True, check=True)
        version, name, platform = done.stdout.split()
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        raise EnvironmentSetupError(f"{path} is no Python that can be run: {error}") from None
    if name != "cpython" or _numbers(version)[:2] < OLDEST_PYTHON:
        raise EnvironmentSetupError(f"{path} is {name} {version}; steps run on CPython 3.10 or newer")
    return Interpreter(path, version, platform)


def _of_pyenv() -> dict[str, str]:
    """Executables by version."""
    folder = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions")
    try:
        names = [one.name for one in folder.iterdir()]
    except OSError:
        return {}
    found = {name: str(folder / name / "bin" / "python") for name in names if re.fullmatch(r"3\.\d+\.\d+", name)}
    return {name: path for name, path in found.items() if _numbers(name)[:2] >= OLDEST_PYTHON and Path(path).exists()}


def _fits(version: str, wanted: str) -> bool:
    return version == wanted or version.startswith(f"{wanted}.")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(one) for one in re.findall(r"\d+", version)[:3])
