"""The environment of the real kfp, and a place for runs."""

from __future__ import annotations

import os
import subprocess
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.settings import Settings
from headrace.wiring import Scope, scope_at

ROOT = Path(__file__).parents[3]
#: The version that compiled the pipelines of the suite.
VERSION = "2.17.3"
REQUIREMENTS = f"kfp=={VERSION}\nsetuptools\n"


@pytest.fixture(scope="session")
def real_kfp() -> str:
    """The interpreter of an environment that has the real kfp, made if there is none."""
    folder = Path(os.environ.get("HEADRACE_TEST_KFP") or ROOT / ".venv-kfp")
    python = folder / "bin/python"
    mark = folder / "headrace-requirements.txt"
    if not mark.exists() or mark.read_text() != REQUIREMENTS:
        if not python.exists():
            venv.create(folder, with_pip=True, clear=True)
        pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, *REQUIREMENTS.splitlines()], check=True)
        mark.write_text(REQUIREMENTS)
    return str(python)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the store of all runs of the suite."""
    yield tmp_path_factory.mktemp("kfp")


@pytest.fixture(scope="session")
def scope(home: Path) -> Scope:
    """Where pipelines of the suite run."""
    return scope_at(Settings(home=str(home)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test that uses the real kfp waits until it is installed."""
    for item in items:
        if item.path.parent == Path(__file__).parent and "real_kfp" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(900))
