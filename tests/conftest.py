"""Options of suites (pytest takes them from this file alone when it is called without a path), and shared fixtures."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from headrace.testing.namespaces import OtherMachine

HERE = Path(__file__).parent
_IMAGES = "from tests import " + "images"
_ON_CLUSTER = "kubernetes"  # the folder, and the name of its tests' share of the work

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
    Files whose tests run containers look at all containers of this machine, and remove them. Those that need a cluster
    are next once it is up, and the last ones as long as it is not.
    """
    from tests import clusters
    from xdist.scheduler import LoadScopeScheduling

    containers = {str(file.relative_to(config.rootpath)) for file in HERE.rglob("*.py") if _IMAGES in file.read_text()}

    class Together(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            if file in containers:
                return "containers"
            parts = Path(file).parts
            if parts[1] == _ON_CLUSTER:
                return _ON_CLUSTER
            return parts[2] if parts[1] == "compat" else file

        def _assign_work_unit(self, node: Any) -> None:
            if _ON_CLUSTER in self.workqueue:
                self.workqueue.move_to_end(_ON_CLUSTER, last=not clusters.is_up())
            super()._assign_work_unit(node)

    return Together(config, log)


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out what needs a cluster where there is none; never in CI."""
    return True if collection_path == HERE / _ON_CLUSTER and not _has_cluster() else None


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say that it was left out, unless other files were asked for; and what was for want of controllers in it."""
    reasons = {str(one.longrepr[2]) for one in terminalreporter.stats.get("skipped", []) if one.longrepr}
    for reason in sorted(one for one in reasons if "tests/cluster/add" in one):
        terminalreporter.write_line(reason.removeprefix("Skipped: "))
    if config.args == config.getini("testpaths") and not _has_cluster():
        from tests import clusters

        terminalreporter.write_line(clusters.HOW)


@functools.cache
def _has_cluster() -> bool:
    from tests import clusters

    return os.environ.get("CI") == "true" or clusters.given() is not None


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
