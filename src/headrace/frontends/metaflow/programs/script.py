"""Running a file that is written for Metaflow, with ours in its place whether or not the real one is installed."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

SHIM = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "shim")  # noqa: PTH100, PTH118, PTH120


def environment(environ: dict[str, str]) -> dict[str, str]:
    """``environ`` with a package ``metaflow`` of ours before all others, and flows that want packages allowed.

    ``headrace run`` has no ``--environment``; what @conda and @pypi ask for is recorded, and the run says so.
    """
    path = os.pathsep.join(one for one in (SHIM, environ.get("PYTHONPATH", "")) if one)
    return {"METAFLOW_ENVIRONMENT": "conda", **environ, "PYTHONPATH": path}


def become(path: str, arguments: Sequence[str]) -> NoReturn:
    """Turn this process into ``python path arguments...``."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, path, *arguments], environment(dict(os.environ)))


def stand_in() -> None:
    """Put ours in place of the metaflow package in this process and what it starts, unless that is imported already."""
    find_first(SHIM)
    os.environ.update(environment(dict(os.environ)))


def find_first(*folders: str) -> list[str]:
    """Let imports look in these folders first; those of them where they did not look before."""
    added = [one for one in folders if one not in sys.path]
    sys.path[:0] = added
    return added
