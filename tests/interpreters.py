"""Interpreters on this machine that steps may run on, beside the one of the tests."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
OURS = f"{sys.version_info[0]}.{sys.version_info[1]}"


def found() -> dict[str, str]:
    """Executables by minor version, that of the tests among them."""
    there = {OURS: os.path.realpath(sys.executable)}
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions")
    for version in VERSIONS:
        files = sorted(pyenv.glob(f"{version}.*/bin/python"))
        system = shutil.which(f"python{version}", path="/usr/local/bin:/usr/bin")
        if version not in there and (files or system):
            there[version] = str(files[-1]) if files else str(system)
    return there


FOUND = found()
#: A version that is not that of the tests, the oldest first; empty where there is none.
OTHER = next((version for version in FOUND if version != OURS), "")
