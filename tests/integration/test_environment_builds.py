"""Environments are whole or not there, whatever happens while one is built, and however many want it at once."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from headrace.model.environments import Environment
from headrace.model.errors import EnvironmentSetupError
from headrace.services.environments.building import Built, find_built
from headrace.services.environments.service import Environments

if TYPE_CHECKING:
    from tests.integration.conftest import Project

SMALL = ("six==1.16.0",)
BUILD = """
import sys
from headrace.model.environments import Environment
from headrace.services.environments.service import Environments

environments = Environments(sys.argv[1], print)
lock = environments.lock(Environment(packages=sys.argv[2:]), "the test", ".")
print("folder", environments.build(lock, "the test").folder, flush=True)
"""


def said(cache: Path) -> tuple[Environments, list[str]]:
    lines: list[str] = []
    return Environments(str(cache), lines.append), lines


def start(cache: Path, *packages: str, **variables: str) -> subprocess.Popen[str]:
    """Another process that builds."""
    return subprocess.Popen(
        [sys.executable, "-c", BUILD, str(cache), *packages],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, **variables},
    )


def imports(built: Built, *modules: str) -> None:
    subprocess.run([built.python, "-c", f"import {', '.join(modules)}"], check=True)


def test_ten_processes_that_need_one_environment_build_it_once(tmp_path: Path) -> None:
    processes = [start(tmp_path / "cache", *SMALL) for _ in range(10)]
    done = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0] * 10, done
    assert sum("building environment" in out for out, _ in done) == 1
    assert len({out.split("folder ")[1].strip() for out, _ in done}) == 1


def test_build_that_is_killed_leaves_nothing_that_is_used(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    packages = ("six==1.16.0", "click==8.1.7", "pygments==2.18.0")
    environments, _ = said(cache)
    lock = environments.lock(Environment(packages=packages), "the test", ".")
    environments.build(lock, "the test")  # so that all files are in uv's cache, and the time of a build is known
    folder = Path(environments.build(lock, "the test").folder)
    chance = random.Random(0)
    for _ in range(10):
        folder.rename(tmp_path / f"old{time.monotonic_ns()}")
        process = start(cache, *packages)
        time.sleep(chance.uniform(0.15, 0.6))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        built = find_built(lock, str(cache))
        if built is None:
            again, told = said(cache)
            built = again.build(lock, "the test")
            assert any("building" in line for line in told)
        imports(built, "six", "click", "pygments")
        assert not list(folder.parent.glob("*.draft-*"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("this user cannot mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_full_disk_in_the_middle_of_a_build_is_told_and_leaves_nothing(small_disk: Path) -> None:
    environments, _ = said(small_disk)
    lock = environments.lock(Environment(packages=("pygments==2.18.0",)), "step 'fit'", ".")
    with pytest.raises(EnvironmentSetupError, match=r"step 'fit'.*(?s:.*)No space left on device"):
        environments.build(lock, "step 'fit'")
    assert find_built(lock, str(small_disk)) is None
    assert not list(small_disk.glob("*/*.draft-*"))


def test_environment_on_an_interpreter_that_was_replaced_is_built_again(tmp_path: Path) -> None:
    environments, told = said(tmp_path / "cache")
    lock = environments.lock(Environment(packages=SMALL), "the test", ".")
    built = environments.build(lock, "the test")
    (Path(built.folder) / "bin" / "python").unlink()
    (Path(built.folder) / "headrace-environment").write_bytes(b"something else")
    environments.build(lock, "the test")
    assert sum("building" in line for line in told) == 2
    imports(built, "six")


def test_locks_and_environments_that_are_there_need_no_network(tmp_path: Path) -> None:
    environments, _ = said(tmp_path / "cache")
    lock = environments.lock(Environment(packages=SMALL), "the test", ".")
    first = environments.build(lock, "the test")
    nowhere = {"UV_OFFLINE": "1", "UV_CACHE_DIR": str(tmp_path / "nothing"), "PATH": "/nowhere"}
    process = start(tmp_path / "cache", *SMALL, **nowhere)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.split("folder ")[1].strip() == first.folder


def test_existing_environment_is_checked_quickly(tmp_path: Path) -> None:
    environments, _ = said(tmp_path / "cache")
    lock = environments.lock(Environment(packages=SMALL), "the test", ".")
    environments.build(lock, "the test")
    began = time.perf_counter()
    for _ in range(20):
        again, _ = said(tmp_path / "cache")
        again.build(again.lock(Environment(packages=SMALL), "the test", "."), "the test")
    assert (time.perf_counter() - began) / 20 < 0.05, "5 ms on an idle machine"


REMOVED = """
    import shutil
    from headrace import Environment

    @step(environment=Environment(packages=["six==1.16.0", "tabulate==0.9.0"]))
    def imports(module):
        __import__(module)
        return sys.prefix

    @flow
    def main():
        shutil.rmtree(imports("six"))
        imports("tabulate")

    if __name__ == "__main__":
        main()
