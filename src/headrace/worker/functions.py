"""Finding the function of a step in a worker."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any

from headrace._base.attributes import own
from headrace.model.messages import Define
from headrace.runtime import transfer
from headrace.runtime.registry import registered


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
        module = sys.modules.get(define.module) or importlib.import_module(define.module)
        found = module
        for part in define.qualname.split("."):
            found = getattr(found, part)
    found = _step_behind(found)
    function: Callable[..., Any] = found if isinstance(found, FunctionType) else own(found, "__wrapped__", found)
    return function


def _step_behind(found: Any) -> Any:
    """The step that decorators above ``@step`` wrap; ``found`` itself if it is a step, or a function of the user's.

    A function of the user's may have a ``__wrapped__`` as well: decorators below ``@step`` are a part of the step.
    """
    one = found
    while isinstance(one, FunctionType):
        one = one.__dict__.get("__wrapped__")
    return found if one is None else one
