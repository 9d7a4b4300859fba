"""Pipelines that the real kfp compiled, under Headrace: outputs, state and printed lines are those of kfp.local.

``compiled/`` holds what the real kfp compiled, ``recorded.json`` what kfp.local answered, ``expected.json`` what holds
where kfp.local is not what decides, with the reason. README.md says how they are made.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from headrace.client.runs import Run
from headrace.frontends.kfp import arguments, validation
from headrace.frontends.kfp.artifacts import from_stored
from headrace.frontends.kfp.launch import Launch, run_pipeline
from headrace.frontends.kfp.pipeline_file import read_pipeline
from headrace.stores.codecs import File
from headrace.wiring import Scope

HERE = Path(__file__).parent
RECORDED: dict[str, Any] = json.loads((HERE / "recorded.json").read_text())
EXPECTED: dict[str, Any] = json.loads((HERE / "expected.json").read_text())


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_a_pipeline_gives_what_the_real_kfp_gives(name: str, scope: Scope, tmp_path: Path) -> None:
    told = RECORDED[name]
    expected = EXPECTED.get(name, told)
    path = HERE / "compiled" / f"{name}.yaml"
    pipeline = read_pipeline(path)
    validation.check(pipeline, name)
    given = {key: str(tmp_path / "file") if one == "<file>" else one for key, one in told["arguments"].items()}
    how = Launch(scope=scope, entry=f"{path}:{pipeline.name}", use_cache=False)

    ended = run_pipeline(pipeline, arguments.bind(pipeline, given), how)

    assert str(ended.run.state) == expected["state"], ended.error
    if expected["state"] == "succeeded":
        assert {key: _plain(one) for key, one in ended.value.items()} == expected["outputs"]
    assert _lines(Run._in(scope, ended.run.name)) == expected["lines"]


def _plain(value: Any) -> Any:
    """An output as the records have it: an artifact as type, metadata and content."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, File) or (isinstance(value, dict) and set(value) == {"kfp"}):
        one = from_stored(value)
        content = None if one.content is None else one.content.path.read_text()
        return {"type": one.schema_title, "metadata": one.metadata, "content": content}
    return value


def _lines(run: Run) -> list[str]:
    """What tasks printed, as far as it is marked; tasks that run beside each other print in any order."""
    return sorted(line[line.index("»") :].strip() for line in run.logs.splitlines() if "»" in line)


def test_what_is_expected_instead_of_a_record_has_a_reason_and_differs() -> None:
    for name, one in EXPECTED.items():
        assert one["why"]
        assert any(one[key] != RECORDED[name][key] for key in ("state", "outputs", "lines")), name


def test_the_real_kfp_compiles_the_same(real_kfp: str, tmp_path: Path) -> None:
    done = subprocess.run([real_kfp, str(HERE / "record.py"), "compile", str(tmp_path)], check=False)
    assert done.returncode == 0
    for path in (HERE / "compiled").glob("*.yaml"):
        assert (tmp_path / path.name).read_text() == path.read_text(), path.stem


def test_every_pipeline_of_the_suite_is_compiled() -> None:
    assert {path.stem for path in (HERE / "compiled").glob("*.yaml")} == set(RECORDED)
    assert len(RECORDED) >= 120
