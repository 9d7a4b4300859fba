"""``headrace-entry``, built by this machine's Go, and a container of a pod as a process of this machine."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "images" / "entry"


@functools.cache
def program() -> Path:
    """The static program, built once per session."""
    if shutil.which("go") is None:
        pytest.fail(".ci/run installs go") if os.environ.get("CI") else pytest.skip("go is not installed")
    target = Path(tempfile.mkdtemp(prefix="headrace-entry-"), "headrace-entry")
    told = ["go", "build", "-trimpath", "-ldflags=-s -w -buildid=", "-o", str(target), "."]
    subprocess.run(told, cwd=SOURCE, env=os.environ | {"CGO_ENABLED": "0"}, check=True)
    return target


@contextlib.contextmanager
def user_container(folder: Path) -> Iterator[Path]:
    """The command of a user's container, as a process of this machine; gives its socket."""
    shutil.copy(program(), folder / "headrace-entry")
    socket = folder / "container"
    path = os.pathsep.join([f"{sys.base_prefix}/bin", os.environ["PATH"]])  # no Python that has Headrace
    process = subprocess.Popen([folder / "headrace-entry", "serve", socket], env={**os.environ, "PATH": path})
    try:
        yield socket
    finally:
        process.kill()
        process.wait()
