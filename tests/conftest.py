"""Options of suites (pytest takes them from this file alone when it is called without a path), and shared fixtures."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from headrace.testing.namespaces import OtherMachine

HERE = Path(__file__).parent
_IMAGES = "from tests import " + "images"

with contextlib.suppress(ImportError):  # the environment of `make test-torch` is without it
    from hypothesis import HealthCheck, settings

    # How long an example takes says nothing on a machine that others use as well.
    settings.register_profile("headrace", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("headrace")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Those of the differential suite; see ``compat/metaflow/README.md``."""
    parser.addoption(
        "--all-scenarios", action="store_true", help="compare all scenarios with the records, not only some"
    )
    parser.addoption("--live", action="store_true", help="run the real metaflow too, for every scenario")
    parser.addoption(
        "--record", action="store_true", help="write down what the real metaflow answers where that is not known"
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the tests of a file in one process where several share the work, and the differential suites whole.

    Files share what costs time to make by fixtures of theirs; a differential suite starts all its scenarios at once.
    Files whose tests run containers look at all containers of this machine, and remove them.
    """
    from xdist.scheduler import LoadScopeScheduling

    containers = {str(file.relative_to(config.rootpath)) for file in HERE.rglob("*.py") if _IMAGES in file.read_text()}

    class Together(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            if file in containers:
                return "containers"
            parts = Path(file).parts
            return parts[2] if parts[1] == "compat" else file

    return Together(config, log)


@pytest.fixture(autouse=True)
def _settings_of_a_test_end_with_it() -> Iterator[None]:
    """Commands that are called in this process keep ``--home`` and the like in variables, for processes they start."""
    before = {name: value for name, value in os.environ.items() if name.startswith("HEADRACE_")}
    yield
    for name in [name for name in os.environ if name.startswith("HEADRACE_") and name not in before]:
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OtherMachine]:
    """Another machine, as far as networks and folders go; skipped where the kernel does not allow it."""
    from headrace.testing.namespaces import other_machine, why_not

    problem = why_not()
    if problem and os.environ.get("CI") != "true":
        pytest.skip(problem)
    with other_machine(tmp_path_factory.mktemp("root")) as machine:
        yield machine
