"""Which flows a Python file holds, read from its text: importing it would need the package it is written for."""

from __future__ import annotations

import ast
import os
from pathlib import Path
from typing import NamedTuple

#: What makes a class a Metaflow flow.
_BASES = frozenset({"metaflow.FlowSpec", "headrace.metaflow.FlowSpec"})
_NOT_LOCAL = frozenset({"metaflow", "headrace"})


class FlowsOf(NamedTuple):
    """The flows of a file: native ones, classes for Metaflow that it defines, and those that it calls itself."""

    native: tuple[str, ...]
    metaflow: tuple[str, ...]
    called: tuple[str, ...]


class _Module(NamedTuple):
    """What a module's text says."""

    path: Path
    imports: dict[str, str]  # by the name it has here: the full one
    stars: list[str]
    bases: dict[str, list[str]]  # by class
    decorated: dict[str, list[str]]  # functions
    calls: set[str]


def flows_of(path: Path, text: bytes) -> FlowsOf | None:
    """The flows in the file at ``path``; None when it is not Python."""
    reader = _Reader()
    try:
        module = _parse(path, text)
    except (SyntaxError, ValueError):
        return None
    reader.modules[path] = module
    own = tuple(name for name in module.bases if reader.is_flow(module, name))
    called = tuple(sorted(name for name in module.calls if reader.is_flow(module, name)))
    native = tuple(
        name
        for name, decorators in module.decorated.items()
        if any(_full(module, one) == "headrace.flow" for one in decorators)
    )
    return FlowsOf(native, own, called)


class _Reader:
    """Follows imports to files beside the first one or on ``PYTHONPATH``, each of which is read once."""

    def __init__(self) -> None:
        self.modules: dict[Path, _Module | None] = {}
        self._asked: set[tuple[Path, str]] = set()

    def is_flow(self, module: _Module, name: str) -> bool:
        """Whether ``name``, as it stands in ``module``, is a class derived from Metaflow's base."""
        if (module.path, name) in self._asked:
            return False
        self._asked.add((module.path, name))
        try:
            if name in module.bases:
                return any(self.is_flow(module, base) for base in module.bases[name])
            if (full := _full(module, name)) is not None:
                return self._is_flow_elsewhere(module.path, full)
            return any(self._is_flow_elsewhere(module.path, f"{star}.{name}") for star in module.stars)
        finally:
            self._asked.discard((module.path, name))

    def _is_flow_elsewhere(self, importer: Path, full: str) -> bool:
        if full in _BASES:
            return True
        parts = full.split(".")
        if parts[0] in _NOT_LOCAL:
            return False
        for length in range(len(parts) - 1, 0, -1):
            found = self._find(importer, parts[:length])
            if found is not None:
                return self.is_flow(found, ".".join(parts[length:]))
        return False

    def _find(self, importer: Path, parts: list[str]) -> _Module | None:
        folders = [importer.parent]
        if not parts[0]:  # relative: a dot for each folder up
            while parts and not parts[0]:
                parts = parts[1:]
                folders = [folders[0].parent] if parts and not parts[0] else folders
        else:
            folders += [Path(one) for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one]
        for folder in folders:
            for file in (folder.joinpath(*parts).with_suffix(".py"), folder.joinpath(*parts, "__init__.py")):
                if file.is_file():
                    return self._module(file)
        return None

    def _module(self, file: Path) -> _Module | None:
        if file not in self.modules:
            try:
                self.modules[file] = _parse(file, file.read_bytes())
            except (OSError, SyntaxError, ValueError):
                self.modules[file] = None
        return self.modules[file]


def _full(module: _Module, name: str) -> str | None:
    """The full name of what ``name`` is here, if it was imported."""
    head, _, rest = name.partition(".")
    start = module.imports.get(head)
    return None if start is None else f"{start}.{rest}" if rest else start


def _parse(path: Path, text: bytes) -> _Module:
    module = _Module(path, {}, [], {}, {}, set())
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            for one in node.names:
                head = one.name.partition(".")[0]
                module.imports[one.asname or head] = one.name if one.asname else head
        elif isinstance(node, ast.ImportFrom):
            source = "." * node.level + (node.module or "")
            for one in node.names:
                if one.name == "*":
                    module.stars.append(source)
                else:
                    module.imports[one.asname or one.name] = f"{source.removesuffix('.')}.{one.name}"
        elif isinstance(node, ast.ClassDef):
            module.bases[node.name] = [_dotted(base) for base in node.bases]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            module.decorated[node.name] = [_dotted(one) for one in node.decorator_list]
        elif isinstance(node, ast.Call):
            module.calls.add(_dotted(node))
    return module


def _dotted(node: ast.expr) -> str:
    """``a.b`` of the expression ``a.b`` or ``a.b(...)``; empty for others."""
    if isinstance(node, ast.Call):
        return _dotted(node.func)
    if isinstance(node, ast.Attribute):
        before = _dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return node.id if isinstance(node, ast.Name) else ""
