"""Steps in containers: commands need nothing in their image, Python steps their Python only; nothing is left behind."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests import images

from headrace import Command, File, Retry, TaskOutOfMemoryError, command, flow, step
from headrace.model.errors import CommandError, DefinitionError, EnvironmentSetupError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.conftest import Project

TOOLS = "localhost/headrace-test-tools:1"
PYTHON = f"localhost/headrace-test-python{sys.version_info[0]}.{sys.version_info[1]}:1"


@pytest.fixture(autouse=True)
def podman(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """podman with the images that tests use, as this machine can run it."""
    images.require_podman()
    for name, value in images.settings(tmp_path).items():
        monkeypatch.setenv(name, value)
    images.without_python()
    images.with_python()
    yield
    images.remove_all()


def run(made: Any, *args: Any, **kwargs: Any) -> Any:
    @flow
    def only() -> Any:
        return made(*args, **kwargs)

    return only()


# --- commands ---------------------------------------------------------------------------------------------------


def test_command_runs_in_an_image_without_python(here: Project) -> None:
    data = here.path / "data.txt"
    data.write_text("one\n")
    made = command(
        shell="cat {file} > {out}; tr a-z A-Z < {text} >> {out}; echo $MODE >> {out}; echo {n} >> {out}; "
        'echo \'{"metric": "m", "value": 2}\' >> $HEADRACE_TRACK; if command -v python3; then exit 9; fi',
        inputs={"file": File, "text": "text", "n": int},
        outputs={"out": "text"},
        env={"MODE": "n is {n}"},
        image=TOOLS,
    )
    assert run(made, data, "two\n", 3) == "one\nTWO\nn is 3\n3\n"
    assert images.containers() == []


def test_inputs_are_read_only_and_the_machine_is_not_seen(here: Project) -> None:
    here.path.joinpath("data").write_text("kept")
    made = command(
        shell="if echo x > {file}; then exit 3; fi; if echo x > {text}; then exit 4; fi; test ! -e {home}\n"
        "id -u > {out}",
        inputs={"file": File, "text": "text", "home": str},
        outputs={"out": int},
        image=TOOLS,
    )
    assert run(made, here.path / "data", "abc", str(here.home)) == 0
    assert here.path.joinpath("data").read_text() == "kept"


def test_command_outside_of_a_run_runs_in_its_image_too(here: Project) -> None:
    made = command(shell="if command -v python3; then exit 1; fi; echo 1 > {out}", outputs={"out": int}, image=TOOLS)
    assert made() == 1


def test_memory_of_a_step_is_the_limit_of_its_container(here: Project) -> None:
    made = command(shell="head -c 200000000 /dev/zero | sort > /dev/null", image=TOOLS, memory="64MiB")
    with pytest.raises(TaskOutOfMemoryError, match="memory is limited to 67,108,864 bytes"):
        run(made)


def test_retry_that_asks_for_more_memory_has_a_container_with_a_higher_limit(here: Project) -> None:
    made = command(
        shell="head -c 30000000 /dev/zero | sort > /dev/null",
        image=TOOLS,
        memory="16MiB",
        retries=Retry(1, memory_factor=16),
    )
    run(made)
    assert [one.state for one in here.metadata.attempts(here.last().id)] == ["failed", "succeeded"]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (command("no-such-program", image=TOOLS), "the program is not in the image"),
        (command(["sh", "-c", "exit 7"], image=TOOLS), "ended with exit code 7"),
        (command("true", outputs=["out"], image=PYTHON), "exit code 127|did not write out"),
    ],
)
def test_failure_in_a_container_says_what_is_wrong(here: Project, made: Command, message: str) -> None:
    with pytest.raises(CommandError, match=message):
        run(made)
    assert images.containers() == []


# --- Python steps -----------------------------------------------------------------------------------------------

PYTHON_STEPS = f"""
    import numbers

    @step(image={PYTHON!r})
    def inside(n, data):
        import importlib.util
        print("printed inside", n)
        headrace.log_metric("n", n)
        return n, data["a"][-1], os.getpid(), os.path.exists({{home!r}}), importlib.util.find_spec("numpy") is None

    @step
    def outside(n):
        return n

    @flow
    def main():
        found = [one.result() for one in inside.map(range(4), data={{{{"a": list(range(100_000))}}}})]
        print(found, [outside(n) for n in range(2)])
        assert [one[:2] for one in found] == [(n, 99_999) for n in range(4)]
        assert {{{{one[3:] for one in found}}}} == {{{{(False, True)}}}}

    if __name__ == "__main__":
        main()
