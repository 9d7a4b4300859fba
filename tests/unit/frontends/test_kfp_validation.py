"""What is wrong with a pipeline is told once, with the task's path, before anything runs."""

from __future__ import annotations

import copy
import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.pipelines import Pipeline, around, constant, output, task

from headrace.frontends.kfp import arguments, kubernetes, validation
from headrace.frontends.kfp.errors import PipelineError
from headrace.frontends.kfp.pipeline_file import parse_pipeline, pipeline_of, read_pipeline


def good() -> Any:
    made = Pipeline("good", n=int, s=(str, "x"))
    made.python("def add(a: int, b: int = 1) -> int:\n    return a + b", {"Output": int}, a=int, b=(int, 1))
    loop = task("add", a=around("item"))
    made.dag("loop", {"add": loop}, {"Output": (list, "add", "Output")}, item=int)
    made.dag("inner", {"first": task("add", a=around("k")), "second": task("add", a=output("first"))}, k=int)
    made.tasks["add"] = task("add", a=around("n"))
    made.tasks["inner"] = task("inner", k=output("add"))
    made.tasks["loop"] = {
        **task("loop"),
        "parameterIterator": {"itemInput": "item", "items": {"raw": "[1, 2]"}},
    }
    return made.spec


def problem(change: Callable[[Any], None]) -> str:
    spec = good()
    change(spec)
    with pytest.raises(PipelineError) as raised:
        validation.check(pipeline_of([spec], "p.yaml"), "p.yaml")
    return str(raised.value)


def tasks(spec: Any) -> Any:
    return spec["root"]["dag"]["tasks"]


def inner(spec: Any) -> Any:
    return spec["components"]["comp-inner"]["dag"]["tasks"]


def container(spec: Any) -> Any:
    return spec["deploymentSpec"]["executors"]["exec-add"]["container"]


def put(where: Callable[[Any], Any], name: str, value: Any) -> Callable[[Any], None]:
    def change(spec: Any) -> None:
        where(spec)[name] = value

    return change


def test_a_good_pipeline_has_no_problems() -> None:
    validation.check(pipeline_of([good()], "p.yaml"), "p.yaml")


