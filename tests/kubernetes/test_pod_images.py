"""Steps in images of users, in pods: a static binary alone, R, a Python alone. As with podman, see test_images."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lightkube import ApiError
from lightkube.resources.core_v1 import Pod
from tests import images, user_images
from tests.clusters import Cluster
from tests.interpreters import FOUND, OURS
from tests.kubernetes.conftest import Space
from tests.kubernetes.projects import Project, allow_drivers, driven_project

from headrace.services.environments.baking import STORES
from headrace.services.environments.locking import BESIDE, NEEDED

ROOT = Path(__file__).parents[2]
FLOW = """
import os
import subprocess
from headrace import File, command, flow, step

total = command(
    ["/total", "{numbers}", "{out}"], inputs={"numbers": "text"}, outputs={"out": float}, image=BINARY, cpu=0.05
)
shout = command(
    shell="echo first; tr a-z A-Z < {text} > {out}; id -u >> {out}", inputs={"text": "text"},
    outputs={"out": "text"}, image=TOOLS, cpu=0.05,
)

@step(image=TOOLS, cpu=0.05)
def inside(n: int) -> str:
    import importlib.util
    print("printed inside", n)
    return f"{n * n} {importlib.util.find_spec('lightkube')} {os.getuid()}"

@flow
def main():
    totals = [total(text) for text in ("1 2 3", "4", "5")]
    squares = [one.result() for one in inside.map(range(3))]
    return {"totals": totals, "shouted": shout("abc"), "squares": squares}
"""

_READ_ONLY = {"securityContext": {"readOnlyRootFilesystem": True}}
#: What makes the root file systems of all containers read-only.
READ_ONLY = {
    "spec": {
        "containers": [{"name": "user", **_READ_ONLY}],
        "initContainers": [{"name": one, **_READ_ONLY} for one in ("worker", "headrace-entry")],
    }
}
#: Every call fails, and says why.
FAILURES = """
from headrace import command, flow, step

few = dict(image=TOOLS, cpu=0.05, memory="64MiB")

@step(image=BINARY, cpu=0.05)
def python() -> int:
    return 1

steps = {
    "code": command(["sh", "-c", "echo why >&2; exit 7"], **few),
    "missing": command(["no-such-program"], **few),
    "memory": command(shell="head -c 200000000 /dev/zero | sort > /dev/null", name="memory", **few),
    "slow": command(["sleep", "600"], timeout="1s", **few),
    "left": command(name="leaves", shell="sleep 601 > /dev/null & echo fine > {out}", outputs={"out": "text"}, **few),
    "no-shell": command(name="no_shell", shell="echo fine", image=BINARY, cpu=0.05),
    "no-python": python,
    "again": command(name="again", shell="ps | grep -c [s]leep > {out} || true", outputs={"out": int}, **few),
}

@flow
def main():
    found = {}
    for name, made in steps.items():
        try:
            found[name] = made()
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"
    return "\\n".join(f"{name}: {one}" for name, one in found.items())
"""

#: Steps of a place that names no image: with Headrace in their own, and without.
WITHOUT = """
from headrace import command, flow, step

@step(image=WORKER, cpu=0.05)
def square(n: int) -> int:
    return n * n

shout = command(
    shell="tr a-z A-Z < {text} > {out}", inputs={"text": "text"}, outputs={"out": "text"}, image=WORKER, cpu=0.05
)

@step(image=TOOLS, cpu=0.05)
def bare(n: int) -> int:
    return n + 1

@step(cpu=0.05)
def plain() -> int:
    return 1

def tried(call):
    try:
        return call()
    except Exception as error:
        return f"{type(error).__name__}: {error}"

@flow
def main():
    print("made", square(3), shout("abc"), tried(lambda: bare(1)))
    print("plain:", tried(plain))
