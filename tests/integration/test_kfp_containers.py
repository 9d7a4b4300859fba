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
