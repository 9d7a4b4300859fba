"""How workers of an environment or image start."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from headrace._base.process import process_owner
from headrace.executors.local import FreshStart
from headrace.model.errors import EnvironmentSetupError
from headrace.runtime.containers.engine import Mount, Order
from headrace.runtime.containers.found import find_engine
from headrace.services.environments.building import CODE, find_built, runtime_of_image

if TYPE_CHECKING:
    from headrace.model.environments import EnvironmentLock
    from headrace.services.environments.service import Environments

#: Beginnings of the names of variables that say where things are on this machine: a container does not get them.
_OF_MACHINE = (
    "PATH",
    "HOME",
    "SHELL",
    "TMPDIR",
    "PWD",
    "OLDPWD",
    "LD_",
    "PYTHON",
    "XDG_",
    "VIRTUAL_ENV",
    "CONDA_",
    "UV_",
)


def start_in(lock: EnvironmentLock, base: FreshStart, artifacts: str, environments: Environments) -> FreshStart:
    """``base``, which says the code and its arguments, for workers of the environment or image of ``lock``.

    ``artifacts`` is the URL of the artifact store. Nothing of an environment is built here: that would hold up the run.

    Raises:
        EnvironmentSetupError: the environment is gone, or an image lacks what workers need.
    """
    if lock.image:
        fresh = _in_image(lock, base, artifacts, environments)
    else:
        built = find_built(lock, environments.cache, environments.extra)
        if built is None:
            raise EnvironmentSetupError(
                f"the environment {lock.label} was removed from {environments.cache} after the run had found "
                "it there; the next run, or `headrace resume`, builds it again"
            )
        fresh = msgspec.structs.replace(
            base, interpreter=built.python, beside=built.beside, variables=(*base.variables, *lock.variables)
        )
    return msgspec.structs.replace(fresh, environment=lock.label)


def _in_image(lock: EnvironmentLock, base: FreshStart, artifacts: str, environments: Environments) -> FreshStart:
    """``base`` for workers in a container, which sees the code, what workers need, and artifacts in a folder."""
    engine = find_engine()
    beside = runtime_of_image(lock, environments.cache, environments.extra, whole=not engine.mounts)
    mounts = [Mount(path, path) for path in (base.folder, *beside, *([str(CODE)] if engine.mounts else []))]
    if "://" not in artifacts:
        mounts.append(Mount(artifacts, artifacts, True))
    variables = [name for name in os.environ if not name.startswith(_OF_MACHINE)]
    order = Order(lock.image, owner=process_owner(), mounts=mounts, variables=variables, files=2, see_processes=True)
    command = engine.arguments(order)
    return msgspec.structs.replace(base, interpreter=lock.program, beside=beside, container=tuple(command))
