"""Running a file that is written for Metaflow, with ours in its place whether or not the real one is installed."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NoReturn

from headrace.model.errors import UsageError

SHIM = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "shim")  # noqa: PTH100, PTH118, PTH120


def environment(environ: dict[str, str]) -> dict[str, str]:
    """``environ`` with a package ``metaflow`` of ours before all others, and flows that want packages allowed.

    ``headrace run`` has no ``--environment``; what @conda and @pypi ask for is recorded, and the run says so.
    """
    path = os.pathsep.join(one for one in (SHIM, environ.get("PYTHONPATH", "")) if one)
    return {"METAFLOW_ENVIRONMENT": "conda", **environ, "PYTHONPATH": path}


def become(path: str, arguments: Sequence[str]) -> NoReturn:
    """Turn this process into ``python path arguments...``."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, path, *arguments], environment(dict(os.environ)))


def stand_in() -> None:
    """Put ours in place of the metaflow package in this process and what it starts, unless that is imported already."""
    find_first(SHIM)
    os.environ.update(environment(dict(os.environ)))


def find_first(*folders: str) -> list[str]:
    """Let imports look in these folders first; those of them where they did not look before."""
    added = [one for one in folders if one not in sys.path]
    sys.path[:0] = added
    return added


def load_class(target: str) -> Any:
    """The flow in ``file.py`` or ``file.py:ClassName``, with ours in place of the metaflow package from now on.

    Raises:
        UsageError: the file has no flow, several, or cannot be loaded beside what this process has loaded.
    """
    from headrace.frontends.metaflow.authoring.flowspec import FlowBase

    path, _, name = target.partition(".py:")
    path = os.path.abspath(path if path.endswith(".py") else f"{path}.py")  # noqa: PTH100
    module = _import(path)
    found = list(vars(module).values())
    found += [getattr(one, name, None) for one in found if name and isinstance(one, ModuleType)]
    classes = [one for one in found if isinstance(one, type) and issubclass(one, FlowBase)]
    own = [one for one in classes if one.__module__ == module.__name__]
    flows = {one.__name__: one for one in own or classes if not one.__module__.startswith("headrace.")}
    if name:
        flows = {one: flows[one] for one in flows if one == name}
    if len(flows) != 1:
        there = f"the flows {', '.join(flows)}: say which one, {path}:NAME" if flows else f"no flow {name}".rstrip()
        raise UsageError(f"{path} holds {there}")
    return next(iter(flows.values()))


def _import(path: str) -> ModuleType:
    """The module of a file by its stem, with ours in place of the metaflow package, in workers too."""
    import importlib

    real = sys.modules.get("metaflow")
    if real is not None and not str(getattr(real, "__file__", "")).startswith(SHIM):
        raise UsageError(
            f"{path} cannot be loaded: the metaflow package itself is imported already; import it after subflow(...)"
        )
    folder, file = os.path.split(path)
    find_first(SHIM, folder)
    if not os.path.exists(path):  # noqa: PTH110
        raise UsageError(f"no such file: {path}")
    module = importlib.import_module(file.removesuffix(".py"))
    if os.path.abspath(str(module.__file__)) != path:  # noqa: PTH100
        raise UsageError(f"{path} cannot be loaded: a module of that name is imported already, from {module.__file__}")
    return module
