"""Options of suites further down: pytest knows those of this file alone when it is called without a path."""

from __future__ import annotations

import contextlib

import pytest

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
