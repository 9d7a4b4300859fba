"""Stores that fail: blobs that are gone or harmed, full and read-only disks, damaged databases."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.integration.steps import make, size

import headrace
from headrace import flow

if TYPE_CHECKING:
    from tests.integration.conftest import Project

BIG = 40_000


# --- the artifact store -----------------------------------------------------------------------------------------------


def blobs(home: Path) -> list[Path]:
    return [f for f in (home / "artifacts").rglob("*") if f.is_file() and f.stat().st_size == BIG]


@pytest.mark.parametrize("harm", ["missing", "truncated", "wrong", "empty"])
@pytest.mark.parametrize("reader", ["step", "flow"])
def test_a_harmed_blob_makes_its_task_run_again(here: Project, harm: str, reader: str) -> None:
    def spoil() -> None:
        [blob] = blobs(here.home)
        blob.chmod(0o644)
        if harm == "missing":
            blob.unlink()
        elif harm == "truncated":
            os.truncate(blob, 100)
        elif harm == "empty":
            os.truncate(blob, 0)
        else:
            blob.write_bytes(b"y" * BIG)

    @flow
    def train() -> int:
        future = make.submit(BIG)
        headrace.wait([future])
        spoil()
        if reader == "flow":
            return len(future.result())
        return size(future)

    assert train() == BIG
    assert len(here.attempts("make")) == 2


# --- the metadata store -----------------------------------------------------------------------------------------------

HELLO = """
@step
def add(a, b=1):
    return a + b

@flow
def train():
    return add(1)

if __name__ == "__main__":
    print("value", train())
"""

RESUME_FIRST = """
from headrace.frontends.native.launch import Launch
from headrace.frontends.native.resume import resume_run
from headrace.frontends.native.script import show_well
from headrace import wiring

show_well()
print("value", resume_run(wiring.scope_here().metadata.run("train", 1), Launch(scope=wiring.scope_here())).value)
"""


@pytest.mark.parametrize("harm", ["text", "half", "noise"])
def test_a_damaged_database_is_one_clear_error(project: Project, harm: str) -> None:
    project.succeed(HELLO)
    file = project.home / "metadata.db"
    content = file.read_bytes()
    file.write_bytes(
        {
            "text": b"this is not a database, and never was one" * 100,
            "half": content[: len(content) // 2],
            "noise": content[:4096] + os.urandom(len(content) - 4096),
        }[harm]
    )
    for extra in project.home.glob("metadata.db-*"):
        extra.unlink()
    err = project.fail(HELLO)
    assert "StoreDamagedError" in err and str(file) in err


@pytest.mark.parametrize(
    "harm",
    [
        "update tasks set inputs = x'ff00'",
        "update tasks set state = 'odd'",
        "update artifacts set value = x'ff'",
        "update artifacts set preview = x''",
        "update runs set state = 'odd'",
    ],
)
def test_a_damaged_row_is_one_clear_error(project: Project, harm: str) -> None:
    import sqlite3

    project.write(RESUME_FIRST, "again.py")
    project.succeed(HELLO)
    with sqlite3.connect(project.home / "metadata.db") as database:
        database.execute(harm)
    done = project.finish(project.start("again.py"))
    assert done.code == 1 and "StoreDamagedError" in done.err and "damaged" in done.err
    assert "/src/headrace/stores" not in done.err


def test_a_store_of_a_newer_version_is_refused(project: Project) -> None:
    import sqlite3

    project.succeed(HELLO)
    with sqlite3.connect(project.home / "metadata.db") as database:
        database.execute("update headrace_schema set version_num = '9999'")
    err = project.fail(HELLO)
    assert "StoreVersionError" in err and "newer" in err


class MountedDisk:
    """A file system of 8 MiB."""

    advice = "make room"

    def __init__(self, project: Project) -> None:
        self.place = project.path / "disk"
        self.home = self.place / "home"
        self.place.mkdir()
        _mount("-t", "tmpfs", "-o", "size=8m", "tmpfs", str(self.place))

    def fill(self) -> None:
        filler = os.open(self.place / "filler", os.O_CREAT | os.O_WRONLY)
        with pytest.raises(OSError, match="space"):
            while True:
                os.write(filler, b"x" * 4096)
        os.close(filler)

    def grow(self) -> None:
        _mount("-o", "remount,size=64m", str(self.place))

    def make_read_only(self) -> None:
        _mount("-o", "remount,ro", str(self.place))

    def close(self) -> None:
        subprocess.run(["umount", "-l", str(self.place)], check=True)


class LimitedDisk:
    """The same for who may not mount: files of the project's processes may have half a MiB; read-only by modes."""

    advice = "`ulimit -f`"

    def __init__(self, project: Project) -> None:
        self.project = project
        self.home = project.path / "disk/home"
        self.home.parent.mkdir()
        project.limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (512 << 10, 512 << 10))

    def fill(self) -> None:
        self.project.limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    def grow(self) -> None:
        self.project.limit = None

    def make_read_only(self) -> None:
        drop_bounding, override = 24, 1
        # The superuser may write whatever the modes say, unless this is taken from it.
        self.project.limit = lambda: ctypes.CDLL(None).prctl(drop_bounding, override) and None
        self._change_modes(0o500, 0o400)

    def _change_modes(self, folder: int, file: int) -> None:
        for path in [self.home, *self.home.rglob("*")]:
            path.chmod(folder if path.is_dir() else file)

    def close(self) -> None:
        self._change_modes(0o700, 0o600)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], capture_output=True, check=True)