"""


def test_python_steps_run_in_an_image_with_its_python_only(project: Project) -> None:
    project.succeed(PYTHON_STEPS.format(home=str(Path(__file__))))
    assert b"printed inside 1" in project.log("inside", 2)
    project.eventually(lambda: images.containers() == [], 20, "a container is left")


def test_image_is_recorded_and_part_of_the_cache_key(project: Project) -> None:
    text = """
        from headrace import command
        made = command(shell="echo 1 > {out}", outputs={"out": int}, image=IMAGE, cache=True)

        @flow
        def main():
            made()

        if __name__ == "__main__":
            main()
    """

    def attempts(image: str) -> int:
        project.succeed(text.replace("IMAGE", repr(image)))
        return len(project.attempts("made"))

    assert [attempts(TOOLS), attempts(TOOLS), attempts(PYTHON)] == [1, 0, 1]
    said = project.finish(project.start("-m", "headrace", "explain", f"{project.last().name}/made/1")).out
    assert f"environment: image {TOOLS} sha256:" in said
    assert f"-> {PYTHON} sha256:" in said
    subprocess.run(["podman", "tag", TOOLS, "localhost/headrace-test-again:1"], check=True)
    assert attempts("localhost/headrace-test-again:1") == 0  # the same image under another name


def test_step_is_another_one_for_each_image_of_its_options(here: Project) -> None:
    made = command(shell="command -v python3 > /dev/null && echo 1 > {out} || echo 0 > {out}", outputs={"out": int})

    @flow
    def main() -> Any:
        return [made.options(image=one)() for one in (TOOLS, PYTHON, TOOLS)]

    assert main() == [0, 1, 0]


def test_image_and_environment_exclude_each_other() -> None:
    with pytest.raises(DefinitionError, match="either environment= or image="):
        step(image="x", environment="y")


@pytest.mark.parametrize("image", ["--privileged", "a b", " a"])
def test_impossible_name_of_an_image_is_refused(image: str) -> None:
    with pytest.raises(DefinitionError, match="name of an image"):
        step(image=image)


def test_image_that_is_not_there_is_an_error_before_the_step_runs(here: Project) -> None:
    with pytest.raises(EnvironmentSetupError, match=r"step '.*': image 'localhost/no-such:1' is not on this machine"):
        run(command("true", image="localhost/no-such:1"))


def test_python_step_in_an_image_without_python_is_refused(project: Project) -> None:
    said = project.fail(
        f"""
        @step(image={TOOLS!r})
        def inside():
            return 1

        @flow
        def main():
            inside()

        if __name__ == "__main__":
            main()
        """
    )
    assert "has no Python that runs" in said


def test_missing_engine_is_an_error_that_says_what_to_install(here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    made = command("true", image=TOOLS)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(here.path))
        with pytest.raises(EnvironmentSetupError, match="needs podman or docker, and neither is on this machine"):
            run(made)


# --- docker -----------------------------------------------------------------------------------------------------


@pytest.fixture
def docker(podman: None, tmp_path: Path) -> Iterator[None]:
    """A PATH with ``docker`` and no ``podman``. It is podman, which takes docker's commands and options."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for folder in os.environ["PATH"].split(os.pathsep):
        for one in Path(folder).iterdir() if Path(folder).is_dir() else ():
            if one.name not in ("podman", "docker") and not (programs / one.name).is_symlink():
                (programs / one.name).symlink_to(one)
    (programs / "docker").symlink_to(shutil.which("podman") or "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(programs))
        yield
    assert images.containers() == []


@pytest.mark.usefixtures("docker")
def test_commands_run_in_images_by_docker(here: Project) -> None:
    data = here.path / "data.txt"
    data.write_text("one\n")
    made = command(
        shell="cat {file} > {out}; tr a-z A-Z < {text} >> {out}; if echo x > {file}; then exit 3; fi",
        inputs={"file": File, "text": "text"},
        outputs={"out": "text"},
        image=TOOLS,
    )
    assert run(made, data, "two\n") == "one\nTWO\n"
    lock = here.metadata.tasks(here.last().id)[0].environment
    with pytest.raises(CommandError, match="ended with exit code 7"):
        run(command(["sh", "-c", "exit 7"], image=TOOLS))
    assert here.metadata.tasks(here.last().id)[0].environment == lock, "the digest is that of the image"
    with pytest.raises(TaskOutOfMemoryError, match="memory is limited to 16,777,216 bytes"):
        run(command(shell="head -c 30000000 /dev/zero | sort > /dev/null", image=TOOLS, memory="16MiB"))
    with pytest.raises(EnvironmentSetupError, match=r"only docker is on this machine; install podman, or"):
        run(step(image=PYTHON)(one))


def one() -> int:
    return 1


# --- nothing is left behind -------------------------------------------------------------------------------------

KILLED = f"""
    from headrace import command
    waits = command(["sh", "-c", "touch {{begun}}; sleep 600"], outputs={{"begun": "file"}}, image={TOOLS!r})

    @step(image={PYTHON!r})
    def inside():
        time.sleep(600)

    @flow
    def main():
        futures = [waits.submit(), inside.submit()]
        [one.result() for one in futures]

    if __name__ == "__main__":
        main()
"""


@pytest.mark.timeout(600)
def test_kill_leaves_no_container(project: Project) -> None:
    """Ten times: the driver, a worker or the engine's own client dies at some moment of two containers' lives."""
    script = str(project.write(KILLED))
    for attempt in range(10):
        chance = random.Random(attempt)
        process = project.start(script)
        project.eventually(lambda: len(images.containers()) == 2 or process.poll() is not None, 60)
        time.sleep(chance.uniform(0, 0.4))
        victims = project.processes()
        victim = process.pid if attempt % 2 == 0 else chance.choice(victims)
        name = str(victim)
        with contextlib.suppress(OSError):  # it has ended by itself meanwhile
            name = Path(f"/proc/{victim}/comm").read_text().strip()
            os.kill(victim, signal.SIGKILL)
        if victim != process.pid:
            process.send_signal(signal.SIGTERM)
        project.finish(process, 60)
        project.eventually(lambda: images.containers() == [], 30, f"{name} was killed and a container is left")
    project.assert_nothing_left(20)


def test_timeout_and_cancel_end_the_container(project: Project) -> None:
    said = project.fail(KILLED.replace("image=", "timeout=1, image="))
    assert "longer than" in said or "timeout" in said.lower()
    project.eventually(lambda: images.containers() == [], 30, "a container is left")
