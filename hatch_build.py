"""Build hook: byte-compile an editable install, which installers leave alone.

A process started with ``PYTHONDONTWRITEBYTECODE=1`` (containers and CI set it) never caches what it compiles,
so without this every start of an editable checkout would compile the whole package again. Wheels carry no
bytecode: the installer compiles them.
"""

import compileall
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompileOnEditableInstall(BuildHookInterface):
    """Registered in pyproject.toml as the custom hook of the wheel target."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile ``src/headrace``; ``version`` is hatchling's word for the kind of build."""
        if version == "editable":
            compileall.compile_dir(Path(self.root, "src", "headrace"), quiet=1, optimize=0)
