"""Tells when a module of interest has been imported: one of the user's, or one of a few by name.

The finder stands before all others and asks them. It lends the loader of a module of interest until the module's code
begins to run; the module itself never has another loader than its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from headrace._base.usercode import is_user_file

_STANDARD = frozenset(sys.stdlib_module_names)


class ImportHook:
    """A finder for ``sys.meta_path``. ``told`` is called with the name of a module of interest once it is complete."""

    def __init__(self, names: frozenset[str], told: Callable[[str], None]) -> None:
        self._names = names
        self._told = told

    def install(self) -> None:
        """Look at imports from now on."""
        sys.meta_path.insert(0, self)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What the other finders say."""
        wanted = name in self._names
        if not wanted and (name.partition(".")[0] in _STANDARD or (path and not is_user_file(next(iter(path), "")))):
            return None
        for finder in sys.meta_path:
            if finder is not self and hasattr(finder, "find_spec"):
                spec = finder.find_spec(name, path, target)
                if spec is not None:
                    if (wanted or is_user_file(spec.origin or "<")) and hasattr(spec.loader, "exec_module"):
                        spec.loader = _Lent(spec.loader, self._told)  # type: ignore[assignment]
                    return spec
        return None


class _Lent:
    """A loader that gives the module back to its own one, and tells when the module is complete."""

    def __init__(self, loader: Any, told: Callable[[str], None]) -> None:
        self._loader = loader
        self._told = told

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        spec.loader = self._loader
        module: ModuleType | None = self._loader.create_module(spec)
        spec.loader = self  # type: ignore[assignment]
        return module

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._told(module.__name__)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)
