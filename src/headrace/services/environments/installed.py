"""Packages that are on this machine already, for interpreters that need not ask an index then."""

from __future__ import annotations

import os
import re
import shutil
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

from headrace._base.variables import RUNTIMES
from headrace.model.environments import EnvironmentLock

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


def copy_packages(lock: EnvironmentLock, needed: Sequence[str], target: Path) -> bool:
    """Put requirements and what they need into the new folder ``target``, for the Python of ``lock``.

    Returns False, and makes nothing, where they are not here: neither in a folder of ``RUNTIMES``, nor as packages of
    this very process, if its Python is of the same version and platform.
    """
    name = f"{lock.minor[0]}.{lock.minor[1]}-{lock.platform}"
    for one in filter(None, os.environ.get(RUNTIMES, "").split(os.pathsep)):
        folder = Path(one, name)
        if folder.is_dir():
            shutil.copytree(folder, target)
            return True
    musl = "-musl" if "musl" in (sysconfig.get_config_var("SOABI") or "") else ""
    if (lock.minor, lock.platform) != (sys.version_info[:2], sysconfig.get_platform() + musl):
        return False
    try:
        found = closure(needed)
    except metadata.PackageNotFoundError:
        return False
    for distribution in found:
        for file in distribution.files or ():
            source = Path(str(distribution.locate_file(file)))
            if ".." not in file.parts and source.is_file():
                (target / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target / file)
    return True


def closure(needed: Iterable[str]) -> list[metadata.Distribution]:
    """The installed distributions of requirements, and of what these need.

    Raises:
        PackageNotFoundError: one is not installed.
    """
    found: dict[str, metadata.Distribution] = {}
    todo = list(needed)
    while todo:
        requirement, _, marker = todo.pop().partition(";")
        match = _NAME.match(requirement.strip())
        if match is None or "extra" in marker:
            continue
        name = match.group().lower()
        if name in found:
            continue
        try:
            found[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            if marker:  # for other platforms or versions, most likely
                continue
            raise
        todo += found[name].requires or ()
    return list(found.values())
