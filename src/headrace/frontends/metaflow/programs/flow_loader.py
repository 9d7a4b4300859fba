"""Loading a flow file into this process, with ours in place of the metaflow package; its flow is not run."""

# ruff: noqa: PTH100, PTH110, PTH120 - paths are texts in all of the dialect's interface

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType
from typing import Any

from headrace._base.usercode import module_file
from headrace.frontends.metaflow.authoring.flowspec import FlowBase
from headrace.frontends.metaflow.exceptions import MetaflowException
from headrace.frontends.metaflow.standin import SHIM, find_first


def load_flow(target: str, *, lasting: bool) -> Any:
    """The flow class in ``file.py`` or ``file.py:ClassName``.

    Args:
        target: the file, which defines the class or else imports it.
        lasting: its module stays, under the name of the file, so that workers can import it: who asks again gets the
            same class. Otherwise each call gives a new class, and leaves no trace but what the file itself does.

    Raises:
        FileNotFoundError: there is no such file.
        MetaflowException: it holds no flow, or several, or cannot stay beside what this process has loaded.
        Exception: whatever the file itself raises.
    """
    path, _, name = target.partition(".py:")
    path = os.path.abspath(f"{path}.py" if name else path)
    if not os.path.exists(path):
        raise FileNotFoundError(f"Flow file not present at '{path}'")
    module = _module(path, lasting=lasting)
    found = list(vars(module).values())
    found += [getattr(one, name, None) for one in found if name and isinstance(one, ModuleType)]
    classes = [one for one in found if isinstance(one, type) and issubclass(one, FlowBase)]
    own = [one for one in classes if one.__module__ == module.__name__]
    flows = {one.__name__: one for one in own or classes if not one.__module__.startswith("headrace.")}
    if name:
        flows = {one: flows[one] for one in flows if one == name}
    if not flows:
        raise MetaflowException(f"No FlowSpec class {name} found in {path}".replace("  ", " "))
    if len(flows) > 1:
        raise MetaflowException(f"Multiple FlowSpec classes found in {path}: {', '.join(sorted(flows))}")
    return next(iter(flows.values()))


def _module(path: str, *, lasting: bool) -> ModuleType:
    name = os.path.splitext(os.path.basename(path))[0]  # noqa: PTH119, PTH122
    known = sys.modules.get(name)
    if lasting and known is not None:
        if module_file(known) != path:
            raise MetaflowException(f"{path} cannot be loaded: a module of its name is, from {module_file(known)}")
        return known
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise MetaflowException(f"{path} is not a Python file")
    module = module_from_spec(spec)
    with _importing(os.path.dirname(path), lasting=lasting):
        sys.modules.setdefault(name, module)
        done = False
        try:
            spec.loader.exec_module(module)
            done = True
        finally:
            if known is None and not (lasting and done):
                sys.modules.pop(name, None)
    return module


@contextmanager
def _importing(folder: str, *, lasting: bool) -> Iterator[None]:
    """Imports find what is beside the flow file, and our ``metaflow``; the real one where it is loaded already."""
    real = sys.modules.get("metaflow")
    if lasting and real is not None and not module_file(real).startswith(SHIM):
        raise MetaflowException(
            "the metaflow package itself is imported already: import it after subflow(...), or not at all"
        )
    added = find_first(*([] if real is not None else [SHIM]), folder)
    try:
        yield
    finally:
        for one in added:
            if not lasting and one in sys.path:
                sys.path.remove(one)
