"""The source of a Python component as a module, made anew for each attempt."""

from __future__ import annotations

import functools
import os
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType
from typing import Any

from headrace.frontends.kfp.executors import kfp_module
from headrace.frontends.kfp.executors.errors import ComponentFailedError
from headrace.frontends.kfp.executors.folders import own_folder

#: What the module is called, as under KFP.
NAME = "ephemeral_component"
#: Sources that a worker keeps compiled.
_KEPT = 256
_count = 0


@contextmanager
def loaded(source: str, function: str, task: str) -> Iterator[Callable[..., Any]]:
    """The function of a component. Modules and paths that its source brings in are gone afterwards.

    Raises:
        ComponentFailedError: the source does not have it; whatever running the source raises.
    """
    kfp_module.make_importable()
    path = list(sys.path)
    before = set(sys.modules)
    code = _compiled(source, os.getpid())
    module = types.ModuleType(NAME)
    module.__file__ = code.co_filename
    sys.modules[NAME] = module
    sys.path.insert(0, os.path.dirname(code.co_filename))  # noqa: PTH120 - hot path
    try:
        exec(code, module.__dict__)
        found = module.__dict__.get(function)
        found = getattr(found, "python_func", found)
        if not callable(found):
            raise ComponentFailedError(f"{task}: the component's source has no function {function!r}")
        yield found
    finally:
        added = [one for one in sys.path if one not in path]
        sys.path[:] = path
        sys.modules.pop(NAME, None)
        if len(sys.modules) != len(before):
            _forget(before, added)


@functools.lru_cache(maxsize=_KEPT)
def _compiled(source: str, _process: int) -> CodeType:
    """The source compiled, and as a file of this process: for tracebacks, and for processes that it starts."""
    global _count
    _count += 1
    folder = Path(own_folder(_process), f"source-{_count}")
    folder.mkdir()
    file = folder / f"{NAME}.py"
    file.write_text(source, encoding="utf-8")
    return compile(source, str(file), "exec", dont_inherit=True)


def _forget(before: set[str], folders: list[str]) -> None:
    """Forget modules that were imported from folders which are not searched any more: others may have their names."""
    inside = tuple(os.path.join(one, "") for one in folders if one)  # noqa: PTH118
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if isinstance(file, str) and inside and file.startswith(inside):
            del sys.modules[name]
