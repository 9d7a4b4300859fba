"""Running a file that is written for Metaflow, with ours in its place whether or not the real one is installed."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

SHIM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "shim")  # noqa: PTH100, PTH118, PTH120


def environment(environ: dict[str, str]) -> dict[str, str]:
    """``environ`` with a package ``metaflow`` of ours before all others."""
    return {**environ, "PYTHONPATH": os.pathsep.join(one for one in (SHIM, environ.get("PYTHONPATH", "")) if one)}


def become(path: str, arguments: Sequence[str]) -> NoReturn:
    """Turn this process into ``python path arguments...``."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, path, *arguments], environment(dict(os.environ)))
