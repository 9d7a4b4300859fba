"""A cached result stays for as long as a run that holds it, whichever run made it; each project has its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.integration.conftest import Project

FLOW = """
from pathlib import Path

@step(cache=True)
def load(n: int) -> bytes:
    with open("loads", "a") as file:
        file.write("x")
    return bytes(n)

@step
def size(data: bytes) -> int:
    if Path("broken").exists():
        raise OSError("broken")
    return len(data)

@flow
def f(n: int = 100_000) -> int:
    return size(load(n))

@flow
def g(n: int = 100_000) -> int:
    return len(load(n))

if __name__ == "__main__":
    print((g if "g" in sys.argv else f)())
"""

Forget = Callable[["Project", int], None]


class Cached:
    """A project with a flow whose step ``load`` is cached."""

    def __init__(self, project: Project) -> None:
        self.project = project
        project.write(FLOW, "f.py")

    def headrace(self, *arguments: str, code: int = 0, **env: str) -> str:
        done = self.project.finish(self.project.start("-m", "headrace", *arguments, **env))
        assert done.code == code, f"{done.out}\n{done.err}"
        return done.out

    def run(self, **env: str) -> int:
        """Run the flow; how often ``load`` was called for it."""
        before = self.loads
        self.headrace("run", "--quiet", "f.py:f", **env)
        return self.loads - before

    @property
    def loads(self) -> int:
        file = self.project.path / "loads"
        return len(file.read_text()) if file.exists() else 0

    def collect(self) -> None:
        """Take all bytes that nothing names."""
        self.headrace("gc", "--delete", "--grace", "0")

    def json(self, *arguments: str) -> Any:
        return json.loads(self.headrace(*arguments, "--json"))


@pytest.fixture
def cached(project: Project) -> Cached:
    return Cached(project)


def by_rm(cached: Cached, number: int) -> None:
    cached.headrace("rm", "--yes", f"f/{number}")


def by_client(cached: Cached, number: int) -> None:
    code = f"import headrace; headrace.Run('f/{number}').delete()"
    assert subprocess.run([sys.executable, "-c", code], cwd=cached.project.path, check=False).returncode == 0


def by_gc(cached: Cached, number: int) -> None:
    """All older ones go too."""
    newest = cached.project.metadata.latest_run("f")
    assert newest is not None
    cached.headrace("gc", "--flow", "f", "--keep", str(newest.number - number), "--delete", "--grace", "0")


WAYS = {"rm": by_rm, "client": by_client, "gc": by_gc}


@pytest.mark.parametrize("forget", WAYS.values(), ids=WAYS)
def test_result_outlives_the_run_that_made_it(cached: Cached, forget: Callable[[Cached, int], None]) -> None:
    assert [cached.run() for _ in range(3)] == [1, 0, 0]
    forget(cached, 1)
    cached.collect()
    assert cached.run() == 0
    kept = cached.json("show", "f/2/load/1")
    assert kept["reused_from"] == "f/1/load/1"
    explained = cached.json("explain", "f/2/load/1")
    assert explained["verdict"] == "cached"
    assert "f.load" in explained["code_parts"]
    assert cached.json("show", "f/4/load/1")["reused_from"] == "f/2/load/1"  # which holds it since f/1 is gone
    cached.headrace("get", "f/2/load/1/result", "-o", "out.bin")


@pytest.mark.parametrize("forget", WAYS.values(), ids=WAYS)
def test_result_goes_with_the_last_run_that_holds_it(cached: Cached, forget: Callable[[Cached, int], None]) -> None:
    assert [cached.run() for _ in range(3)] == [1, 0, 0]
    for number in (1, 2, 3):
        forget(cached, number)
    cached.collect()
    assert not [one for one in (cached.project.home / "artifacts").rglob("*") if one.is_file()]
    assert cached.run() == 1


def test_chain_of_reuse_over_many_runs(cached: Cached) -> None:
    """Each run is deleted as soon as the next one took its result."""
    assert cached.run() == 1
    for number in range(1, 5):
        assert cached.run() == 0
        by_rm(cached, number)
        cached.collect()
    assert cached.run() == 0


def test_resumed_run_keeps_a_result_that_it_took(cached: Cached) -> None:
    assert cached.run() == 1
    (cached.project.path / "broken").touch()
    cached.headrace("run", "--quiet", "f.py:f", code=1)
    (cached.project.path / "broken").unlink()
    by_rm(cached, 1)
    cached.headrace("resume", "f/2", "--quiet")
    cached.collect()
    assert cached.loads == 1
    assert cached.run() == 0


def test_run_that_is_made_again_holds_its_new_result_only(cached: Cached) -> None:
    """The task that took a result and ran again itself answers with what it made, also when others are deleted."""
    assert [cached.run(), cached.run()] == [1, 0]
    cached.headrace("resume", "f/2", "--quiet", "--no-cache", "--from", "load")
    assert cached.loads == 2
    by_rm(cached, 1)
    cached.collect()
    assert cached.run() == 0
    assert cached.json("show", "f/3/load/1")["reused_from"] == "f/2/load/1"


def test_another_flow_keeps_a_result(cached: Cached) -> None:
    assert cached.run() == 1
    cached.headrace("run", "--quiet", "f.py:g")
    assert cached.loads == 1
    by_rm(cached, 1)
    cached.collect()
    assert cached.run() == 0


def test_runs_that_a_tag_keeps_hold_their_results(cached: Cached) -> None:
    assert cached.run() == 1
    cached.headrace("run", "--quiet", "f.py:f", "--tag", "keep")
    cached.headrace("run", "--quiet", "f.py:f")
    cached.headrace("gc", "--keep", "0", "--without-tag", "keep", "--delete", "--grace", "0")
    assert [run["name"] for run in cached.json("runs")] == ["f/2"]
    assert cached.run() == 0


def test_refreshed_result_answers_until_its_runs_are_gone(cached: Cached) -> None:
    """--no-cache makes a newer result; the older one answers again when the newer is deleted."""
    assert [cached.run(), cached.run()] == [1, 0]
    cached.headrace("run", "--quiet", "--no-cache", "f.py:f")
    assert cached.run() == 0
    assert cached.json("show", "f/4/load/1")["reused_from"] == "f/3/load/1"
    for number in (3, 4):
        by_rm(cached, number)
    cached.collect()
    assert cached.run() == 0
    assert cached.json("show", "f/5/load/1")["reused_from"] == "f/1/load/1"


def test_exported_run_that_took_a_result_comes_in_whole(cached: Cached) -> None:
    assert [cached.run(), cached.run()] == [1, 0]
    by_rm(cached, 1)
    cached.headrace("export", "f/2", "run.zip")
    by_rm(cached, 2)
    cached.collect()
    cached.headrace("import", "run.zip")
    assert cached.json("show", "f/2/load/1")["reused_from"] == "f/1/load/1"
    cached.headrace("get", "f/2/load/1/result", "-o", "out.bin")
    assert (cached.project.path / "out.bin").stat().st_size >= 100_000
    assert cached.run() == 1  # entries of the cache do not travel


def test_lost_bytes_are_made_again_once(cached: Cached) -> None:
    """All runs that hold the result lost it together."""
    assert [cached.run() for _ in range(3)] == [1, 0, 0]
    for blob in (cached.project.home / "artifacts").rglob("*"):
        if blob.is_file() and blob.stat().st_size > 50_000:
            blob.unlink()
    assert [cached.run(), cached.run()] == [1, 0]


def test_cache_of_a_project_is_its_own(cached: Cached) -> None:
    assert [cached.run(HEADRACE_PROJECT=one) for one in ("a", "b", "a", "b")] == [1, 1, 0, 0]
    cached.headrace("rm", "--yes", "f/1", HEADRACE_PROJECT="a")
    cached.headrace("rm", "--yes", "f/2", HEADRACE_PROJECT="a")
    cached.collect()
    assert [cached.run(HEADRACE_PROJECT=one) for one in ("a", "b")] == [1, 0]


def test_projects_do_not_see_each_other(cached: Cached) -> None:
    """Names, listings, signals, comparisons: what another project has is not there."""
    cached.run(HEADRACE_PROJECT="a")
    for arguments in (
        ("show", "f/1"),
        ("explain", "f/1/load/1"),
        ("logs", "f/1"),
        ("artifacts", "f/1"),
        ("cancel", "f/1"),
        ("answer", "f/1", "q", "1"),
        ("rm", "--yes", "f/1"),
        ("resume", "f/1"),
        ("export", "f/1", "x.zip"),
        ("diff", "f/1", "f/1"),
        ("debug", "f/1/load/1"),
    ):
        done = cached.project.finish(cached.project.start("-m", "headrace", *arguments, HEADRACE_PROJECT="b"))
        assert done.code == 2, (arguments, done.out, done.err)
        assert "f/1" in done.err or "there are no runs of project 'b' yet" in done.err, (arguments, done.err)
    assert cached.headrace("runs", "--json", HEADRACE_PROJECT="b").strip() == "[]"
    cached.headrace("gc", "--keep", "0", "--delete", "--grace", "0", HEADRACE_PROJECT="b")
    assert cached.run(HEADRACE_PROJECT="a") == 0


METAFLOW = """
from headrace.metaflow import FlowSpec, step

