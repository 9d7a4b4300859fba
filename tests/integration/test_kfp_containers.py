"""Components of pipelines in containers by podman: commands in images without Python, Python components in theirs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tests import images
from tests.integration.kfp_pipelines import Made, logs_of, parts

import headrace
from headrace.model.errors import EnvironmentSetupError
from headrace.testing.servers import rclone_s3

TOOLS = "localhost/headrace-test-tools:1"
PYTHON = f"localhost/headrace-test-python{sys.version_info[0]}.{sys.version_info[1]}:1"


@pytest.fixture(autouse=True)
def podman(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """podman with the images that tests use, as this machine can run it."""
    images.require_podman()
    for name, value in images.settings(tmp_path).items():
        monkeypatch.setenv(name, value)
    images.without_python()
    images.with_python()


def test_container_component_reads_and_writes_artifacts_in_its_image(here: Any) -> None:
    write = {
        "image": TOOLS,
        "command": ["sh", "-ec", 'mkdir -p "$1"; printf %s "$2" > "$1/words"; printf "[1, 2.0]" > "$3"', "sh"],
        "args": [
            "{{$.outputs.artifacts['data'].path}}",
            json.dumps({"Concat": ["<", "{{$.inputs.parameters['text']}}", ">"]}),
            "{{$.outputs.parameters['numbers'].output_file}}",
        ],
    }
    script = (
        'cat "$0/words" > "$1"; printf " %s" "$MODE" "$#" "$2" >> "$1"; if command -v python3; then exit 9; fi; '
        'if touch "$0/more" 2>/dev/null; then exit 8; fi; pwd; echo said'
    )
    read = {
        "image": TOOLS,
        "command": ["sh", "-ec", script],
        "args": [
            "{{$.inputs.artifacts['data'].path}}",
            "{{$.outputs.artifacts['out'].path}}",
            json.dumps({"IfPresent": {"InputName": "absent", "Then": ["--absent"], "Else": ["--no"]}}),
        ],
        "env": [{"name": "MODE", "value": "n={{$.inputs.parameters['n']}} $HOME"}],
    }
    text = "it's \"quoted\" $(id) {{$.inputs.parameters['text']}}"
    made = Made()
    source = f"def f() -> str:\n    return {text!r}\n"
    made.add("text", parts.lightweight(source, "f"), gives={"Output": "STRING"})
    made.add(
        "write",
        write,
        takes={"text": ("STRING", ("text", "Output"))},
        gives={"data": "system.Dataset", "numbers": "LIST"},
    )
    takes = {"data": ("system.Dataset", ("write", "data")), "n": ("NUMBER_INTEGER", 3.0)}
    made.add("read", read, takes=takes, gives={"out": "system.Artifact"})
    ended = made.give("out", "read", "out").give("numbers", "write", "numbers").run()
    assert ended.error is None
    assert ended.value["numbers"] == [1, 2]
    told = ended.value["out"].path.read_text()
    assert told.startswith(f"<{text}> n=3 $HOME 2 ")
    assert told.endswith(" --no")
    assert "read/1 | /\n" in logs_of(ended)  # the image's own working folder


def test_python_component_runs_in_its_image(here: Any) -> None:
    source = """
        def f(given: Input[Dataset], out: Output[Model]) -> str:
            import os, sys
            with open(given.path) as file:
                text = file.read()
            with open(out.path, "w") as file:
                file.write("weights")
            return f"{sys.prefix} {text} {os.path.exists('/etc/os-release')}"
        """
    write = "def f(out: Output[Dataset]):\n    with open(out.path, 'w') as file:\n        file.write('rows')\n"
    made = Made().add("write", parts.lightweight(write, "f"), gives={"out": "system.Dataset"})
    takes = {"given": ("system.Dataset", ("write", "out"))}
    container = parts.lightweight(source, "f", image=PYTHON)
    made.add("use", container, takes=takes, gives={"Output": "STRING", "out": "system.Model"})
    ended = made.give("use", "use").give("out", "use", "out").run()
    assert ended.error is None
    assert ended.value["use"] == "/usr/local rows False"
    assert ended.value["out"].path.read_text() == "weights"


@pytest.fixture(scope="module")
def kfp_image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image with the real kfp, and a component that is built into it as ``kfp component build`` does it."""
    from headrace.services.environments.uv import run_uv

    images.require_podman()
    folder = tmp_path_factory.mktemp("packages")
    run_uv(["pip", "install", "--quiet", "--no-deps", "--target", str(folder), "kfp==2.17.3"])
    built = "from kfp import dsl\n\n\ndef doubled(n: int, out: dsl.Output[dsl.Model]) -> int:\n"
    built += "    out.framework = 'built'\n    open(out.path, 'w').write(str(n))\n    return 2 * n\n"
    texts = (("built.py", built), ("kfp_config.ini", "[Components]\ndoubled = /built.py\n"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in images.settings(folder).items():
            patch.setenv(name, value)
        return images.with_kfp("kfp", str(folder), texts)


def test_component_that_is_built_into_its_image_runs_there(here: Any, kfp_image: str) -> None:
    container = {
        "image": kfp_image,
        "command": ["python3", "-m", "kfp.dsl.executor_main"],
        "args": ["--executor_input", "{{$}}", "--function_to_execute", "doubled"],
        "env": [{"name": "_KFP_RUNTIME", "value": "true"}],
    }
    gives = {"Output": "NUMBER_INTEGER", "out": "system.Model"}
    made = Made().add("built", container, takes={"n": ("NUMBER_INTEGER", 21)}, gives=gives)
    ended = made.give("n", "built").give("out", "built", "out").run()
    assert ended.error is None
    assert ended.value["n"] == 42
    assert ended.value["out"].path.read_text() == "21"
    assert ended.value["out"].metadata["kfp"]["metadata"] == {"framework": "built"}


def test_objects_of_a_store_are_where_code_in_an_image_looks_for_them(
    here: Any, kfp_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import obstore
    from obstore.store import from_url

    source = """
        def f(image: str, given: Input[Dataset], out: Output[Model]) -> str:
            with open(given.path) as file, open(out.path, "w") as written:
                written.write(file.read() + "!")
            return f"{given.path} {out.path.startswith('/s3/artifacts/root/')}"
        """
    with rclone_s3() as (url, settings):
        for name, value in settings.items():
            monkeypatch.setenv(name.upper(), value)
        store = from_url(url, client_options={"allow_http": True})
        obstore.put(store, "data/a.csv", b"rows")
        made = Made(root=f"{url}/root")
        told = {"artifactUri": {"constant": f"{url}/data/a.csv"}, "typeSchema": {"schemaTitle": "system.Dataset"}}
        made.add("get", {"importer": told}, gives={"artifact": "system.Dataset"})
        takes = {"given": ("system.Dataset", ("get", "artifact")), "image": ("STRING", kfp_image)}
        container = parts.lightweight(source, "f", image="{{$.inputs.parameters['image']}}")
        made.add("use", container, takes=takes, gives={"Output": "STRING", "out": "system.Model"})
        ended = made.give("use", "use").give("out", "use", "out").run()
        assert ended.error is None
        assert ended.value["use"] == "/s3/artifacts/data/a.csv True"
        assert ended.value["out"].path.read_text() == "rows!"
        uri = ended.value["out"].metadata["kfp"]["uri"]
        assert bytes(obstore.get(store, uri.removeprefix(f"{url}/")).bytes()) == b"rows!"


def test_python_component_whose_image_is_an_input_runs_as_its_command(here: Any, kfp_image: str) -> None:
    source = "def f(image: str) -> str:\n    import sys\n    return f'{sys.prefix} {kfp.__version__}'\n"
    container = parts.lightweight(source, "f", image="{{$.inputs.parameters['image']}}")
    made = Made().add("a", container, takes={"image": ("STRING", kfp_image)}, gives={"Output": "STRING"})
    ended = made.give("a", "a").run()
    assert (ended.error, ended.value) == (None, {"a": "/usr/local 2.17.3"})


def test_model_is_read_from_an_image(here: Any) -> None:
    image = images.with_files("models", (("models/weights", "w"), ("models/sub/facts", "f")))
    told = {"artifactUri": {"constant": f"oci://{image}"}, "typeSchema": {"schemaTitle": "system.Model"}}
    source = """
        def f(given: Input[Model]) -> str:
            import os
            with open(os.path.join(given.path, "weights")) as file:
                return f"{file.read()} {sorted(os.listdir(given.path))} {given.uri}"
        """
    made = Made().add("get", {"importer": told}, gives={"artifact": "system.Model"})
    takes = {"given": ("system.Model", ("get", "artifact"))}
    made.add("read", parts.lightweight(source, "f"), takes=takes, gives={"Output": "STRING"})
    ended = made.give("read", "read").run()
    assert (ended.error, ended.value) == (None, {"read": f"w ['sub', 'weights'] oci://{image}"})


def test_failing_commands_of_containers_are_told_with_their_task(here: Any) -> None:
    failing = {"image": TOOLS, "command": ["sh", "-c", "echo why >&2; exit 7"]}
    missing = {"image": TOOLS, "command": ["no-such-program"]}
    silent = {"image": TOOLS, "command": ["true"]}
    made = Made().add("failing", failing).add("missing", missing).add("silent", silent, gives={"n": "NUMBER_INTEGER"})
    ended = made.run()
    assert ended.error is not None
    run = headrace.Run(ended.run.name)
    errors = {step: str(next(iter(run[step])).error) for step in run.steps}
    assert "the command ended with exit code 7: why" in errors["failing"]
    assert "the program is not in the image" in errors["missing"]
    assert "did not write output parameter 'n'" in errors["silent"]


def test_memory_limit_of_a_task_is_that_of_its_container(here: Any) -> None:
    container = {
        "image": TOOLS,
        "command": ["sh", "-c", "head -c 200000000 /dev/zero | sort > /dev/null"],
        "resources": {"resourceMemoryLimit": "64Mi", "memoryLimit": 0.067108864},
    }
    ended = Made().add("hungry", container).run()
    assert "memory is limited to 67,108,864 bytes" in str(ended.error)


def test_image_that_is_not_to_be_had_is_told_before_anything_runs(here: Any) -> None:
    made = Made().add("first", parts.lightweight("def f():\n    pass\n", "f"))
    made.add("second", {"image": "localhost/no-such-image:1", "command": ["true"]})
    with pytest.raises(
        EnvironmentSetupError, match=r"second: image 'localhost/no-such-image:1' is not on this machine"
    ):
        made.run()
    assert headrace.Run("made/1").steps == {}


def test_image_may_be_the_value_of_an_input(here: Any) -> None:
    container = {"image": "{{$.inputs.parameters['image']}}", "command": ["sh", "-c", "echo in $(command -v cat)"]}
    ended = Made().add("a", container, takes={"image": ("STRING", TOOLS)}).run()
    assert ended.error is None
    assert "in /bin/cat" in logs_of(ended)