"""


@pytest.fixture(scope="module")
def names(cluster: Cluster) -> dict[str, str]:
    kinds = {"BINARY": "binary", "TOOLS": f"python{sys.version_info[0]}.{sys.version_info[1]}"}
    return {name: user_images.for_cluster(kind) for name, kind in kinds.items()}


@pytest.fixture
def project(tmp_path: Path, space: Space, cluster: Cluster, image: str, bucket: dict[str, str]) -> Project:
    return Project(tmp_path, space, cluster, image, bucket)


def with_names(text: str, names: dict[str, str]) -> str:
    for name, image in names.items():
        text = text.replace(f"image={name}", f"image={image!r}")
    return text


def test_place_without_an_image_runs_steps_whose_images_have_headrace_and_names_those_that_lack_one(
    project: Project, names: dict[str, str], image: str
) -> None:
    flow = with_names(WITHOUT, {**names, "WORKER": image})
    project.write(flow, image="")
    project.add_place("beside", image="", driver_image=image)
    said = project.run("run", "train.py", "--on", "pods")
    assert f"made 9 ABC EnvironmentSetupError: step 'bare': image '{names['TOOLS']}'" in said
    assert "Place 'pods' names no image" in said
    assert "set image of [tool.headrace.places.pods] to an image that has it" in said
    assert "step 'plain': place 'pods' has no image for it: set image of [tool.headrace.places.pods]" in said
    checks = {one["name"]: one for one in json.loads(project.run("place", "check", "pods", "--json"))}
    assert checks["image"]["ok"] is None

    assert "made 9 ABC 2" in project.run("run", "train.py", "--on", "beside")


def test_steps_run_in_images_of_their_own(project: Project, names: dict[str, str]) -> None:
    project.write(with_names(FLOW, names), pod={"patch": READ_ONLY})
    said = project.run("run", "train.py", "--on", "pods", seconds=300)
    result = project.result("main/1")
    assert result["totals"] == [6.0, 4.0, 5.0], said
    assert result["shouted"] == "ABC1000\n"
    assert result["squares"] == ["0 None 1000", "1 None 1000", "4 None 1000"]
    assert "printed inside 2" in project.run("logs", "main/1")


def test_failures_in_an_image_are_told_apart(project: Project, names: dict[str, str]) -> None:
    project.write(with_names(FAILURES, names))
    project.run("run", "train.py", "--on", "pods", seconds=300)
    said = project.run("get", "main/1")
    for expected in (
        "code: CommandError: command 'sh' ended with exit code 7: why",
        "missing: CommandError: command 'no-such-program' ended with exit code 127",
        "command 'memory' was killed in its container, whose memory is limited to 67,108,864 bytes",
        "slow: TaskTimeoutError",
        "no-shell: CommandError: command 'no_shell' ended with exit code 127",
        "sh is not in the image",
        "has no Python that runs",
        "left: fine",
        "again: 0",
    ):
        assert expected in said, said
    assert "running: killed" in project.run("logs", "main/1")


SLOW = """
from headrace import command, flow

slow = command(shell="echo begun; sleep 4; echo done > {out}", outputs={"out": "text"}, image=TOOLS, cpu=0.05)

@flow
def main() -> str:
    return slow()
"""


def test_deleted_pod_is_not_the_fault_of_the_command_in_it(
    project: Project, names: dict[str, str], space: Space
) -> None:
    project.write(with_names(SLOW, names))
    with project.start("run", "train.py", "--on", "pods") as process:
        try:
            until = time.monotonic() + 200
            while not _delete_one(space):
                assert time.monotonic() < until, "no pod runs"
                time.sleep(0.1)
            said, _ = process.communicate(timeout=200)
        finally:
            process.kill()
    assert process.returncode == 0, said
    assert project.run("get", "main/1").strip() == "done"


def _delete_one(space: Space) -> bool:
    """Delete a pod that works, a second later; whether there was one: others leave by themselves, too."""
    for one in space.client.list(Pod, labels={"headrace.io/place": "pods"}):
        assert one.metadata and one.metadata.name
        if one.status and one.status.phase == "Running" and not one.metadata.deletionTimestamp:
            time.sleep(1)  # the command has begun, most likely; if not, the rest holds as well
            with contextlib.suppress(ApiError):
                space.client.delete(Pod, one.metadata.name, grace_period=2)
                return True
    return False


@pytest.mark.timeout(900)
def test_example_with_three_images_gives_the_same_in_pods_and_by_podman(
    tmp_path: Path,
    space: Space,
    cluster: Cluster,
    image: str,
    bucket: dict[str, str],
    database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The driver is in the cluster: it has neither an index nor Python 3.12, but what was locked and built here."""
    stores = {**bucket, "HEADRACE_DATABASE": database}
    allow_drivers(space, stores)
    project = driven_project(tmp_path, space, cluster, image, stores)
    images.require_podman()
    for name, value in images.settings(tmp_path).items():
        monkeypatch.setenv(name, value)
        project.environ[name] = value
    python = "3.12" if "3.12" in FOUND else OURS
    variables = {"R_IMAGE": user_images.name_of("r"), "TOTAL_IMAGE": user_images.name_of("binary")}
    variables |= {"EXAMPLE_PYTHON": python}
    project.write((ROOT / "examples/images.py").read_text(), variables=variables)
    project.environ |= variables
    base = user_images.for_podman(f"python{python}-pip")
    wheels = tmp_path / "wheels"
    needed = [*NEEDED, *BESIDE, STORES, "packaging==24.2"]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", f"--python-version={python}"]
    subprocess.run([*pip, "--dest", str(wheels), *needed], check=True)
    told = ["--base", base, "--wheels", str(wheels), "--tag", "localhost/headrace/example", "--builder", "podman"]
    said = project.run("image", "build", "train.py", "--step", "generate", *told, seconds=400)
    found = re.search(r'^"[0-9a-f]{16}" = "(localhost/headrace/example:env-[0-9a-f]{16})"', said, re.MULTILINE)
    assert found, said
    user_images.from_podman(found.group(1))
    for kind in ("r", "binary"):
        user_images.for_cluster(kind)
        user_images.for_podman(kind)
    here = project.run("run", "train.py", seconds=300)
    said = project.run("run", "train.py", "--on", "pods", seconds=300)
    assert "resolving" not in said
    expected = f"packaging 24.2 on Python {python}: slope 3.000, sum 145"
    assert [project.run("get", one).strip() for one in ("images/1", "images/2")] == [expected, expected], here
    there = project.run("logs", "images/2")
    assert "building environment" not in there
