"""Finding the function of a step in a worker."""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any

from headrace._base.attributes import own
from headrace.model.messages import Define
from headrace.runtime import transfer
from headrace.runtime.registry import registered

#: The environment of this process in a few words; empty where it is that of the flow's process.
environment = ""


def find_function(define: Define) -> Callable[..., Any]:
    """The plain function of a step: its command, by slot, by name, or from its pickle.

    Raises:
        ImportError, AttributeError: its module or name cannot be found here.
    """
    if define.command:
        import msgspec

        from headrace.model.commands import CommandSpec
        from headrace.runtime.commands.run import run_command

        return functools.partial(run_command, msgspec.msgpack.decode(define.command, type=CommandSpec))
    found: Any = registered(define.home, define.slot) if define.slot >= 0 else None
    if found is None and define.body:
        found = transfer.loads(define.body)  # the driver's own words over the socket it gave us
    if found is None:
        module = sys.modules.get(define.module) or _imported(define.module)
        found = module
        for part in define.qualname.split("."):
            found = getattr(found, part)
    found = _step_behind(found)
    function: Callable[..., Any] = found if isinstance(found, FunctionType) else own(found, "__wrapped__", found)
    return function


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not environment or not error.name or error.name == name:
            raise
        raise ModuleNotFoundError(
            f"{error.msg}: module {name} imports it, and the environment of the step ({environment}) does not have it. "
            "Import it inside the steps that need it, or add it to the packages of the environment",
            name=error.name,
        ) from error


def tell_removed(error: BaseException) -> None:
    """Say in an error of a missing file or module that the packages of this process are gone from the disk."""
    if environment and isinstance(error, (ImportError, FileNotFoundError)) and not os.path.isdir(sys.prefix):  # noqa: PTH112
        told = f"{error}: the environment of the step ({environment}) was removed from {sys.prefix} while it ran"
        error.args = (told,)
        if isinstance(error, ImportError):
            error.msg = told


def _step_behind(found: Any) -> Any:
    """The step that decorators above ``@step`` wrap; ``found`` itself if it is a step, or a function of the user's.

    A function of the user's may have a ``__wrapped__`` as well: decorators below ``@step`` are a part of the step.
    """
    one = found
    while isinstance(one, FunctionType):
        one = one.__dict__.get("__wrapped__")
    return found if one is None else one
