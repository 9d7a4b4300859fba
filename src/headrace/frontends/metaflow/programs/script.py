"""Running a file that is written for Metaflow, with ours in its place whether or not the real one is installed."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from headrace.frontends.metaflow.standin import SHIM, find_first


def environment(environ: dict[str, str]) -> dict[str, str]:
    """``environ`` with Headrace's package ``metaflow`` before all others, and steps that want packages given them.

    ``headrace run`` gives them what @conda and @pypi ask for without ``--environment``.
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
