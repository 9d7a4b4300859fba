"""Forms of components, compiled by the real kfp, under Headrace: outputs, state and lines are those of kfp.local.

``components/`` holds what the real kfp compiled of ``component_forms.py``, ``recorded_components.json`` what kfp.local
answered; ``DIFFERENT`` says what holds where kfp.local is wrong. ``record_components.py`` makes both.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from headrace.client.default import default_scope
from headrace.client.runs import Run
from headrace.frontends.kfp import arguments
from headrace.frontends.kfp.artifacts import from_stored
from headrace.frontends.kfp.launch import Launch, run_pipeline
from headrace.frontends.kfp.pipeline_file import read_pipeline
from headrace.stores.codecs import File, Folder

HERE = Path(__file__).parent
RECORDED: dict[str, Any] = json.loads((HERE / "recorded_components.json").read_text())
#: What holds instead of what kfp.local does, and why.
DIFFERENT: dict[str, dict[str, Any]] = {
    # kfp.local fails for an optional input without a value; the component's own default holds (IR, `isOptional`).
    "nothing_given": {"state": "succeeded", "outputs": {"Output": "none"}, "lines": ["say:None None"]},
    # kfp.local cannot read the file of an output that is a list or a dict; the launcher reads it as JSON.
    "path_of_json": {"state": "succeeded", "outputs": {"a": [1.5, "x"], "b": {"k": [None]}}, "lines": []},
}


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One workspace for all runs of this file."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("forms")
        patch.chdir(folder)
        patch.setenv("HEADRACE_HOME", str(folder / ".headrace"))
        (folder / "rows.csv").write_text("a,b\n1,2\n")
        yield folder


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_component_gives_what_the_real_kfp_gives(name: str, place: Path) -> None:
    told = RECORDED[name]
    expected = DIFFERENT.get(name, told)
    scope = default_scope()
    path = HERE / "components" / f"{name}.yaml"
    pipeline = read_pipeline(path)
    given = {key: str(place / "rows.csv") if one == "<rows>" else one for key, one in told["arguments"].items()}

    ended = run_pipeline(
        pipeline, arguments.bind(pipeline, given), Launch(scope=scope, entry=f"{path}:{pipeline.name}")
    )

    assert str(ended.run.state) == expected["state"], ended.error
    assert {key: _shown(one) for key, one in (ended.value or {}).items()} == expected["outputs"]
    lines = [line[line.index("say:") :] for line in Run._in(scope, ended.run.name).logs.split("\n") if "say:" in line]
    assert sorted(lines) == expected["lines"]


def _shown(value: Any) -> Any:
    """An output as the records have it: an artifact as type, metadata and content."""
    if isinstance(value, list):
        return [_shown(one) for one in value]
    if not isinstance(value, (File, Folder)) and not (isinstance(value, dict) and set(value) == {"kfp"}):
        return value
    one = from_stored(value)
    content: Any = None
    if isinstance(one.content, Folder):
        content = one.content.files()
    elif one.content is not None:
        content = one.content.path.read_text()
    return {"type": one.schema_title, "metadata": one.metadata, "content": content}


def test_forms_are_what_the_real_kfp_compiles(real_kfp: str, tmp_path: Path) -> None:
    subprocess.run([real_kfp, str(HERE / "record_components.py"), str(tmp_path / "made")], check=True)
    made = {path.name: path.read_text() for path in (tmp_path / "made").glob("*.yaml")}
    kept = {path.name: path.read_text() for path in (HERE / "components").glob("*.yaml")}
    archives = {"embedded_file.yaml", "embedded_folder.yaml", "notebook.yaml"}  # which hold times
    assert {name for name in made | kept if made.get(name) != kept.get(name)} <= archives


def test_every_form_is_compiled_and_recorded() -> None:
    assert {path.stem for path in (HERE / "components").glob("*.yaml")} == set(RECORDED)
    assert len(RECORDED) >= 76
