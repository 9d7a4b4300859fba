"""Only the edges look at the environment; everything below them is told the workspace, the project and the actor."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import headrace

ROOT = Path(headrace.__file__).parent

#: What reads the environment, the working directory or pyproject.toml to find out where runs are and who asks.
AMBIENT = {"scope_here", "existing_scope", "default_scope", "user_here", "read_settings", "names_place"}

#: The edges. Flows, pipelines in them, and ``track`` are called with no scope; a dialect's command line is one too.
EDGES = {
    "wiring/__init__.py",
    "wiring/scopes.py",
    "client/default.py",
    "client/connection.py",
    "client/catalog.py",
    "client/reproduction.py",
    "client/source.py",
    "client/tracking.py",
    "frontends/kfp/parts.py",
    "frontends/native/flows.py",
    "frontends/metaflow/commands/cli.py",
    "frontends/metaflow/client/providers.py",
}


def ambient_names(source: str) -> set[str]:
    """The ambient functions that a file names, imports inside functions included."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Name):
            found.add(node.id)
    return found & AMBIENT


def is_edge(path: str) -> bool:
    return path in EDGES or path.startswith("cli/")


def test_only_the_edges_look_at_the_environment() -> None:
    files = {path.relative_to(ROOT).as_posix(): ambient_names(path.read_text()) for path in ROOT.rglob("*.py")}
    assert {path: names for path, names in files.items() if names and not is_edge(path)} == {}
    assert {path for path in EDGES if not files[path]} == set(), "no edge is listed in vain"


@pytest.mark.parametrize(
    "breach",
    [
        "from headrace import wiring\ndef f():\n    return wiring.scope_here()\n",
        "def f():\n    from headrace.client.default import default_scope\n    return default_scope()\n",
        "from headrace.wiring import user_here as who\n",
    ],
)
def test_breach_is_seen(breach: str) -> None:
    assert ambient_names(breach)


def test_services_name_neither_wiring_nor_settings() -> None:
    for path in (ROOT / "services").rglob("*.py"):
        source = path.read_text()
        assert "headrace.wiring" not in source, path
        assert "HEADRACE_" not in source, path
