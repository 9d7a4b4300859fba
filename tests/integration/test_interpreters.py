"""What runs in a worker runs on every Python of this machine from 3.10 on: its modules load, its tests pass there."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests.interpreters import FOUND, OURS

from headrace.model.environments import Environment
from headrace.services.environments.service import Environments

ROOT = Path(__file__).parents[2]
#: What a flow's file may import, and what a worker consists of.
LOADED = """
import importlib, pkgutil, sys
import headrace
for name in headrace.__all__:
    getattr(headrace, name)
missing = ("cryptography", "obstore", "psycopg", "boto3", "yaml", "httpx2", "lightkube")
parts = ("_base", "model", "stores.codecs", "stores.artifacts", "runtime", "identity", "worker", "executors",
         "frontends.native", "frontends.metaflow.authoring", "frontends.metaflow.running", "client", "services")
for part in parts:
    for found in pkgutil.walk_packages(importlib.import_module(f"headrace.{part}").__path__, f"headrace.{part}."):
        try:
            importlib.import_module(found.name)
        except ModuleNotFoundError as error:
            if error.name.partition(".")[0] not in missing:
                raise
import headrace.metaflow
for name in headrace.metaflow.__all__:
    getattr(headrace.metaflow, name)
print("all loaded on", ".".join(map(str, sys.version_info[:2])))
"""
#: Tests that need nothing but a worker's own modules; those of codecs have frames and arrays in them.
SUITES = (
    *("tests/conformance/test_codecs.py",),
    *("tests/unit/stores/test_codec_streams.py", "tests/unit/stores/test_codec_sharing.py"),
)


def environment_of(folder: Path, version: str, *packages: str) -> list[str]:
    """The start of a command line: the interpreter with what is beside its packages."""
    environments = Environments(str(folder), print)
    lock = environments.lock(Environment(python=version, packages=packages), "the test", ".")
    built = environments.build(lock, "the test")
    return ["env", f"PYTHONPATH={os.pathsep.join(built.beside)}", built.python]


@pytest.mark.parametrize("version", [version for version in FOUND if version != OURS])
def test_modules_of_a_worker_load(tmp_path: Path, version: str) -> None:
    command = environment_of(tmp_path, version)
    done = subprocess.run([*command, "-W", "error", "-c", LOADED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"all loaded on {version}"


@pytest.mark.parametrize("version", [version for version in ("3.10", "3.13") if version in FOUND and version != OURS])
def test_suites_of_a_workers_parts_pass(tmp_path: Path, version: str) -> None:
    packages = ("pytest>=8", "pytest-timeout", "hypothesis", "numpy", "pandas")
    command = environment_of(tmp_path, version, *packages)
    done = subprocess.run(
        [*command, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not OverS3", *SUITES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_ADDOPTS": ""},
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout or "100%" in done.stdout, done.stdout
