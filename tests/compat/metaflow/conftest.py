"""Which scenarios run, the environment of the real metaflow, and runs ahead of their tests."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest


def _sibling(name: str) -> Any:
    """A module beside this one; tests are collected without changing ``sys.path``."""
    full = f"compat_metaflow_{name}"
    if full not in sys.modules:
        spec = importlib.util.spec_from_file_location(full, Path(__file__).parent / f"{name}.py")
        assert spec is not None and spec.loader is not None
        sys.modules[full] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[full])
    return sys.modules[full]


records = _sibling("records")
harness = _sibling("harness")
_sibling("generate")
#: matplotlib is for the notebooks of the tutorials.
REQUIREMENTS = f"metaflow=={harness.VERSION}\nsetuptools\nmatplotlib\n"


@pytest.fixture(scope="session")
def real_python() -> str:
    """The interpreter of an environment that has the real metaflow, made if there is none."""
    folder = Path(os.environ.get("HEADRACE_TEST_METAFLOW") or harness.ROOT / ".venv-metaflow")
    python = folder / "bin/python"
    mark = folder / "headrace-requirements.txt"
    if not mark.exists() or mark.read_text() != REQUIREMENTS:
        if not python.exists():
            venv.create(folder, with_pip=True, clear=True)
        pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, *REQUIREMENTS.splitlines()], check=True)
        mark.write_text(REQUIREMENTS)
    return str(python)


def _asked_for(fixture: str, session: pytest.Session) -> list[Any]:
    """The scenarios of all tests of this session that use a fixture of this file."""
    tests = [item for item in session.items if item.path.parent == harness.HERE and hasattr(item, "callspec")]
    return [item.callspec.params["scenario"] for item in tests if fixture in item.fixturenames]  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def ours(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Any], Any]]:
    """What Headrace answers to a scenario. All that are going to be asked for are begun at once, two at a time."""
    base = tmp_path_factory.mktemp("ours")
    scenarios = _asked_for("ours", request.session)
    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        futures: dict[str, Future[Any]] = {
            one.id: pool.submit(harness.execute, one, sys.executable, base / one.id, real=False) for one in scenarios
        }
        yield lambda scenario: futures[scenario.id].result()
        pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="session")
def real(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, real_python: str
) -> Iterator[Callable[[Any], Any]]:
    """What the real metaflow answers to a scenario; begun ahead, two at a time."""
    base = tmp_path_factory.mktemp("real")
    scenarios = _asked_for("real", request.session)
    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        futures: dict[str, Future[Any]] = {
            one.id: pool.submit(harness.execute, one, real_python, base / one.id, real=True) for one in scenarios
        }
        yield lambda scenario: futures[scenario.id].result()
        pool.shutdown(cancel_futures=True)


def recorded(scenario: Any) -> dict[str, Any]:
    """The answer of the real metaflow that is kept beside the flows; fails when it is out of date."""
    record: dict[str, Any] | None = records.load(scenario.flow).get(scenario.id)
    if record is None:
        pytest.fail(f"no record of {scenario.id}: pytest tests/compat/metaflow --record -k {scenario.id}")
    if not is_current(scenario):
        pytest.fail(f"{scenario.id} was changed after it was recorded: pytest tests/compat/metaflow --record")
    return record


def is_current(scenario: Any) -> bool:
    """Whether there is a record of this scenario as it is now."""
    record = records.load(scenario.flow).get(scenario.id)
    return record is not None and (record["metaflow"], record["digest"]) == (harness.VERSION, scenario.digest)


@pytest.fixture
def record_of() -> Callable[[Any], dict[str, Any]]:
    """See ``recorded``."""
    return recorded


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the options do not ask for: most live runs and two thirds of the others."""
    live, record = config.getoption("--live", default=False), config.getoption("--record", default=False)
    kept, dropped = [], []
    for item in items:
        name = getattr(item, "originalname", "")
        if item.path.parent != harness.HERE or "scenario" not in getattr(item, "fixturenames", ()):
            kept.append(item)
        elif name == "test_records_hold":
            scenario = item.callspec.params["scenario"]
            stale = record and not is_current(scenario)
            wanted = stale or (not record and (live or scenario.id in item.module.ALWAYS_LIVE))
            (kept if wanted else dropped).append(item)
        else:
            everything = live or config.getoption("--all-scenarios", default=False)
            wanted = not record and (everything or item.callspec.params["scenario"].id in item.module.QUICK)
            (kept if wanted else dropped).append(item)
    items[:] = kept
    if dropped:
        config.hook.pytest_deselected(items=dropped)