def _may_mount() -> bool:
    """Tried in a name space of its own, so that nothing is left."""
    command = ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    try:
        return os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.fixture(params=[LimitedDisk, MountedDisk] if _may_mount() else [LimitedDisk])
def small_disk(project: Project, request: pytest.FixtureRequest) -> Iterator[MountedDisk | LimitedDisk]:
    disk = request.param(project)
    yield disk
    project.close()
    disk.close()


FILLING = """
@step
def fill(n):
    return os.urandom(n << 20)

@flow
def train(by_flow: bool = False):
    if by_flow:
        return fill.__wrapped__(20)
    return [len(fill(1)) for _ in range(20)]

train.main()
"""


@pytest.mark.parametrize("argv", [[], ["--by_flow", "true"]])
def test_a_full_disk_is_one_clear_error(
    project: Project, small_disk: MountedDisk | LimitedDisk, argv: list[str]
) -> None:
    err = project.fail(FILLING, *argv, HEADRACE_HOME=str(small_disk.home))
    assert "StoreFullError" in err and small_disk.advice in err
    assert len(err) < 4000, err
    project.assert_nothing_left()


def test_a_disk_that_is_full_from_the_start(project: Project, small_disk: MountedDisk | LimitedDisk) -> None:
    small_disk.fill()
    err = project.fail(HELLO, HEADRACE_HOME=str(small_disk.home))
    assert "StoreFullError" in err
    project.assert_nothing_left()


def test_a_full_disk_leaves_what_was_there_and_the_run_goes_on_with_more(
    project: Project, small_disk: MountedDisk | LimitedDisk
) -> None:
    """The run that met the full disk can be gone on with once there is room."""
    home = small_disk.home
    project.fail(FILLING, HEADRACE_HOME=str(home))
    small_disk.grow()
    project.write(
        """
        from headrace.frontends.native.launch import Launch
        from headrace.frontends.native.resume import resume_run
        from headrace import wiring

        record = wiring.scope_here().metadata.run("train", 1)
        print("ended", resume_run(record, Launch(scope=wiring.scope_here())).run.state)
        """,
        "again.py",
    )
    done = project.finish(project.start("again.py", HEADRACE_HOME=str(home)))
    assert "ended succeeded" in done.out, done.err


def test_a_read_only_store_is_one_clear_error(project: Project, small_disk: MountedDisk | LimitedDisk) -> None:
    home = str(small_disk.home)
    small_disk.grow()
    project.succeed(HELLO, HEADRACE_HOME=home)
    small_disk.make_read_only()
    err = project.fail(HELLO, HEADRACE_HOME=home)
    assert "StoreReadOnlyError" in err and home in err
    project.assert_nothing_left()


def test_a_home_that_is_a_file(project: Project) -> None:
    (project.path / "plain").write_text("x")
    err = project.fail(HELLO, HEADRACE_HOME=str(project.path / "plain"))
    assert "StoreError" in err and "plain" in err


def test_a_store_that_vanishes_under_a_run(project: Project) -> None:
    text = """
    import shutil

    @step
    def add(a):
        return a + 1

    @step
    def big(a):
        return b"x" * 100_000

    @flow
    def train():
        add(1)
        shutil.rmtree(".headrace")
        for n in range(200):
            add(n)
            big(n)
            time.sleep(0.01)

    train()
    """
    done = project.run(text)
    assert done.code in (0, 1)
    project.assert_nothing_left()
