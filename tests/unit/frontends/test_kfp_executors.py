"""What runs in a component: functions, commands on this machine, importers, and what goes wrong with them."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path

import pytest

from headrace.frontends.kfp.contract import ArtifactValue
from headrace.frontends.kfp.executors import ComponentFailedError, execute
from headrace.stores.codecs import File, Folder

from .kfp_parts import Bench, lightweight


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """Attempts in a process whose surroundings are put back, as a worker does it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    before = dict(os.environ)
    modules = set(sys.modules)
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", list(root.handlers))
    monkeypatch.setattr(root, "level", root.level)
    yield Bench(tmp_path)
    for name in set(os.environ) - set(before):
        del os.environ[name]
    os.environ.update(before)
    for name in set(sys.modules) - modules:
        if name.partition(".")[0] == "kfp":
            del sys.modules[name]


def run(bench, source, function="f", **told):
    return execute(bench.call(lightweight(source, function), **told))


def stored(bench, path, **told):
    """An artifact as a later task gets it."""
    from headrace.stores import codecs

    packed = codecs.pack(Folder(path) if path.is_dir() else File(path), bench.store)
    return ArtifactValue(name=path.name, content=codecs.unpack(packed, bench.store), **told)


# --- Python functions -------------------------------------------------------------------------------------------


def test_function_gets_its_parameters_and_its_value_is_the_output(bench):
    source = "def f(a: int, b: str = 'x', c: Optional[list] = None) -> str:\n    return f'{a}{b}{c}'\n"
    result = run(bench, source, parameters={"a": 1, "c": []}, outputs={"Output": "STRING"})
    assert result.parameters == {"Output": "1x[]"}


def test_argument_of_several_megabytes_passes(bench):
    text = "x" * (5 << 20)
    result = run(
        bench, "def f(a: str) -> int:\n    return len(a)\n", parameters={"a": text}, outputs={"Output": "STRING"}
    )
    assert result.parameters["Output"] == 5 << 20


def test_value_that_looks_like_a_placeholder_stays(bench):
    source = "def f(a: str) -> str:\n    return a\n"
    value = "{{$.inputs.parameters['secret']}} {{$}} $(id) `id`"
    result = run(bench, source, parameters={"a": value, "secret": "s"}, outputs={"Output": "STRING"})
    assert result.parameters["Output"] == value


def test_none_is_an_absent_output(bench):
    result = run(bench, "def f() -> Optional[str]:\n    return None\n", outputs={"Output": "STRING"})
    assert result.parameters == {}


def test_modules_paths_and_variables_of_a_component_do_not_stay(bench, tmp_path):
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra" / "only_here.py").write_text("X = 1\n")
    source = f"""
        def f() -> int:
            import sys
            sys.path.insert(0, {str(tmp_path / "extra")!r})
            import only_here
            return only_here.X
        """
    path = list(sys.path)
    assert run(bench, source, outputs={"Output": "NUMBER_INTEGER"}).parameters == {"Output": 1}
    assert [one for one in sys.path if one not in path and "shim" not in one] == []
    assert "only_here" not in sys.modules
    assert "ephemeral_component" not in sys.modules


def test_each_attempt_runs_its_source_anew(bench):
    source = "COUNT = []\n\ndef f() -> int:\n    COUNT.append(1)\n    return len(COUNT)\n"
    values = [run(bench, source, outputs={"Output": "NUMBER_INTEGER"}).parameters["Output"] for _ in range(2)]
    assert values == [1, 1]


def test_traceback_of_a_component_shows_its_source(bench):
    import traceback

    source = "def f() -> int:\n    raise ValueError('here')  # a mark\n"
    with pytest.raises(ValueError, match="here") as caught:
        run(bench, source)
    assert "# a mark" in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("code", ["0", "None", ""])
def test_sys_exit_of_zero_ends_a_component_well(bench, code):
    assert run(bench, f"def f():\n    import sys\n    sys.exit({code})\n").parameters == {}


