"""Unchanged flow files, under the real metaflow and under Headrace: the same codes, artifacts, prints, tags.

``README.md`` says how to run, record and add scenarios; ``KNOWN.md`` lists where the answers differ, and why.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

harness: Any = sys.modules["compat_metaflow_harness"]
records: Any = sys.modules["compat_metaflow_records"]
HERE = Path(__file__).parent
#: Few, but of every kind: these are run live each time.
ALWAYS_LIVE = (
    *("linear", "branches", "foreach", "switch-left", "params-given", "failures", "resume-repaired-foreach"),
    *("mistake-lock", "check"),
)
LONG = ("wide-300", "wide-100-is-allowed", "runner")
_KNOWN = re.compile(r"^- `([\w-]+)`: (.*)$", re.MULTILINE)


def _load() -> list[Any]:
    found: list[Any] = []
    for path in sorted(HERE.glob("scenarios_*.py")):
        spec = importlib.util.spec_from_file_location(f"compat_metaflow_{path.stem}", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found += module.scenarios(harness.Scenario, harness.run)
    ids = [one.id for one in found]
    assert len(ids) == len(set(ids)), "two scenarios have one id"
    return found


SCENARIOS = _load()
QUICK: set[str] = set()
KNOWN = dict(_KNOWN.findall((HERE / "KNOWN.md").read_text()))


def _quick() -> set[str]:
    """Three scenarios of each flow file: what runs unless all are asked for."""
    seen: dict[str, int] = {}
    chosen = set()
    for one in SCENARIOS:
        kind = one.flow.partition("-")[0]  # those made at random are one kind
        seen[kind] = seen.get(kind, 0) + 1
        if seen[kind] <= 3 and one.id not in LONG:
            chosen.add(one.id)
    return chosen


def _expected(scenario: Any) -> Any:
    reason = KNOWN.get(scenario.id)
    marks = [pytest.mark.xfail(strict=True, reason=reason)] if reason else []
    return pytest.param(scenario, id=scenario.id, marks=marks)


QUICK |= _quick() | set(ALWAYS_LIVE)


@pytest.mark.parametrize("scenario", [_expected(one) for one in SCENARIOS])
def test_as_recorded(scenario: Any, ours: Callable[[Any], Any], record_of: Callable[[Any], Any]) -> None:
    record = record_of(scenario)

    answer = dict(ours(scenario))
    console = answer.pop("console")

    differences = harness.compare(scenario, record["answer"], answer)
    assert not differences, "\n".join([*differences, "", console])


@pytest.mark.timeout(1800)  # 300 tasks take minutes there
@pytest.mark.parametrize("scenario", [pytest.param(one, id=one.id) for one in SCENARIOS])
def test_records_hold(scenario: Any, request: pytest.FixtureRequest, real: Callable[[Any], Any]) -> None:
    answer = dict(real(scenario))
    console = answer.pop("console")

    if request.config.getoption("--record"):
        record = {"metaflow": harness.VERSION, "digest": scenario.digest, "answer": records.abridged(answer)}
        records.save(scenario.flow, scenario.id, record)
        return
    record = records.load(scenario.flow)[scenario.id]
    assert (record["metaflow"], record["digest"]) == (harness.VERSION, scenario.digest)
    differences = harness.compare(scenario, record["answer"], answer)
    assert not differences, "\n".join(["recorded | now", *differences, "", console])


def test_known_differences_are_of_scenarios_that_exist() -> None:
    assert KNOWN.keys() <= {one.id for one in SCENARIOS}


def test_no_record_is_left_over() -> None:
    kept = {(path.stem, name) for path in sorted(records.RECORDED.iterdir()) for name in records.load(path.stem)}
    assert kept <= {(one.flow, one.id) for one in SCENARIOS}


def test_record_files_can_be_read_by_people() -> None:
    for path in records.RECORDED.iterdir():
        lines = path.read_text().splitlines()
        assert len(lines) <= 2000, path.name
        assert max(map(len, lines)) <= 20_000, path.name