WRONG: dict[str, tuple[Callable[[Any], None], str]] = {
    "unknown field": (
        put(lambda s: inner(s)["first"], "retries", 3),
        "task 'first' of comp-inner.*unknown field `retries`",
    ),
    "wrong kind of field": (put(lambda s: inner(s)["first"], "dependentTasks", "x"), "task 'first' of comp-inner"),
    "no component": (
        put(lambda s: inner(s)["first"], "componentRef", {"name": "comp-x"}),
        "'inner.first'.*no component 'comp-x'",
    ),
    "no executor": (put(lambda s: s["components"]["comp-add"], "executorLabel", "exec-x"), "no executor 'exec-x'"),
    "cycle": (
        put(lambda s: inner(s)["first"], "dependentTasks", ["second"]),
        "'inner'.*circle: (first -> second -> first|second -> first -> second)",
    ),
    "unknown upstream": (
        put(lambda s: tasks(s)["add"], "dependentTasks", ["nobody"]),
        "'add'.*'nobody'.*not in the same DAG",
    ),
    "unknown output": (
        put(lambda s: tasks(s)["inner"]["inputs"]["parameters"], "k", output("add", "Sum")),
        "no output parameter 'Sum'; it has Output",
    ),
    "missing input": (put(lambda s: tasks(s)["add"], "inputs", {}), "'add': its input 'a' is not given"),
    "unknown input around": (
        put(lambda s: tasks(s)["add"]["inputs"]["parameters"], "a", around("m")),
        "no input 'm' around it",
    ),
    "wrong constant": (
        put(lambda s: tasks(s)["add"]["inputs"]["parameters"], "a", constant("x")),
        '"x" is not a whole number',
    ),
    "condition": (
        put(lambda s: tasks(s)["add"], "triggerPolicy", {"condition": "1 +"}),
        "'add': its condition '1 \\+' is not an expression",
    ),
    "input of a condition": (
        put(lambda s: tasks(s)["add"], "triggerPolicy", {"condition": "inputs.parameter_values['q'] == 'x'"}),
        "'add': its condition .* asks for 'q', which is not its input",
    ),
    "placeholder of a command": (
        put(container, "args", ["{{$.inputs.parameters['a']}}", "{{$.inputs.parameters['q']}}"]),
        "'add': its command: the placeholder .*inputs.parameters.q.* names no input parameter",
    ),
    "placeholder of a variable": (
        put(container, "env", [{"name": "A", "value": "{{$.outputs.artifacts['q'].path}}"}]),
        "'add': its command: the placeholder .*outputs.artifacts.q.path.* names no output",
    ),
    "iterator": (
        put(lambda s: tasks(s)["loop"]["parameterIterator"], "items", {"raw": '{"a": 1}'}),
        "'loop': the items of its loop",
    ),
    "iterator input": (
        put(lambda s: tasks(s)["loop"]["parameterIterator"], "items", {"inputParameter": "xs"}),
        "'loop': its loop is over the input 'xs', which is not given",
    ),
    "placeholder": (
        put(lambda s: tasks(s)["add"]["inputs"]["parameters"], "a", constant("{{$.inputs.parameters['q']}}")),
        "inputs.parameters.q.*names no input",
    ),
    "unknown placeholder": (
        put(lambda s: tasks(s)["add"]["inputs"]["parameters"], "a", constant("{{$.nothing}}")),
        "no placeholder",
    ),
    "duration": (
        put(lambda s: tasks(s)["add"], "retryPolicy", {"maxRetryCount": 1, "backoffDuration": "soon"}),
        "'add': its retryPolicy",
    ),
    "quantity": (put(container, "resources", {"resourceCpuLimit": "many"}), "exec-add.*'many' is not a quantity"),
    "name of a task": (put(tasks, "a/b", task("add", a=constant(1))), "'a/b': the name of a task"),
    "resolver": (put(lambda s: s["deploymentSpec"]["executors"], "exec-add", {"resolver": {}}), "exec-add.*a resolver"),
    "output of the pipeline": (
        put(
            lambda s: s["root"]["dag"],
            "outputs",
            {"parameters": {"o": {"valueFromParameter": {"producerSubtask": "x", "outputParameterKey": "y"}}}},
        ),
        "root: its output 'o': there is no task 'x'",
    ),
    "artifact at the root": (
        put(
            lambda s: s["root"],
            "inputDefinitions",
            {"artifacts": {"d": {"artifactType": {"schemaTitle": "system.Dataset"}}}},
        ),
        "takes the artifacts d",
    ),
    "newer schema": (put(lambda s: s, "schemaVersion", "3.0.0"), "schemaVersion '3.0.0'.*reads 2.0 and 2.1"),
    "no name": (put(lambda s: s, "pipelineInfo", {}), "pipelineInfo.name"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_problem_is_told_with_its_place(name: str) -> None:
    import re

    change, text = WRONG[name]
    told = problem(change)
    assert re.search(text, told, re.DOTALL), told


def test_several_problems_are_told_together() -> None:
    def change(spec: Any) -> None:
        tasks(spec)["add"]["dependentTasks"] = ["nobody"]
        inner(spec)["first"]["inputs"] = {}

    told = problem(change)
    assert "p.yaml has 2 problems:" in told
    assert "'inner.first'" in told
    assert "'add'" in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [", "is not YAML"),
        ("{", "is not JSON"),
        ("- 1", "is not a compiled pipeline"),
        ("", "is not a compiled pipeline"),
        ("apiVersion: argoproj.io/v1alpha1\nkind: Workflow\n", "pipeline of KFP v1.*compile it with kfp 2"),
        ("name: x\nimplementation:\n  container: {}\n", "component of KFP v1.*load_component_from_file"),
        ("pipelineInfo: {name: x}\n", "it has no root"),
        ("a: 1\n---\nb: 1\n---\nc: 1\n", "only one document may follow"),
        ("a: &a [*a]\n", "is not YAML.*undefined alias"),
        ("[" * 5000, "nested too deeply|is not YAML"),
    ],
)
def test_what_is_no_pipeline_is_refused_with_what_to_do(text: str, told: str) -> None:
    with pytest.raises(PipelineError, match=rf"(?s){told}"):
        parse_pipeline(text.encode(), "p.yaml")


def test_a_pipeline_is_read_from_yaml_json_zip_and_tar(tmp_path: Path) -> None:
    data = json.dumps(good()).encode()
    (tmp_path / "p.json").write_bytes(data)
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.writestr("inner/pipeline.yaml", data)
    with tarfile.open(tmp_path / "p.tar.gz", "w:gz") as tar:
        info = tarfile.TarInfo("pipeline.json")
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    found = [read_pipeline(tmp_path / name) for name in ("p.json", "p.zip", "p.tar.gz")]
    assert found[0] == found[1] == found[2]
    assert parse_pipeline(b"# PIPELINE DEFINITION\n" + data, "p").name == "good"


@pytest.mark.parametrize(
    "data", [b"PK\x03\x04 no", b"\x1f\x8b no", gzip.compress(b"no tar", mtime=0), b"\xff\xfe\x00", b"\x00" * 100]
)
def test_broken_archives_and_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(PipelineError):
        parse_pipeline(data, "p")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_pipeline_with_any_part_replaced_is_accepted_or_refused_with_one_message(data: Any) -> None:
    spec = good()
    junk = st.sampled_from([None, 0, -1, 1.5, "", "x", True, [], {}, [1], {"a": 1}, [{"x": {}}]])
    at: Any = spec
    for _ in range(data.draw(st.integers(1, 6))):
        keys = list(at) if isinstance(at, dict) else list(range(len(at))) if isinstance(at, list) else []
        if not keys:
            break
        key = data.draw(st.sampled_from(keys))
        if data.draw(st.booleans()) or not isinstance(at[key], (dict, list)):
            at[key] = data.draw(junk)
            break
        at = at[key]
    try:
        validation.check(pipeline_of([spec], "p.yaml"), "p.yaml")
    except PipelineError as error:
        assert str(error).startswith("p.yaml")


def test_old_names_of_schema_2_0_are_read() -> None:
    spec = good()
    spec["schemaVersion"] = "2.0.0"
    spec["root"]["inputDefinitions"]["parameters"] = {"n": {"type": "INT"}, "s": {"type": "STRING"}}
    tasks(spec)["add"]["inputs"]["parameters"]["a"] = {"runtimeValue": {"constantValue": {"intValue": "3"}}}
    for told in (spec, {"pipelineSpec": spec, "runtimeConfig": {}}):
        pipeline = pipeline_of([copy.deepcopy(told)], "p.yaml")
        validation.check(pipeline, "p.yaml")
        assert pipeline.spec.root.input_definitions.parameters["n"].parameter_type == "NUMBER_INTEGER"


def test_whole_numbers_of_a_file_are_integers() -> None:
    spec = good()
    tasks(spec)["add"]["inputs"]["parameters"]["a"] = constant([4.0, {"k": 2.0, "f": 0.5}])
    found = pipeline_of([spec], "p").spec.root.dag
    assert found is not None
    told = found.tasks["add"].inputs.parameters["a"].runtime_value
    assert told is not None
    assert repr(told.constant) == "[4, {'k': 2, 'f': 0.5}]"


# --- arguments ------------------------------------------------------------------------------------------------------


def arguments_of(*words: str, **declared: Any) -> dict[str, Any]:
    made = Pipeline("args", **declared)
    made.spec["root"]["dag"]["tasks"] = {}
    pipeline = pipeline_of([made.spec], "p")
    return arguments.bind(pipeline, arguments.parse(pipeline, words))


def test_arguments_are_read_by_the_types_of_their_parameters(tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text("from a file")
    (tmp_path / "all.json").write_text('{"d": {"a": 1.0}}')
    found = arguments_of(
        *("--n", "3", "--f=2", "s=3", "--b", "TRUE", "--xs", "[1, 2.0]", "--t", f"@{tmp_path}/long.txt"),
        *("--params-file", f"{tmp_path}/all.json"),
        n=int,
        f=float,
        s=str,
        b=bool,
        xs=list,
        t=str,
        d=dict,
        o=(int, 7),
    )
    assert found == {"n": 3, "f": 2, "s": "3", "b": True, "xs": [1, 2], "t": "from a file", "d": {"a": 1}, "o": 7}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--n", "x"], "'n' must be a whole number"),
        (["--n", "1.5"], "'n' must be a whole number"),
        (["--n"], "--n wants a value"),
        (["n"], "not a parameter"),
        ([], "'n' of args is required"),
        (["--n=1", "--nn=2"], "no parameter 'nn'; did you mean n"),
        (["--n=true"], "whole number"),
        (["--n", "@/nowhere"], "/nowhere cannot be read"),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_runs(words: list[str], told: str) -> None:
    with pytest.raises(PipelineError, match=told):
        arguments_of(*words, n=int)


def test_a_value_that_is_not_among_the_literals_is_refused() -> None:
    made = Pipeline("args", s=str)
    made.spec["root"]["inputDefinitions"]["parameters"]["s"]["literals"] = ["a", "b"]
    pipeline = pipeline_of([made.spec], "p")
    assert arguments.bind(pipeline, {"s": "a"}) == {"s": "a"}
    with pytest.raises(PipelineError, match='it can be "a", "b"'):
        arguments.bind(pipeline, {"s": "c"})


# --- settings for Kubernetes ----------------------------------------------------------------------------------------


def test_settings_that_change_the_result_are_told_apart_from_those_that_do_not() -> None:
    told = {
        "nodeSelector": {"labels": {"gpu": "yes"}},
        "pvcMount": [{"constant": "data", "mountPath": "/data"}],
        "secretAsEnv": [{"secretName": "db", "keyToEnv": [{"secretKey": "password", "envVar": "DB_PASSWORD"}]}],
        "activeDeadlineSeconds": 60,
    }
    platform = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {"exec-add": told}}}}}
    pipeline = pipeline_of([good(), platform], "p")
    notes = kubernetes.notes_of(pipeline)
    assert [(one.setting, one.needed) for one in notes] == [("pvcMount", True), ("nodeSelector", False)]
    assert notes[0].tasks[0] == "add"
    assert "inner.first" in notes[0].tasks
    assert "(data)" in notes[0].text
    assert kubernetes.secrets_of(pipeline) == {"exec-add": ("DB_PASSWORD",)}