def test_sys_exit_of_another_code_fails_it(bench):
    with pytest.raises(ComponentFailedError, match=r"outer\.a: .*sys\.exit\(3\)"):
        run(bench, "def f():\n    import sys\n    sys.exit(3)\n")


def test_function_that_is_not_in_the_source_is_named(bench):
    with pytest.raises(ComponentFailedError, match="no function 'g'"):
        run(bench, "def f():\n    pass\n", "g")


def test_output_path_that_is_not_written_is_an_error(bench):
    source = "def f(out: OutputPath(int)):\n    pass\n"
    with pytest.raises(
        ComponentFailedError, match=r"outer\.a: .*did not write output parameter 'out' \(NUMBER_INTEGER\)"
    ):
        run(bench, source, outputs={"out": "NUMBER_INTEGER"})


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("STRING", " a\n", " a\n"),
        ("BOOLEAN", "TRUE\n", True),
        ("BOOLEAN", "false", False),
        ("NUMBER_INTEGER", "12\n", 12),
        ("NUMBER_DOUBLE", "1e3", 1000.0),
        ("LIST", "[1]", [1]),
        ("STRUCT", '{"a": null}', {"a": None}),
    ],
)
def test_files_of_output_parameters_are_read_by_type(bench, kind, text, value):
    source = f"import pathlib\ndef f(out: OutputPath(str)):\n    pathlib.Path(out).write_text({text!r})\n"
    assert run(bench, source, outputs={"out": kind}).parameters == {"out": value}


@pytest.mark.parametrize(
    ("kind", "text"), [("NUMBER_INTEGER", "one"), ("BOOLEAN", "1"), ("LIST", "[1"), ("STRUCT", "")]
)
def test_file_of_an_output_parameter_of_another_type_is_an_error(bench, kind, text):
    source = f"import pathlib\ndef f(out: OutputPath(str)):\n    pathlib.Path(out).write_text({text!r})\n"
    with pytest.raises(ComponentFailedError, match=f"declared as {kind}"):
        run(bench, source, outputs={"out": kind})


@pytest.mark.parametrize(
    ("promised", "returned", "message"),
    [
        ("int", "'s'", r"outer\.a: function 'f' returned str for output 'Output', .* promises int"),
        ("NamedTuple('O', x=int, y=str)", "(1,)", r"outer\.a: function 'f' returned 1 values, .* promises 2"),
        ("NamedTuple('O', x=int, y=str)", "(1, 2)", r"returned int for output 'y', .* promises str"),
        ("set", "{1}", r"output 'Output' has the unknown type"),
    ],
)
def test_function_that_returns_what_it_does_not_promise_is_named(bench, promised, returned, message):
    source = f"from typing import NamedTuple\ndef f() -> {promised}:\n    return {returned}\n"
    with pytest.raises(ComponentFailedError, match=message):
        run(bench, source)


def test_metadata_that_json_cannot_hold_is_named(bench):
    source = "def f(out: Output[Model]):\n    out.metadata['x'] = {1, 2}\n"
    with pytest.raises(ComponentFailedError, match="metadata of output artifact 'out'"):
        run(bench, source, outputs={"out": "system.Model"})


def test_artifact_at_a_custom_path_is_taken_from_there(bench, tmp_path):
    source = f"""
        def f(out: Output[Model]):
            path = {str(tmp_path / "elsewhere.bin")!r}
            import pathlib
            pathlib.Path(path).write_text("weights")
            out.set_path(path)
        """
    [made] = run(bench, source, outputs={"out": "system.Model"}).artifacts["out"]
    assert made.content.path.read_text() == "weights"
    assert made.uri == ""


