"""docs/metaflow-features.md: every state is known, and every feature that works names tests that exist."""

from __future__ import annotations

import re
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

harness: Any = sys.modules["compat_metaflow_harness"]
records: Any = sys.modules["compat_metaflow_records"]
PAGE: Path = harness.ROOT / "docs/metaflow-features.md"
_ROW = re.compile(r"^\| (.+) \| (.+) \|(?: (.*) )?\|$", re.MULTILINE)


def rows() -> list[tuple[str, str, list[str]]]:
    """Feature, state and tests of each row."""
    found = [match.groups() for match in _ROW.finditer(PAGE.read_text())]
    return [
        (feature, state, [one.strip() for one in (tests or "").split(",") if one.strip()])
        for feature, state, tests in found
        if feature not in ("Feature", "---")
    ]


ROWS = rows()
SCENARIOS = {name for path in records.RECORDED.iterdir() for name in records.load(path.stem)}


def test_the_page_has_rows() -> None:
    assert len(ROWS) > 60


@pytest.mark.parametrize(("feature", "state", "tests"), ROWS, ids=[row[0][:40] for row in ROWS])
def test_a_feature_names_tests_that_exist(feature: str, state: str, tests: list[str]) -> None:
    assert re.match(r"(works|differs: .|not yet)", state), f"{feature}: {state}"
    assert bool(tests) == (not state.startswith("not yet")), f"{feature} is said to be {state!r}"
    for one in tests:
        if one.endswith(".py"):
            assert (harness.ROOT / "tests" / one).exists(), f"{feature}: no test {one}"
        else:
            assert any(fnmatch(name, one) for name in SCENARIOS), f"{feature}: no scenario {one}"