"""


def test_environment_that_is_removed_under_a_running_worker_is_told(project: Project) -> None:
    error = project.fail(REMOVED)
    assert "was removed from" in error and "while it ran" in error
    (project.path / "train.py").write_text((project.path / "train.py").read_text().replace("shutil.rmtree", "print"))
    done = project.finish(project.start("train.py"))
    assert done.code == 0 and "building environment" in done.err, "the next run builds it again"


def test_module_that_the_flows_file_imports_and_the_environment_lacks_is_told(project: Project) -> None:
    error = project.fail(
        """
        import msgspec, pytest
        from headrace import Environment

        @step(environment=Environment(packages=["six==1.16.0"]))
        def fit():
            return 1

        @flow
        def main():
            return fit()

        if __name__ == "__main__":
            main()
        """
    )
    assert "No module named 'pytest'" in error and "Import it inside the steps that need it" in error


CACHED = """
    from headrace import Environment

    @step(environment=Environment(packages=["six==1.16.0"]), cache=True)
    def version(part):
        import six
        return six.__version__

    @flow
    def main():
        print(*[one.result() for one in version.map([1, 2])])

    if __name__ == "__main__":
        main()
"""


def test_environment_is_not_built_where_the_cache_answers_all_calls(project: Project) -> None:
    assert project.succeed(CACHED).split() == ["1.16.0", "1.16.0"]
    shutil.rmtree(project.home / "environments" / "built")
    done = project.run(CACHED)
    assert done.out.split() == ["1.16.0", "1.16.0"] and "building" not in done.err
    (project.path / "train.py").write_text((project.path / "train.py").read_text().replace("[1, 2]", "[1, 3]"))
    done = project.finish(project.start("train.py"))
    assert done.out.split() == ["1.16.0", "1.16.0"] and "building" in done.err


FAR = """
    import os
    from headrace import Environment

    @step(place="far")
    def plain(n):
        try:
            import six
        except ImportError:
            return n

    @step(place="far", environment=Environment(packages=["six==1.16.0"]), retries=2)
    def old(n):
        import six
        return six.__version__, os.path.realpath(sys.prefix), n

    @step(place="far", environment=Environment(packages=["six==1.17.0"]))
    def new(n):
        import six
        return six.__version__, os.path.realpath(sys.prefix), n

    @flow
    def main():
        calls = [call.submit(n) for n in range(6) for call in (old, plain, new)]
        print(*[call.result() for call in calls])

    if __name__ == "__main__":
        main()
"""


@pytest.fixture
def far(project: Project) -> Project:
    (project.path / "pyproject.toml").write_text(
        '[tool.headrace.places.far]\nkind = "workers"\nlisten = "127.0.0.1:0"\n'
    )
    project.write(FAR)
    return project


def test_workers_elsewhere_build_the_environments_of_steps_for_themselves(far: Project) -> None:
    """Two environments at once beside steps without one, on fewer workers than tasks."""
    driver = far.start("train.py")
    worker = join(far, driver)
    try:
        done = far.finish(driver, 100)
        assert done.code == 0, done.err
        assert done.out.count("'1.16.0'") == done.out.count("'1.17.0'") == 6
        assert str(far.path / "there" / "environments") in done.out and "building" not in done.err
    finally:
        worker.kill()
        worker.communicate()


def test_environment_that_a_worker_elsewhere_cannot_build_fails_its_task_at_once(far: Project) -> None:
    driver = far.start("train.py")
    worker = join(far, driver, UV_OFFLINE="1", UV_CACHE_DIR=str(far.path / "empty"))
    try:
        done = far.finish(driver, 100)
        assert done.code == 1
        assert "EnvironmentSetupError: task main/1/" in done.err and "cannot be built. uv says:" in done.err
        assert {one.attempt for one in far.metadata.attempts(far.last().id)} == {1}, "nothing to try again"
    finally:
        worker.kill()
        worker.communicate()


def join(project: Project, driver: subprocess.Popen[str], **env: str) -> subprocess.Popen[str]:
    """A worker of the place that the driver says it listens for."""
    assert driver.stderr is not None
    said = driver.stderr.readline()
    address = re.search(r"--connect (\S+)", said)
    assert address, said
    token = str(project.home / "places" / "far.join")
    arguments = ["--connect", address[1].replace("localhost", "127.0.0.1"), "--secret-file", token]
    return project.start(
        "-m", "headrace", "worker", *arguments, "--workers", "2", "--root", str(project.path / "there"), **env
    )
