"""Options of suites (pytest takes them from this file alone when it is called without a path), and shared fixtures."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from headrace.testing.namespaces import OtherMachine

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


@pytest.hookimpl(tryfirst=True)  # pytest-xdist looks at the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file in one process where several share the work, and the differential suites whole.

    Files share what costs time to make by fixtures of theirs; a differential suite starts all its scenarios at once.
    Files whose tests run containers look at all containers of this machine, and remove them.
    """
    for item in items:
        suite = item.path.relative_to(Path(__file__).parent).parts[:2]
        group = "/".join(suite) if suite[0] == "compat" else str(item.path)
        if getattr(getattr(item, "module", None), "images", None) is not None:
            group = "containers"
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OtherMachine]:
    """Another machine, as far as networks and folders go; skipped where the kernel does not allow it."""
    from headrace.testing.namespaces import other_machine, why_not

    problem = why_not()
    if problem and os.environ.get("CI") != "true":
        pytest.skip(problem)
    with other_machine(tmp_path_factory.mktemp("root")) as machine:
        yield machine