def test_files_beside_the_path_of_an_artifact_are_beside_it_for_later_tasks(bench):
    write = """
        import pathlib
        def f(model: Output[Model], model_b: Output[Model]):
            pathlib.Path(model.path + ".pkl").write_text("pickled")
            pathlib.Path(model.path + "_facts").mkdir()
            pathlib.Path(model.path + "_facts", "a").write_text("a")
            pathlib.Path(model_b.path).write_text("other")
        """
    result = run(bench, write, outputs={"model": "system.Model", "model_b": "system.Model"})
    [made] = result.artifacts["model"]
    assert (made.stem, made.content.files()) == ("model", ["model.pkl", "model_facts/a"])
    given = stored(bench, made.content.path, stem=made.stem, schema_title="system.Model")
    read = """
        import os, pathlib
        def f(given: Input[Model]) -> str:
            return pathlib.Path(given.path + ".pkl").read_text() + str(os.path.exists(given.path))
        """
    assert (
        run(bench, read, artifacts={"given": [given]}, outputs={"Output": "STRING"}).parameters["Output"]
        == "pickledFalse"
    )
    assert result.artifacts["model_b"][0].content.path.read_text() == "other"


def test_store_whose_library_is_missing_says_what_to_install(bench, monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    given = ArtifactValue(name="x", schema_title="system.Model", uri="gs://bucket/x")
    with pytest.raises(
        ComponentFailedError, match=r"outer\.a: input artifact 'given': gs://bucket/x .*headrace\[objects\]"
    ):
        run(bench, "def f(given: Input[Model]) -> str:\n    return given.path\n", artifacts={"given": [given]})


def test_artifact_of_an_unread_uri_is_not_fetched(bench, monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    given = ArtifactValue(name="x", schema_title="system.Model", uri="gs://bucket/x")
    source = (
        "def f(given: Input[Model]) -> str:\n    return f'{given.uri} {type(given).__name__} {type(given) is Model}'\n"
    )
    result = run(bench, source, artifacts={"given": [given]}, outputs={"Output": "STRING"})
    assert result.parameters["Output"] == "gs://bucket/x Model False"


def test_artifact_that_was_not_written_has_metadata_alone(bench):
    source = "def f(out: Output[Model]):\n    out.framework = 'x'\n"
    [made] = run(bench, source, outputs={"out": "system.Model"}).artifacts["out"]
    assert (made.content, made.uri, made.metadata) == (None, "", {"framework": "x"})


def test_input_that_is_passed_on_keeps_its_content(bench, tmp_path):
    (tmp_path / "data").write_text("rows")
    given = stored(bench, tmp_path / "data", schema_title="system.Dataset", metadata={"k": 1})
    source = "def f(given: Input[Dataset]) -> Dataset:\n    return given\n"
    result = run(bench, source, artifacts={"given": [given]}, outputs={"Output": "system.Dataset"})
    [made] = result.artifacts["Output"]
    assert (made.content, made.metadata) == (given.content, {"k": 1})


def test_input_artifact_with_a_uri_elsewhere_has_its_content_here(bench, tmp_path):
    (tmp_path / "data").write_text("rows")
    given = stored(bench, tmp_path / "data", schema_title="system.Model", uri="gs://bucket/data")
    source = "import pathlib\n\ndef f(given: Input[Model]) -> str:\n"
    source += "    return f'{given.uri} {pathlib.Path(given.path).read_text()}'\n"
    result = run(bench, source, artifacts={"given": [given]}, outputs={"Output": "STRING"})
    assert result.parameters["Output"] == "gs://bucket/data rows"


@pytest.mark.parametrize("name", ["data", "folder"])
def test_input_that_a_component_changes_is_as_it_was_for_the_next(bench, tmp_path, capsys, name):
    (tmp_path / "data").write_text("rows")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").write_text("rows")
    source = """
        def f(given: Input[Dataset]) -> str:
            import os, pathlib
            path = pathlib.Path(given.path)
            path = path / "a" if path.is_dir() else path
            before = path.read_text()
            os.chmod(path, 0o644)
            path.write_text("changed")
            return before
        """
    for _ in range(2):
        given = stored(bench, tmp_path / name, schema_title="system.Dataset")
        result = run(bench, source, artifacts={"given": [given]}, outputs={"Output": "STRING"})
        assert result.parameters["Output"] == "rows"
    assert "outer.a changed its input" in capsys.readouterr().err


def test_output_in_the_folder_of_another_task_is_refused(bench, tmp_path):
    other = tmp_path / "attempt-of-another" / "outputs" / "model"
    other.parent.mkdir(parents=True)
    source = f"""
        def f(out: Output[Model]):
            import pathlib
            pathlib.Path({str(other)!r}).write_text("x")
            out.set_path({str(other)!r})
        """
    with pytest.raises(ComponentFailedError, match=r"outer\.a: output artifact 'out' .* another task's output"):
        run(bench, source, outputs={"out": "system.Model"})


def test_sliced_metrics_are_kept_by_slice(bench):
    source = """
        def f(out: Output[SlicedClassificationMetrics]):
            out.load_roc_readings("all", [[0.5, 1.0, 0.0], [0.1, 1.0, 1.0]])
            out.load_confusion_matrix("new", ["a", "b"], [[1, 0], [0, 1]])
            out.log_confusion_matrix_cell("new", "a", "b", 7)
        """
    [made] = run(bench, source, outputs={"out": "system.SlicedClassificationMetrics"}).artifacts["out"]
    slices = {one["slice"]: one["sliceClassificationMetrics"] for one in made.metadata["evaluationSlices"]}
    assert slices["all"]["confidenceMetrics"][0] == {
        "confidenceThreshold": 0.5,
        "recall": 1.0,
        "falsePositiveRate": 0.0,
    }
    assert [row["row"] for row in slices["new"]["confusionMatrix"]["rows"]] == [[1, 7], [0, 1]]


def test_nodes_other_than_the_chief_write_no_outputs(bench, monkeypatch):
    source = "def f() -> int:\n    return 1\n"
    monkeypatch.setenv("CLUSTER_SPEC", json.dumps({"task": {"type": "worker"}}))
    assert run(bench, source, outputs={"Output": "NUMBER_INTEGER"}).parameters == {}
    monkeypatch.setenv("CLUSTER_SPEC", json.dumps({"task": {"type": "chief"}}))
    assert run(bench, source, outputs={"Output": "NUMBER_INTEGER"}).parameters == {"Output": 1}


def test_task_configuration_is_empty_on_one_machine(bench):
    source = "def f(config: TaskConfig) -> str:\n    return f'{config.resources} {config.node_selector}'\n"
    assert run(bench, source, outputs={"Output": "STRING"}).parameters == {"Output": "None None"}


def test_name_that_the_stand_in_for_kfp_lacks_says_what_to_do(bench):
    with pytest.raises((AttributeError, ImportError), match=r"packages_to_install|compiler"):
        run(bench, "def f():\n    kfp.Client()\n")


# --- commands ---------------------------------------------------------------------------------------------------


def command(*words, args=(), env=()):
    told = {"image": "none", "command": list(words), "args": list(args)}
    return {**told, "env": [{"name": name, "value": value} for name, value in env]}


def on_host(bench, container, **told):
    return execute(bench.call(container, containers="host", **told))


def test_command_reads_inputs_and_writes_outputs(bench, tmp_path):
    (tmp_path / "data").write_text("rows")
    given = stored(bench, tmp_path / "data", schema_title="system.Dataset", metadata={"k": [1]})
    script = 'cat "$1" > "$2"; printf %s "$3" > "$4"; printf %s "$V" > "$5"'
    container = command(
        *("sh", "-c", script, "sh"),
        args=[
            "{{$.inputs.artifacts['given'].path}}",
            "{{$.outputs.artifacts['out'].path}}",
            "{{$.inputs.parameters['n']}}-{{$.inputs.parameters['d']}}-{{$.inputs.artifacts['given'].metadata['k']}}",
            "{{$.outputs.parameters['text'].output_file}}",
            "{{$.outputs.parameters['facts'].output_file}}",
        ],
        env=[("V", "{{$.pipeline_task_name}} {{$.pipeline_job_name}} {{$.pipeline_task_uuid}} {{$.pipeline_root}}")],
    )
    result = on_host(
        bench,
        container,
        parameters={"n": 3, "d": {"a": True}},
        artifacts={"given": [given]},
        outputs={"out": "system.Model", "text": "STRING", "facts": "STRING"},
    )
    assert result.parameters == {"text": '3-{"a":true}-[1]', "facts": "a job t-1 /root/of/it"}
    assert result.artifacts["out"][0].content.path.read_text() == "rows"


def test_structures_of_arguments_are_expanded(bench):
    def present(name, then, otherwise=None):
        told = {"InputName": name, "Then": then, **({"Else": otherwise} if otherwise is not None else {})}
        return json.dumps({"IfPresent": told})

    args = [
        json.dumps({"Concat": ["a=", "{{$.inputs.parameters['a']}}", {"IfPresent": {"InputName": "b", "Then": "!"}}]}),
        present("a", ["--one", "{{$.inputs.parameters['a']}}"]),
        present("b", ["--none"]),
        present("b", ["--none"], "else"),
        present("a", {"Concat": ["x", "y"]}),
        '{"other": 1} {braces}',
    ]
    script = 'for one in "$@"; do echo "$one"; done > "$0"'
    container = command("sh", "-c", script, "{{$.outputs.parameters['out'].output_file}}", args=args)
    result = on_host(bench, container, parameters={"a": "v w"}, outputs={"out": "STRING"})
    assert result.parameters["out"].splitlines() == [
        *("a=v w", "--one", "v w", "else", "xy"),
        '{"other": 1} {braces}',
    ]


def test_values_are_never_read_by_a_shell_or_as_placeholders(bench):
    value = "$(touch injected) '; touch injected; ' {{$.inputs.parameters['a']}}"
    container = command(
        "sh", "-c", 'printf %s "$0" > "$1"', "{{$.inputs.parameters['a']}}", "{{$.outputs.parameters['o'].output_file}}"
    )
    assert on_host(bench, container, parameters={"a": value}, outputs={"o": "STRING"}).parameters == {"o": value}
    assert not list(Path(bench.folder).rglob("injected"))


def test_executor_output_says_parameters_and_metadata(bench):
    told = {
        "parameterValues": {"n": 3},
        "artifacts": {"m": {"artifacts": [{"metadata": {"k": "v"}, "uri": "https://x/y"}]}},
    }
    container = command("sh", "-c", f"printf %s '{json.dumps(told)}' > \"$0\"", "{{$.outputs.output_file}}")
    result = on_host(bench, container, outputs={"n": "NUMBER_INTEGER", "m": "system.Model"})
    assert result.parameters == {"n": 3}
    assert (result.artifacts["m"][0].metadata, result.artifacts["m"][0].uri) == ({"k": "v"}, "https://x/y")


def test_executor_input_is_given_whole(bench):
    container = command("sh", "-c", 'printf %s "$0" > "$1"', "{{$}}", "{{$.outputs.parameters['o'].output_file}}")
    result = on_host(bench, container, parameters={"a": [1]}, outputs={"o": "STRING", "m": "system.Model"})
    told = json.loads(result.parameters["o"])
    assert told["inputs"]["parameterValues"] == {"a": [1]}
    assert told["outputs"]["parameters"]["o"]["outputFile"].endswith("/outputs/o")
    assert told["outputs"]["artifacts"]["m"]["artifacts"][0]["type"]["schemaTitle"] == "system.Model"


def test_output_that_a_command_does_not_write_is_an_error(bench):
    with pytest.raises(ComponentFailedError, match=r"outer\.a: .*did not write output parameter 'n'"):
        on_host(bench, command("true"), outputs={"n": "NUMBER_INTEGER"})


def test_exit_code_of_a_command_is_told(bench):
    with pytest.raises(ComponentFailedError, match=r"outer\.a: the command ended with exit code 7"):
        on_host(bench, command("sh", "-c", "exit 7"))


def test_command_that_does_not_exist_is_named(bench):
    with pytest.raises(ComponentFailedError, match=r"outer\.a: .*'no-such-command-here' was not found"):
        on_host(bench, command("no-such-command-here"))


def test_component_without_a_command_cannot_run_on_the_machine(bench):
    with pytest.raises(ComponentFailedError, match=r"outer\.a: the component has no command"):
        on_host(bench, command())


def test_placeholder_that_does_not_exist_is_named(bench):
    with pytest.raises(ComponentFailedError, match=r"outer\.a: placeholder .*inputs\.parameters\.no"):
        on_host(bench, command("echo", "{{$.inputs.parameters['no']}}"))


def test_argument_that_no_command_line_can_hold_is_refused(bench):
    with pytest.raises(ComponentFailedError, match=r"131,072|an argument of the command has 200,000 bytes"):
        on_host(bench, command("echo", "{{$.inputs.parameters['a']}}"), parameters={"a": "x" * 200_000})


def test_executor_output_that_is_not_json_is_an_error(bench):
    with pytest.raises(ComponentFailedError, match="is not an executor output"):
        on_host(bench, command("sh", "-c", 'echo "{" > "$0"', "{{$.outputs.output_file}}"))


# --- importers --------------------------------------------------------------------------------------------------


def importer(uri, **told):
    return {"importer": {"artifactUri": {"constant": uri}, "typeSchema": {"schemaTitle": "system.Dataset"}, **told}}


def test_importer_gives_an_artifact_of_its_type_and_metadata(bench):
    told = {"metadata": {"a": "{{$.inputs.parameters['n']}}", "b": ["x", {"{{$.inputs.parameters['n']}}": 1}]}}
    call = bench.call(importer("gs://bucket/x", **told), parameters={"n": 3}, outputs={"artifact": "system.Dataset"})
    [made] = execute(call).artifacts["artifact"]
    assert (made.uri, made.schema_title) == ("gs://bucket/x", "system.Dataset")
    assert made.metadata == {"a": "3", "b": ["x", {"3": 1}]}


def test_imported_file_is_known_by_its_size_and_time(bench, tmp_path):
    (tmp_path / "data.csv").write_text("a")
    before = execute(bench.call(importer(str(tmp_path / "data.csv")))).artifacts["artifact"][0]
    (tmp_path / "data.csv").write_text("ab")
    after = execute(bench.call(importer(f"file://{tmp_path}/data.csv"))).artifacts["artifact"][0]
    assert before.stamp
    assert before.stamp != after.stamp


def test_importer_to_the_workspace_makes_a_copy_there(bench, tmp_path):
    (tmp_path / "data.csv").write_text("rows")
    (tmp_path / "ws").mkdir()
    job = {"workspace": str(tmp_path / "ws")}
    call = bench.call(importer(str(tmp_path / "data.csv"), downloadToWorkspace=True), job=job)
    [made] = execute(call).artifacts["artifact"]
    source = "import pathlib\n\ndef f(given: Input[Dataset]) -> str:\n"
    source += "    return f'{given.path} {pathlib.Path(given.path).read_text()}'\n"
    result = run(bench, source, artifacts={"given": [made]}, outputs={"Output": "STRING"}, job=job)
    path, text = result.parameters["Output"].split()
    assert (path.startswith(str(tmp_path / "ws")), text) == (True, "rows")


def test_importer_without_a_uri_is_an_error(bench):
    told = {"importer": {"artifactUri": {"runtimeParameter": "uri"}}}
    with pytest.raises(ComponentFailedError, match=r"outer\.a: the importer has no URI"):
        execute(bench.call(told))