class Train(FlowSpec):
    @step
    def start(self):
        self.data = bytes(100_000)
        self.next(self.end)

    @step
    def end(self):
        import os
        if os.path.exists("broken"):
            raise OSError("broken")
        self.size = len(self.data)

if __name__ == "__main__":
    Train()
"""


def test_run_that_a_metaflow_resume_made_outlives_its_origin(project: Project) -> None:
    (project.path / "train.py").write_text(METAFLOW)
    (project.path / "broken").touch()

    def flow(*arguments: str) -> int:
        return project.finish(project.start("train.py", *arguments)).code

    assert flow("run") != 0
    (project.path / "broken").unlink()
    assert flow("resume") == 0
    first, second = sorted(run.number for run in project.metadata.runs(_all()))
    run = project.metadata.run("Train", first)
    assert run is not None
    project.metadata.delete_run(run.id)
    done = project.finish(project.start("-m", "headrace", "gc", "--delete", "--grace", "0"))
    assert done.code == 0, done.err
    code = f"from headrace.metaflow import Run; assert len(Run('Train/{second}')['start'].task.data.data) == 100_000"
    done = project.finish(project.start("-c", code))
    assert done.code == 0, done.err


def _all() -> Any:
    from headrace.stores.metadata.protocol import RunFilter

    return RunFilter()


def test_collecting_beside_runs_that_reuse(cached: Cached) -> None:
    """Deleting and collecting while others take the result: whatever comes, the flow has its value."""
    assert cached.run() == 1
    until = time.monotonic() + 5
    while time.monotonic() < until:
        process = cached.project.start("-m", "headrace", "run", "--quiet", "f.py:f")
        cached.headrace("gc", "--flow", "f", "--keep", "1", "--delete", "--grace", "0")
        assert cached.project.finish(process).code == 0
