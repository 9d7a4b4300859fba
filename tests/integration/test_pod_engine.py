"""Commands in the other container of a pod, which is a process of this machine here: the same as with podman."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests import entry

from headrace import File, Folder, TaskOutOfMemoryError, command, flow
from headrace.model.errors import CommandError, EnvironmentSetupError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.conftest import Project

IMAGE = "registry.example/tools:1"


@pytest.fixture(autouse=True)
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = tmp_path / "pod"
    folder.mkdir()
    with entry.user_container(folder) as socket:
        monkeypatch.setenv("HEADRACE_CONTAINER", str(socket))
        monkeypatch.setenv("HEADRACE_IMAGE", IMAGE)
        yield


def run(made: Any, *args: Any, **kwargs: Any) -> Any:
    @flow
    def only() -> Any:
        return made(*args, **kwargs)

    return only()


def test_command_has_inputs_outputs_variables_and_metrics(here: Project) -> None:
    data = here.path / "data.txt"
    data.write_text("one\n")
    made = command(
        shell="cat {file} > {out}; cat >> {out}; echo $MODE {n} >> {out}; mkdir -p {more}/a; echo x > {more}/a/b; "
        'echo \'{"metric": "m", "value": 2}\' >> $HEADRACE_TRACK; echo told; echo bad >&2',
        inputs={"file": File, "text": "text", "n": int},
        outputs={"out": "text", "more": Folder},
        stdin="text",
        env={"MODE": "n is {n}"},
        image=IMAGE,
    )
    found = run(made, data, "two\n", 3)
    assert found["out"] == "one\ntwo\nn is 3 3\n"
    assert (found["more"].path / "a" / "b").read_text() == "x\n"


def test_output_of_a_command_is_its_log_and_its_result(here: Project) -> None:
    made = command("head -c 300000000 /dev/zero", outputs={"out": File}, stdout="out", image=IMAGE)
    assert run(made).size == 300_000_000


@pytest.mark.parametrize(
    ("words", "error", "says"),
    [
        (["no-such-program"], CommandError, r"the program is not in the image.*pod says: no-such-program is not in"),
        (["sh", "-c", "echo why >&2; exit 7"], CommandError, "ended with exit code 7: why"),
        (["sh", "-c", "kill -9 $$"], TaskOutOfMemoryError, "killed in its container"),
    ],
)
def test_failure_says_what_is_wrong(here: Project, words: list[str], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        run(command(words, image=IMAGE, memory="64MiB"))


def test_timeout_ends_the_command_and_what_it_started(here: Project) -> None:
    made = command(shell="setsid sleep 7654 & trap '' TERM; sleep 7655", image=IMAGE, timeout=1)
    with pytest.raises(TimeoutError):
        run(made)
    until = time.monotonic() + 20
    while subprocess.run(["pgrep", "-f", "sleep 765[45]"], capture_output=True, check=False).stdout:
        assert time.monotonic() < until, "a process is left"
        time.sleep(0.05)


def test_image_of_another_pod_is_refused(here: Project) -> None:
    with pytest.raises(EnvironmentSetupError, match=r"'other:1' is not that of this pod \(registry.example/tools:1\)"):
        run(command("true", image="other:1"))


def test_entry_does_what_its_own_tests_say() -> None:
    done = subprocess.run(
        ["go", "test", "-timeout=100s", "./..."], cwd=entry.SOURCE, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert entry.program().stat().st_size < 3 << 20


PYTHON_STEPS = """
    @step(image={image!r}, memory="200MiB")
    def inside(n):
        import msgspec
        print("printed inside", n)
        headrace.log_metric("n", n)
        return n * n, os.getpid(), headrace.__file__

    @flow
    def main():
        found = [one.result() for one in inside.map(range(4))]
        assert [one[0] for one in found] == [0, 1, 4, 9]
        assert all("/runtime/" in one[2] for one in found), found

    if __name__ == "__main__":
        main()
"""


def test_python_steps_run_in_the_other_container_with_headrace_beside_its_python(project: Project) -> None:
    told = {name: os.environ[name] for name in ("HEADRACE_CONTAINER", "HEADRACE_IMAGE")}
    project.succeed(PYTHON_STEPS.format(image=IMAGE), **told)
    assert b"printed inside 1" in project.log("inside", 2)
